package flow

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mcpauth/internal/demo"
	"mcpauth/internal/httpx"
)

// newMutualBench returns a bench whose servers require client certificates, and the file with the certificate of the client robot.
func newMutualBench(t *testing.T) (*bench, string) {
	t.Helper()
	b := newBench(t, demo.Options{MutualTLS: true})
	b.AddClient(demo.Client{ID: "robot", Method: "tls_client_auth", SubjectDN: "CN=robot"})
	own, err := b.ClientCertificate("robot", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, ca := filepath.Join(dir, "robot.pem"), filepath.Join(dir, "ca.pem")
	for name, data := range map[string][]byte{file: own, ca: b.CertificatePEM()} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if b.c.HTTP, err = httpx.New(httpx.Options{CAFile: ca}); err != nil {
		t.Fatal(err)
	}
	b.t.Settings = Settings{Grant: GrantClientCredentials, ClientID: "robot", CertFile: file}
	return b, file
}

// The client certificate is presented to an authorization server's metadata endpoint only if the user or the stored login names that
// server, and never to an identity provider.
func TestCertificateIsShownToKnownServers(t *testing.T) {
	b, _ := newMutualBench(t)
	shown := func(endpoint string) (n int) {
		for _, e := range b.Requests(endpoint) {
			if e.Shown != "" {
				n++
			}
		}
		return n
	}
	b.login(t)
	if got := [3]int{shown("mcp"), shown("metadata"), shown("token")}; got[0] == 0 || got[1] != 0 || got[2] != 1 {
		t.Errorf("shown to the MCP server, at the metadata and at the token endpoint: %v times", got)
	}
	if used := b.stored(t).Endpoints; strings.HasPrefix(used.Token, b.Issuer()) || strings.HasPrefix(used.Revocation, b.Issuer()) {
		t.Errorf("the endpoints are %v, not the aliases", used)
	}
	b.login(t)
	if shown("metadata") != 1 {
		t.Error("not shown to the authorization server of the stored login")
	}
	b.Reset()
	b.t.Profile, b.t.Issuer = "named", b.Issuer()
	b.login(t)
	if shown("metadata") != 1 {
		t.Error("not shown to the authorization server that the user names")
	}
	b.Reset()
	b.t.Profile, b.t.IssuerOfProject = "project", true
	b.login(t)
	if shown("metadata") != 0 {
		t.Error("shown to the authorization server that a project's file names")
	}
	b.t.IssuerOfProject = false
	idToken := filepath.Join(t.TempDir(), "id-token")
	if err := os.WriteFile(idToken, []byte(b.IDToken("ann", time.Hour)), 0o600); err != nil {
		t.Fatal(err)
	}
	b.t.Profile, b.t.Grant = "work", GrantEnterprise
	b.t.IDP = IDP{TokenEndpoint: b.IDP(), ClientID: "demo-idp-client", ClientSecret: "demo-cs-idp", IDTokenFile: idToken}
	b.login(t)
	if len(b.Requests("idp")) != 1 || shown("idp") != 0 {
		t.Errorf("the identity provider was asked %d times, and shown the certificate %d times", len(b.Requests("idp")), shown("idp"))
	}
}

// An endpoint on another host gets the certificate only if the user named the issuer. An issuer in a project's file does not count.
func TestCertificateAtEndpoints(t *testing.T) {
	for _, tt := range []struct {
		endpoint, named string
		want            bool
	}{
		{"https://as.example/token", "", true}, {"https://as.example:8443/token", "", true}, {"https://mtls.AS.example/token", "", true},
		{"https://mcp.example/token", "", false}, {"https://example/token", "", false}, {"https://not-as.example/token", "", false},
		{"https://intranet.example/admin?do=it", "", false}, {"https://mtls.example/token", "https://as.example", true},
		{"https://evil.example/register/1", "https://as.good.example", false}, // of an earlier login
	} {
		u, err := url.Parse(tt.endpoint)
		if err != nil {
			t.Fatal(err)
		}
		if got := (Settings{Issuer: tt.named}).mayReceiveCertificate(u, "https://as.example"); got != tt.want {
			t.Errorf("%s, issuer named %q: %v", tt.endpoint, tt.named, got)
		}
		if got := (Settings{Issuer: "https://as.example", IssuerOfProject: true}).mayReceiveCertificate(u, "https://as.example"); got != (tt.want && tt.named == "") {
			t.Errorf("%s, issuer named by a project's file: %v", tt.endpoint, got)
		}
	}
}

// The tenants of a host share its origin, so a tenant can name the token endpoint of another tenant as its own. With the certificate, this
// endpoint would issue a token of the other tenant.
func TestCertificateAtATenant(t *testing.T) {
	for endpoint, want := range map[string]bool{
		"https://saas.example/evil/token": true, "https://saas.example/evil": true, "https://mtls.saas.example/evil/token": true, "https://saas.example/good/token": false,
		"https://saas.example/token": false, "https://saas.example/evil2/token": false, "https://saas.example/evil/../good/token": false,
		"https://saas.example/evil/%2e%2e/good/token": false, "https://saas.example/evil?x=/../good": true,
	} {
		u, err := url.Parse(endpoint)
		if err != nil {
			t.Fatal(err)
		}
		if got := (Settings{}).mayReceiveCertificate(u, "https://saas.example/evil"); got != want {
			t.Errorf("%s: got %t", endpoint, got)
		}
		if !(Settings{Issuer: "https://saas.example/evil"}).mayReceiveCertificate(u, "https://saas.example/evil") {
			t.Errorf("%s: not shown, although the user named the issuer", endpoint)
		}
	}
}

// If the certificate file changes, the same process and the stored login use the new certificate.
func TestCertificateIsRenewed(t *testing.T) {
	b, file := newMutualBench(t)
	b.login(t)
	b.later(2 * time.Hour)
	if _, err := b.c.Refresh(context.Background(), b.t, 0); err == nil {
		t.Fatal("a certificate that has expired was used")
	}
	renewed, err := b.ClientCertificate("robot", 3*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, renewed, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := b.c.Refresh(context.Background(), Target{URL: b.t.URL}, 0); err != nil {
		t.Error(err)
	}
}

// Neither a foreign URL that the challenge names nor the target of a redirect gets the certificate, because it may belong to another tenant of the host.
// If the login needs no such URL, it succeeds.
func TestCertificateAtForeignURLs(t *testing.T) {
	b, _ := newMutualBench(t)
	shown := func() (paths []string) {
		for _, e := range b.Requests("other") {
			paths = append(paths, e.Path+" "+e.Shown)
		}
		return paths
	}
	b.t.Issuer = b.Issuer()
	b.set(t, `mcp:set.resource_metadata="`+b.Issuer()+`/b/challenge"`)
	b.login(t)
	b.set(t, "token_path=moved/token")
	b.set(t, "asm=all")
	b.set(t, "metadata:n=1,status=302,to="+b.Issuer()+"/b/renewal")
	if _, err := b.c.Refresh(context.Background(), b.t, 0); err != nil {
		t.Error(err)
	}
	if got := shown(); !slices.Equal(got, []string{"/b/challenge ", "/b/renewal "}) {
		t.Errorf("the other tenant got %q", got)
	}

	b.set(t, `mcp:set.resource_metadata="`+b.Origin()+`/b/challenge"`) // this port requires a certificate
	b.login(t)
	b.set(t, "resource-metadata:status=404")
	b.t.Profile, b.t.Issuer = "other", ""
	d, err := b.c.Discover(context.Background(), b.t, LoginOptions{})
	if want := b.Origin() + "/b/challenge: no answer: remote error: tls: certificate required"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	if got := d.Attempts[1].Meaning; !strings.Contains(got, "at well-known URLs of known servers") {
		t.Errorf("discover says %q", got)
	}
	b.t.Issuer = b.Issuer() // then the document in the challenge is not needed
	b.login(t)
}
