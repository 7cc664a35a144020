package discovery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"mcpauth/internal/httpx"
)

// site is a test server that maps URL paths, or methods and URL paths, to documents. ORIGIN in a document stands for the server's own origin.
type site struct {
	*httptest.Server
	pages map[string]string
	asked []string
	heads []http.Header
}

// Pages of a site that are not documents.
const (
	fail500   = "500"
	html      = "<!doctype html><p>hello"
	moved     = "302"
	unauth    = "401"
	unauthAt  = "401 "  // followed by the value of WWW-Authenticate
	elsewhere = "307 "  // followed by the Location of the redirect
	plain     = "text " // followed by a document that is served as text/plain
)

func newSite(t *testing.T, pages map[string]string) *site {
	t.Helper()
	s := &site{pages: pages}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *site) serve(w http.ResponseWriter, r *http.Request) {
	s.asked = append(s.asked, r.Method+" "+r.URL.RequestURI())
	s.heads = append(s.heads, r.Header.Clone())
	page, ok := s.pages[r.Method+" "+r.URL.RequestURI()]
	if !ok {
		page, ok = s.pages[r.URL.RequestURI()]
	}
	page = strings.ReplaceAll(page, "ORIGIN", s.URL)
	switch {
	case !ok:
		http.NotFound(w, r)
	case strings.HasPrefix(page, elsewhere):
		w.Header().Set("Location", strings.TrimPrefix(page, elsewhere))
		w.WriteHeader(http.StatusTemporaryRedirect)
	case page == moved:
		http.Redirect(w, r, s.URL+"/moved", http.StatusFound)
	case page == unauth:
		w.WriteHeader(http.StatusUnauthorized)
	case len(page) == len(fail500):
		status, _ := strconv.Atoi(page)
		http.Error(w, "out of order", status)
	case strings.HasPrefix(page, unauthAt):
		w.Header().Set("WWW-Authenticate", strings.TrimPrefix(page, unauthAt))
		w.WriteHeader(http.StatusUnauthorized)
	case strings.HasPrefix(page, plain):
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, strings.TrimPrefix(page, plain))
	case strings.HasPrefix(page, "<"):
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, page)
	default:
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, page)
	}
}

const (
	prmPath = "/.well-known/oauth-protected-resource"
	asPath  = "/.well-known/oauth-authorization-server"
	oidPath = "/.well-known/openid-configuration"

	prm = `{"resource":"ORIGIN/mcp","authorization_servers":["ORIGIN"],"scopes_supported":["read"]}`
	asm = `{"issuer":"ORIGIN","authorization_endpoint":"ORIGIN/a","token_endpoint":"ORIGIN/t","code_challenge_methods_supported":["S256"]}`
)

func with(pages map[string]string, more ...string) map[string]string {
	out := map[string]string{"/mcp": unauth}
	for k, v := range pages {
		out[k] = v
	}
	for i := 0; i < len(more); i += 2 {
		out[more[i]] = more[i+1]
	}
	return out
}

func base(more ...string) map[string]string {
	return with(map[string]string{prmPath + "/mcp": prm, asPath: asm}, more...)
}

func discover(t *testing.T, s *site, o Options) (*Result, error) {
	t.Helper()
	return Discover(context.Background(), s.URL+"/mcp", o)
}

// Discover sends its requests in the order that the specification fixes. Each case lists every request, so an additional request fails the
// test.
func TestOrderOfCandidates(t *testing.T) {
	tenant := strings.ReplaceAll(prm, `["ORIGIN"]`, `["ORIGIN/tenant"]`)
	tenantMeta := strings.Replace(asm, `"issuer":"ORIGIN"`, `"issuer":"ORIGIN/tenant"`, 1)
	for _, tt := range []struct {
		name  string
		pages map[string]string
		want  []string
	}{
		{"challenge names the resource metadata",
			with(map[string]string{"/mcp": unauthAt + `Bearer resource_metadata="ORIGIN/meta"`, "/meta": prm, asPath: asm}),
			[]string{"POST /mcp", "GET /meta", "GET " + asPath}},
		{"well-known with the path", base(), []string{"POST /mcp", "GET " + prmPath + "/mcp", "GET " + asPath}},
		{"well-known at the root", with(map[string]string{prmPath: prm, asPath: asm}),
			[]string{"POST /mcp", "GET " + prmPath + "/mcp", "GET " + prmPath, "GET " + asPath}},
		{"a dead address in the challenge", base("/mcp", unauthAt+`Bearer resource_metadata="ORIGIN/meta"`),
			[]string{"POST /mcp", "GET /meta", "GET " + prmPath + "/mcp", "GET " + asPath}},
		{"OpenID without a path", with(map[string]string{prmPath + "/mcp": prm, oidPath: asm}),
			[]string{"POST /mcp", "GET " + prmPath + "/mcp", "GET " + asPath, "GET " + oidPath}},
		{"issuer with a path, first candidate", with(map[string]string{prmPath + "/mcp": tenant, asPath + "/tenant": tenantMeta}),
			[]string{"POST /mcp", "GET " + prmPath + "/mcp", "GET " + asPath + "/tenant"}},
		{"issuer with a path, second candidate", with(map[string]string{prmPath + "/mcp": tenant, oidPath + "/tenant": tenantMeta}),
			[]string{"POST /mcp", "GET " + prmPath + "/mcp", "GET " + asPath + "/tenant", "GET " + oidPath + "/tenant"}},
		{"issuer with a path, third candidate", with(map[string]string{prmPath + "/mcp": tenant, "/tenant" + oidPath: tenantMeta}),
			[]string{"POST /mcp", "GET " + prmPath + "/mcp", "GET " + asPath + "/tenant", "GET " + oidPath + "/tenant", "GET /tenant" + oidPath}},
		{"500 on one candidate, good on the next", with(map[string]string{prmPath + "/mcp": fail500, prmPath: prm, asPath: html, oidPath: asm}),
			[]string{"POST /mcp", "GET " + prmPath + "/mcp", "GET " + prmPath, "GET " + asPath, "GET " + oidPath}},
		{"2025-03-26 with metadata at the root", with(map[string]string{asPath: asm}),
			[]string{"POST /mcp", "GET " + prmPath + "/mcp", "GET " + prmPath, "GET " + asPath}},
		{"2025-03-26 with default endpoints", with(nil),
			[]string{"POST /mcp", "GET " + prmPath + "/mcp", "GET " + prmPath, "GET " + asPath, "GET " + oidPath}},
		{"old HTTP+SSE server", base("/mcp", unauth),
			[]string{"POST /mcp", "GET " + prmPath + "/mcp", "GET " + asPath}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, tt.pages)
			r, err := discover(t, s, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(s.asked, tt.want) {
				t.Errorf("asked\n%s\nwant\n%s", strings.Join(s.asked, "\n"), strings.Join(tt.want, "\n"))
			}
			if len(r.Attempts) != len(tt.want) {
				t.Errorf("%d attempts remembered of %d", len(r.Attempts), len(tt.want))
			}
			if r.Server.TokenEndpoint == "" || r.ResourceID == "" {
				t.Errorf("found %+v", r)
			}
		})
	}
}

// ResourceID is the resource in the metadata, byte for byte.
func TestResourceIdentifier(t *testing.T) {
	for _, tt := range []struct {
		name, resource string
		ok             bool
	}{
		{"the server's address", "ORIGIN/mcp", true},
		{"a slash more", "ORIGIN/mcp/", true},
		{"the origin", "ORIGIN", true},
		{"the origin with a slash", "ORIGIN/", true},
		{"a query more", "ORIGIN/mcp?x=1", true},
		{"a sibling", "ORIGIN/other", false},
		{"a child", "ORIGIN/mcp/child", false},
		{"half a segment", "ORIGIN/mc", false},
		{"another origin", "https://evil.example.com/mcp", false},
		{"another port", "http://127.0.0.1:1/mcp", false},
		{"a longer host", "ORIGIN.evil.example.com/mcp", false},
		{"credentials", "http://u@127.0.0.1/mcp", false},
		{"none", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, base(prmPath+"/mcp", fmt.Sprintf(`{"resource":%q,"authorization_servers":["ORIGIN"]}`, tt.resource)))
			r, err := discover(t, s, Options{})
			if !tt.ok {
				if !errors.Is(err, ErrResource) || !strings.Contains(err.Error(), "RFC 9728 §3.3") {
					t.Fatalf("got %v, want ErrResource", err)
				}
				if last := s.asked[len(s.asked)-1]; last != "GET "+prmPath+"/mcp" {
					t.Errorf("went on to %s after the refusal", last)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := strings.ReplaceAll(tt.resource, "ORIGIN", s.URL); r.ResourceID != want {
				t.Errorf("resource is %q, want %q", r.ResourceID, want)
			}
		})
	}
}

// The well-known URL keeps the query of the resource (RFC 9728 §3.1). Metadata whose resource has another query belongs to another tenant
// and is refused.
func TestResourceWithQuery(t *testing.T) {
	tenant := func(name string) string { return strings.Replace(prm, "/mcp", "/mcp?tenant="+name, 1) }
	for _, tt := range []struct {
		name  string
		pages []string
		want  string // the resource; empty: ErrResource
	}{
		{"its own", []string{prmPath + "/mcp?tenant=a", tenant("a"), prmPath + "/mcp", tenant("b")}, "ORIGIN/mcp?tenant=a"},
		{"at the root, for all", []string{prmPath, prm}, "ORIGIN/mcp"},
		{"another tenant's", []string{prmPath + "/mcp?tenant=a", tenant("b")}, ""},
	} {
		s := newSite(t, with(map[string]string{"/mcp?tenant=a": unauth, asPath: asm}, tt.pages...))
		r, err := Discover(context.Background(), s.URL+"/mcp?tenant=a", Options{})
		switch {
		case tt.want == "" && !errors.Is(err, ErrResource):
			t.Errorf("%s: got %v, want ErrResource", tt.name, err)
		case tt.want != "" && (err != nil || r.ResourceID != strings.ReplaceAll(tt.want, "ORIGIN", s.URL)):
			t.Errorf("%s: got %q, %v; asked %q", tt.name, r.ResourceID, err, s.asked)
		}
	}
	s := newSite(t, map[string]string{"/?tenant=a": unauth, prmPath + "?tenant=a": strings.Replace(prm, "/mcp", "/?tenant=a", 1), asPath: asm})
	if _, err := Discover(context.Background(), s.URL+"/?tenant=a", Options{}); err != nil {
		t.Errorf("without a path: %v, asked %q", err, s.asked)
	}
}

// Discover follows a 307 or 308 redirect to a URL at or below the server's URL, and its target becomes Endpoint. It sends no request to another
// origin.
func TestServerThatRedirects(t *testing.T) {
	s := newSite(t, base("/mcp", elsewhere+"/mcp/", "/mcp/", elsewhere+"ORIGIN/mcp/v2", "/mcp/v2", unauthAt+`Bearer scope="read"`))
	r, err := discover(t, s, Options{})
	if err != nil || r.URL != s.URL+"/mcp" || r.Endpoint != s.URL+"/mcp/v2" || r.Challenge.Scope() != "read" || r.ResourceID != s.URL+"/mcp" {
		t.Errorf("got %+v, %v", r, err)
	}
	if checks := Review(r, nil); checks[0].Code != "endpoint" || checks[0].State != Passed || !strings.Contains(checks[0].Message, s.URL+"/mcp/v2") {
		t.Errorf("got %v", checks)
	}

	s = newSite(t, with(map[string]string{"/mcp": elsewhere + "/mcp/v2", "/mcp/v2": unauth, prmPath + "/mcp/v2": strings.Replace(prm, "/mcp", "/mcp/v2", 1), asPath: asm}))
	if r, err := discover(t, s, Options{}); err != nil || r.ResourceID != s.URL+"/mcp/v2" {
		t.Errorf("resource metadata of the target: got %q, %v", r.ResourceID, err)
	}
	if r, err := discover(t, newSite(t, base()), Options{}); err != nil || r.Endpoint != r.URL {
		t.Errorf("without a redirect: got %q, %v", r.Endpoint, err)
	}
	if r, err := discover(t, newSite(t, base()), Options{Challenges: []Challenge{}}); err != nil || r.Endpoint != "" {
		t.Errorf("not asked: got %q, %v", r.Endpoint, err)
	}
	for _, tt := range []struct{ to, want, location string }{
		{"https://other.example/mcp?a=b", `with a redirect to "https://other.example/mcp?a=b"`, "https://other.example/mcp?a=b"},
		{"", "without a Location", ""},
		{"/mcp", "", ""}, // for ever
	} {
		s := newSite(t, base("/mcp", elsewhere+tt.to))
		_, err := discover(t, s, Options{})
		var e *Error
		if tt.want != "" && (!errors.As(err, &e) || !errors.Is(err, ErrMoved) || !strings.Contains(err.Error(), tt.want) || e.Location != tt.location || len(s.asked) > 1) {
			t.Errorf("%s: got %v, asked %q", tt.to, err, s.asked)
		}
		if len(s.asked) > 8 {
			t.Errorf("%s: asked %q", tt.to, s.asked)
		}
	}
	var refused *httpx.AddressError
	if _, err := discover(t, newSite(t, base("/mcp", elsewhere+"http://169.254.169.254/")), Options{}); !errors.As(err, &refused) {
		t.Errorf("got %v, want an AddressError", err)
	}
}

// A tenant could redirect to another tenant of its origin, to get a login for it. Discover refuses the redirect of /a/mcp without a request to
// its target, and names the target.
func TestRedirectToASibling(t *testing.T) {
	for _, target := range []string{"/b/mcp", "/a", "/", "/a/mcp2", "/a/mcp?tenant=b", "/a/mcp/../../b/mcp", "/a/mcp/%2e%2e/%2e%2e/b/mcp", "/A/mcp"} {
		pages := map[string]string{"/a/mcp": elsewhere + target, target: unauth, prmPath + target: strings.Replace(prm, "/mcp", target, 1), asPath: asm}
		s := newSite(t, pages)
		_, err := Discover(context.Background(), s.URL+"/a/mcp", Options{})
		var e *Error
		if !errors.As(err, &e) || !errors.Is(err, ErrSibling) || !errors.Is(err, ErrResource) || !strings.HasPrefix(e.Location, s.URL+"/") || len(s.asked) > 1 {
			t.Errorf("%s: %v, asked %q", target, err, s.asked)
		}
		s = newSite(t, with(pages, "/a/mcp", "405", "GET /a/mcp", elsewhere+target))
		if _, err := Discover(context.Background(), s.URL+"/a/mcp", Options{}); !errors.Is(err, ErrSibling) || len(s.asked) > 2 {
			t.Errorf("GET, %s: %v, asked %q", target, err, s.asked)
		}
	}
}

// After a POST with the status 404 or 405, the redirect of the GET follows the same rules as the redirect of a POST.
func TestRedirectOfTheGET(t *testing.T) {
	s := newSite(t, base("/mcp", "405", "GET /mcp", elsewhere+"/mcp/", "GET /mcp/", unauthAt+`Bearer scope="read"`))
	if r, err := discover(t, s, Options{}); err != nil || r.Endpoint != s.URL+"/mcp/" || r.Challenge.Scope() != "read" {
		t.Errorf("below the server: got %+v, %v", r, err)
	}
	s = newSite(t, base("/mcp", "405", "GET /mcp", moved))
	if r, err := discover(t, s, Options{}); err != nil || r.Endpoint != s.URL+"/mcp" || slices.Contains(s.asked, "GET /moved") {
		t.Errorf("302: got %v, asked %q", err, s.asked)
	}
	s = newSite(t, base("/mcp", "405", "GET /mcp", elsewhere+"/mcp"))
	if _, err := discover(t, s, Options{}); err != nil || len(s.asked) > 8 {
		t.Errorf("for ever: got %v, asked %q", err, s.asked)
	}
}

// An optional member of the wrong type counts as absent. The other members of the document are used.
func TestMembersOfAWrongType(t *testing.T) {
	s := newSite(t, base(prmPath+"/mcp", strings.Replace(prm, `["read"]`, `"read write"`, 1),
		asPath, strings.TrimSuffix(asm, "}")+`,"scopes_supported":["a",{"b":1}],"revocation_endpoint":false,"authorization_response_iss_parameter_supported":"true"}`))
	r, err := discover(t, s, Options{})
	if err != nil || r.Resource.ScopesSupported != nil || r.Server.ScopesSupported != nil || r.Server.AuthorizationResponseIssParameterSupported || r.Server.TokenEndpoint != s.URL+"/t" {
		t.Fatalf("got %+v, %v", r, err)
	}
	text := fmt.Sprint(r.Findings)
	for _, name := range []string{"scopes_supported", "revocation_endpoint", "authorization_response_iss_parameter_supported"} {
		if !strings.Contains(text, name) {
			t.Errorf("%s is not named in %s", name, text)
		}
	}
}

// Options.Issuer names the authorization server if the server names none.
func TestGivenIssuer(t *testing.T) {
	for name, pages := range map[string]map[string]string{
		"resource metadata without a list": base(prmPath+"/mcp", `{"resource":"ORIGIN/mcp"}`, asPath+"/as", strings.Replace(asm, `"issuer":"ORIGIN"`, `"issuer":"ORIGIN/as"`, 1)),
		"no resource metadata":             with(map[string]string{asPath + "/as": strings.Replace(asm, `"issuer":"ORIGIN"`, `"issuer":"ORIGIN/as"`, 1)}),
	} {
		s := newSite(t, pages)
		r, err := discover(t, s, Options{Issuer: s.URL + "/as"})
		if err != nil || r.Server.Issuer != s.URL+"/as" || r.ResourceID != s.URL+"/mcp" {
			t.Errorf("%s: got %+v, %v", name, r.Server, err)
		}
		if !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Code == "issuer_given" }) {
			t.Errorf("%s: got the findings %v", name, r.Findings)
		}
	}
	_, err := discover(t, newSite(t, base(prmPath+"/mcp", `{"resource":"ORIGIN/mcp"}`)), Options{})
	if !errors.Is(err, ErrUnnamed) {
		t.Errorf("nobody names one: got %v, want ErrUnnamed", err)
	}
}

// If the authorization server offers client_credentials but no authorization endpoint, the error is ErrNonInteractiveOnly (RFC 8414 §2).
func TestForMachinesOnly(t *testing.T) {
	meta := `{"issuer":"ORIGIN","token_endpoint":"ORIGIN/t","grant_types_supported":["client_credentials"]}`
	if _, err := discover(t, newSite(t, base(asPath, meta)), Options{}); !errors.Is(err, ErrNonInteractiveOnly) {
		t.Errorf("got %v, want ErrNonInteractiveOnly", err)
	}
	if _, err := discover(t, newSite(t, base(asPath, meta)), Options{IgnorePKCE: true}); err != nil {
		t.Errorf("a program: got %v", err)
	}
}

// If a document has another issuer, Discover returns an error and tries no other URL (RFC 8414 §3.3).
func TestIssuer(t *testing.T) {
	for _, tt := range []struct {
		name, listed, issuer string
		ok                   bool
	}{
		{"identical", "ORIGIN", "ORIGIN", true},
		{"slash of an empty path, in the document", "ORIGIN", "ORIGIN/", true},
		{"slash of an empty path, in the list", "ORIGIN/", "ORIGIN", true},
		{"foreign", "ORIGIN", "https://honest.example", false},
		{"absent", "ORIGIN", "", false},
		{"a path more", "ORIGIN", "ORIGIN/x", false},
		{"by case", "ORIGIN", "HTTP://127.0.0.1", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, base(
				prmPath+"/mcp", fmt.Sprintf(`{"resource":"ORIGIN/mcp","authorization_servers":[%q]}`, tt.listed),
				asPath, strings.Replace(asm, `"issuer":"ORIGIN"`, fmt.Sprintf(`"issuer":%q`, tt.issuer), 1), oidPath, asm))
			_, err := discover(t, s, Options{})
			if tt.ok != (err == nil) || !tt.ok && !errors.Is(err, ErrIssuer) {
				t.Fatalf("got %v", err)
			}
			if !tt.ok && s.asked[len(s.asked)-1] != "GET "+asPath {
				t.Error("another candidate was tried after the refusal")
			}
		})
	}
	t.Run("of a path issuer the slash counts", func(t *testing.T) {
		s := newSite(t, base(prmPath+"/mcp", `{"resource":"ORIGIN/mcp","authorization_servers":["ORIGIN/t"]}`,
			asPath+"/t", strings.Replace(asm, `"issuer":"ORIGIN"`, `"issuer":"ORIGIN/t/"`, 1)))
		if _, err := discover(t, s, Options{}); !errors.Is(err, ErrIssuer) {
			t.Errorf("got %v, want ErrIssuer", err)
		}
	})
}

func TestPinnedIssuer(t *testing.T) {
	s := newSite(t, base(prmPath+"/mcp", `{"resource":"ORIGIN/mcp","authorization_servers":["https://first.example","ORIGIN"]}`))
	if r, err := discover(t, s, Options{Issuer: s.URL}); err != nil || r.Server.Issuer != s.URL {
		t.Errorf("got %v", err)
	}
	_, err := discover(t, s, Options{Issuer: "https://third.example"})
	if want := fmt.Sprintf(`authorization_servers is "https://first.example", %q`, s.URL); !errors.Is(err, ErrNotNamed) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// MCP, Authorization Code Protection.
func TestPKCE(t *testing.T) {
	for _, tt := range []struct {
		name, methods string
		o             Options
		ok            bool
	}{
		{"S256", `["plain","S256"]`, Options{}, true},
		{"absent", ``, Options{}, false},
		{"only plain", `["plain"]`, Options{}, false},
		{"absent, but the user vouches", ``, Options{AssumePKCES256: true}, true},
		{"absent, but not needed", ``, Options{IgnorePKCE: true}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			meta := `{"issuer":"ORIGIN","authorization_endpoint":"ORIGIN/a","token_endpoint":"ORIGIN/t"`
			if tt.methods != "" {
				meta += `,"code_challenge_methods_supported":` + tt.methods
			}
			_, err := discover(t, newSite(t, base(asPath, meta+"}")), tt.o)
			if tt.ok != (err == nil) || !tt.ok && !errors.Is(err, ErrPKCE) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Every URL in the metadata is checked.
func TestEndpointsAreChecked(t *testing.T) {
	for _, address := range []string{"http://as.example.com/x", "file:///etc/passwd", "javascript:alert(1)", "https://u:p@as.example.com", "ORIGIN/x#y", "//as.example.com", "-x"} {
		for _, name := range []string{"authorization_endpoint", "token_endpoint", "registration_endpoint", "revocation_endpoint", "device_authorization_endpoint"} {
			var m map[string]any
			json.Unmarshal([]byte(asm), &m)
			m[name] = address
			meta, _ := json.Marshal(m)
			_, err := discover(t, newSite(t, base(asPath, string(meta))), Options{})
			var refused *httpx.AddressError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), name) {
				t.Errorf("%s %q: got %v, want an AddressError that names it", name, address, err)
			}
			delete(m, name)
			m["authorization_endpoint"], m["token_endpoint"], m["mtls_endpoint_aliases"] = "ORIGIN/a", "ORIGIN/t", map[string]string{name: address}
			meta, _ = json.Marshal(m)
			_, err = discover(t, newSite(t, base(asPath, string(meta))), Options{})
			if ignored := name == "authorization_endpoint"; ignored != (err == nil) || !ignored && !errors.As(err, &refused) {
				t.Errorf("alias of %s %q: got %v", name, address, err)
			}
		}
	}
}

// The endpoint aliases replace the endpoints of the same name (RFC 8705 §5), except the authorization endpoint.
func TestMutualTLS(t *testing.T) {
	m := ServerMetadata{AuthorizationEndpoint: "https://as/a", TokenEndpoint: "https://as/t", RevocationEndpoint: "https://as/r",
		MTLSEndpointAliases: map[string]string{"token_endpoint": "https://mtls.as/t", "authorization_endpoint": "https://mtls.as/a", "device_authorization_endpoint": "https://mtls.as/d"}}
	got := m.MutualTLS()
	if got.TokenEndpoint != "https://mtls.as/t" || got.DeviceAuthorizationEndpoint != "https://mtls.as/d" || got.AuthorizationEndpoint != "https://as/a" ||
		got.RevocationEndpoint != "https://as/r" || m.TokenEndpoint != "https://as/t" {
		t.Errorf("got %+v", got)
	}
}

func TestAddressesOfTheChainAreChecked(t *testing.T) {
	for name, pages := range map[string]map[string]string{
		"of the challenge":            base("/mcp", unauthAt+`Bearer resource_metadata="file:///etc/passwd"`),
		"of the authorization server": base(prmPath+"/mcp", `{"resource":"ORIGIN/mcp","authorization_servers":["http://169.254.169.254/"]}`),
	} {
		var refused *httpx.AddressError
		if _, err := discover(t, newSite(t, pages), Options{}); !errors.As(err, &refused) {
			t.Errorf("%s: got %v, want an AddressError", name, err)
		}
	}
}

// A response that is not a metadata document counts as absent, and the attempt states the reason.
func TestBadDocuments(t *testing.T) {
	for name, doc := range map[string]string{
		"an array":        `[]`,
		"truncated":       `{"issuer":"ORIGIN"`,
		"byte order mark": "\ufeff" + asm,
		"HTML":            html,
		"empty":           "",
		"a redirect":      moved,
		"out of order":    fail500,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := discover(t, newSite(t, base(asPath, doc)), Options{})
			var e *Error
			if !errors.As(err, &e) || len(e.Attempts) < 3 {
				t.Fatalf("got %v, want an *Error with its attempts", err)
			}
			if !strings.Contains(err.Error(), asPath) || !strings.Contains(err.Error(), oidPath) {
				t.Errorf("the error does not list what was tried: %v", err)
			}
		})
	}
}

// A JSON object that is not valid metadata ends the search. Otherwise, a wrong type could hide a foreign issuer.
func TestInvalidDocumentsEndTheSearch(t *testing.T) {
	for name, doc := range map[string]string{
		"duplicate members": `{"issuer":"https://evil.example","issuer":"ORIGIN","token_endpoint":"ORIGIN/t"}`,
		"wrong types":       `{"issuer":["ORIGIN"]}`,
		"no token endpoint": strings.Replace(asm, `"ORIGIN/t"`, `{"url":"ORIGIN/t"}`, 1),
		"a foreign issuer":  `{"issuer":"https://evil.example","token_endpoint":5}`,
		"deep":              "\n{\"x\":" + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "}",
	} {
		s := newSite(t, base(asPath, doc, oidPath, asm))
		_, err := discover(t, s, Options{})
		var e *Error
		if !errors.As(err, &e) || !strings.HasSuffix(e.URL, asPath) || slices.Contains(s.asked, "GET "+oidPath) {
			t.Errorf("%s: got %v, asked %q", name, err, s.asked)
		}
	}
	s := newSite(t, base(prmPath+"/mcp", `{"resource":"https://evil.example/mcp","resource":"ORIGIN/mcp"}`, prmPath, prm))
	if _, err := discover(t, s, Options{}); err == nil || slices.Contains(s.asked, "GET "+prmPath) {
		t.Errorf("resource metadata: got %v, asked %q", err, s.asked)
	}
}

// Discover uses the default endpoints only if the server answers that there is no metadata, not if the server fails.
func TestFailuresAreNotAbsence(t *testing.T) {
	for name, pages := range map[string]map[string]string{
		"resource metadata out of order": with(map[string]string{prmPath + "/mcp": fail500}),
		"server metadata out of order":   with(map[string]string{asPath: fail500}),
		"server metadata is HTML":        with(map[string]string{asPath: html}),
		"too many requests":              with(map[string]string{asPath: "429"}),
		"timeout":                        with(map[string]string{prmPath: "408"}),
		"too early":                      with(map[string]string{oidPath: "425"}),
	} {
		var e *Error
		if r, err := discover(t, newSite(t, pages), Options{}); !errors.As(err, &e) || len(e.Attempts) < 3 || r.Server.TokenEndpoint != "" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// Discover uses the next authorization server only if the one before answers that it has no metadata, or does not answer.
func TestNextIssuer(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	for _, tt := range []struct {
		first, page string
		ok          bool
	}{
		{"ORIGIN/a", "404", true}, {"ORIGIN/a", html, true}, {closed.URL, "404", true},
		{"ORIGIN/a", "503", false}, {"ORIGIN/a", "429", false},
	} {
		s := newSite(t, base(asPath+"/a", tt.page, prmPath+"/mcp", `{"resource":"ORIGIN/mcp","authorization_servers":["`+tt.first+`","ORIGIN"]}`))
		_, err := discover(t, s, Options{})
		var e *Error
		if tt.ok != (err == nil) || !tt.ok && (!errors.As(err, &e) || slices.Contains(s.asked, "GET "+asPath)) {
			t.Errorf("%s: got %v, asked %q", tt.page, err, s.asked)
		}
	}
}

// If a metadata URL of the server fails, metadata for a parent of the server's URL is refused, because metadata for exactly the server's
// URL may exist.
func TestParentResourceAfterAFailure(t *testing.T) {
	parent := strings.Replace(prm, `"ORIGIN/mcp"`, `"ORIGIN"`, 1)
	named := unauthAt + `Bearer resource_metadata="ORIGIN/meta"`
	for name, tt := range map[string]struct {
		pages map[string]string
		ok    bool
	}{
		"server error":                       {with(map[string]string{prmPath + "/mcp": "503", prmPath: parent, asPath: asm}), false},
		"too many requests":                  {with(map[string]string{prmPath + "/mcp": "429", prmPath: parent, asPath: asm}), false},
		"server error at the URL in the 401": {with(map[string]string{"/mcp": named, "/meta": "503", prmPath: parent, asPath: asm}), false},
		"absence":                            {with(map[string]string{"/mcp": named, "/meta": "410", prmPath: parent, asPath: asm}), true},
		"an HTML page":                       {with(map[string]string{prmPath + "/mcp": html, prmPath: parent, asPath: asm}), true},
		"server error, the same resource":    {with(map[string]string{prmPath + "/mcp": "503", prmPath: prm, asPath: asm}), true},
		"a dead host in the 401": {with(map[string]string{"/mcp": unauthAt + `Bearer resource_metadata="http://127.0.0.1:1/meta"`,
			prmPath: parent, asPath: asm}), true},
	} {
		_, err := discover(t, newSite(t, tt.pages), Options{})
		if (err == nil) != tt.ok || !tt.ok && !errors.Is(err, ErrResource) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOpenServerHasNoAuthorization(t *testing.T) {
	s := newSite(t, map[string]string{"/mcp": `{"jsonrpc":"2.0","id":1,"result":{}}`})
	r, err := discover(t, s, Options{})
	var e *Error
	if !errors.As(err, &e) || !r.Open || !strings.Contains(err.Error(), "requires no authorization") {
		t.Errorf("got %v", err)
	}
}

func TestNoServer(t *testing.T) {
	s := newSite(t, nil)
	address := s.URL
	s.Close()
	if _, err := Discover(context.Background(), address+"/mcp", Options{}); err == nil || !strings.Contains(err.Error(), address) {
		t.Errorf("got %v, want an error with the address", err)
	}
}

// Only the MCP server receives the user's headers. Metadata requests do not contain the user's headers.
func TestHeadersStayWithTheServer(t *testing.T) {
	s := newSite(t, base())
	if _, err := discover(t, s, Options{Header: http.Header{"X-Api-Key": {"canary"}}}); err != nil {
		t.Fatal(err)
	}
	for i, asked := range s.asked {
		if got := s.heads[i].Get("X-Api-Key"); (got != "") != (asked == "POST /mcp") {
			t.Errorf("%s got the header %q", asked, got)
		}
	}
}

// A URL in the challenge is ignored only if it contains a whole secret of the user's headers. A server may use the ID of a tenant and an origin
// in its URLs.
func TestHeaderValuesInAChallenge(t *testing.T) {
	const secret, id = "/a%2Dlong-secret-of-the-user", "/f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
	for _, tt := range []struct {
		name, header, value, path string
		ignored                   bool
	}{
		{"a part of a value", "X-Key", "a-long-secret-of-the-user-and-more", secret, false},
		{"a value", "X-Key", "a-long-secret-of-the-user", secret, true},
		{"the token of a scheme", "Authorization", "Bearer a-long-secret-of-the-user", secret, true},
		{"a short value", "X-Custom", "a-long-secret", secret, false},
		{"the ID of a tenant", "X-Tenant", id[1:], id, false},
		{"a UUID", "X-Custom", id[1:], id, false},
		{"the origin", "Origin", "ORIGIN", "/meta", false},
	} {
		s := newSite(t, base("/mcp", unauthAt+`Bearer resource_metadata="ORIGIN`+tt.path+`"`, tt.path, prm))
		_, err := discover(t, s, Options{Header: http.Header{tt.header: {strings.ReplaceAll(tt.value, "ORIGIN", s.URL)}}})
		if err != nil || slices.Contains(s.asked, "GET "+tt.path) == tt.ignored {
			t.Errorf("%s: %v, asked %q", tt.name, err, s.asked)
		}
	}
}

func TestKnownChallengeSavesTheProbe(t *testing.T) {
	s := newSite(t, base())
	r, err := discover(t, s, Options{Challenges: []Challenge{{Scheme: "bearer", Params: map[string]string{"scope": "write"}}}})
	if err != nil || r.Challenge.Scope() != "write" || slices.Contains(s.asked, "POST /mcp") {
		t.Errorf("got %v, asked %q", err, s.asked)
	}
}

// A redirect to a refused URL does not mean that the document is absent, so Discover tries no other URL.
func TestRedirectToARefusedAddress(t *testing.T) {
	for _, target := range []string{"http://169.254.169.254/latest", "https://user:p%77@evil.example/", "https://user:p w@evil.example/", "https://[fe80::1%lo]/",
		"http://%31%32%37.0.0.1/", "https://exa mple/", "https://evil.example:x/"} {
		s := newSite(t, base(asPath, elsewhere+target, oidPath, asm))
		_, err := discover(t, s, Options{})
		var refused *httpx.AddressError
		if !errors.As(err, &refused) || slices.Contains(s.asked, "GET "+oidPath) || strings.Contains(err.Error(), "user:") {
			t.Errorf("%s: got %v, asked %q", target, err, s.asked)
		}
	}
}

// The metadata has the members token_endpoint and Token_Endpoint. encoding/json alone would use the latter.
func TestMembersCountByTheirExactNames(t *testing.T) {
	pages := base()
	pages[asPath] = strings.TrimSuffix(asm, "}") + `,"Token_Endpoint":"https://evil.example/t"}`
	s := newSite(t, pages)
	r, err := discover(t, s, Options{})
	if err != nil || r.Server.TokenEndpoint != s.URL+"/t" {
		t.Errorf("got %v, %v", r.Server.TokenEndpoint, err)
	}
}

func FuzzResourceMetadata(f *testing.F) {
	f.Add([]byte(`{"resource":"https://x/mcp","authorization_servers":["https://as"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var m ResourceMetadata
		if _, err := httpx.DecodeMembers(data, &m); err != nil {
			return
		}
		server, _ := httpx.CheckServer("https://x/mcp")
		if _, why := checkResource(m.Resource, server); why == "" {
			if u, err := url.Parse(m.Resource); err == nil && strings.EqualFold(u.Scheme, "https") && strings.EqualFold(u.Hostname(), "x") && u.User == nil {
				return
			}
			t.Errorf("resource %q was accepted", m.Resource)
		}
	})
}

// Accepted metadata contains only allowed URLs.
func FuzzServerMetadata(f *testing.F) {
	f.Add([]byte(`{"issuer":"https://as","authorization_endpoint":"https://as/a","token_endpoint":"https://as/t"}`))
	f.Add([]byte(`{"issuer":"https://as","token_endpoint":"http://127.0.0.1/t"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var m ServerMetadata
		if _, err := httpx.DecodeMembers(data, &m); err != nil {
			return
		}
		finder := &finder{r: &Result{}}
		if finder.acceptMetadata(m, "https://as", "https://as/m") != nil {
			return
		}
		for _, e := range finder.r.Server.endpoints() {
			if _, err := httpx.Check(*e.address, false); *e.address != "" && err != nil {
				t.Errorf("%s: %v", e.name, err)
			}
		}
	})
}

// Metadata whose resource is a parent of the server's URL is accepted only from the server's own well-known URLs. At any other URL of the
// host, another tenant could have published such metadata.
func TestParentResourceFromElsewhere(t *testing.T) {
	parent := strings.Replace(prm, `"ORIGIN/mcp"`, `"ORIGIN"`, 1)
	for name, tt := range map[string]struct {
		pages map[string]string
		ok    bool
	}{
		"well-known with the path":          {base(prmPath+"/mcp", parent), true},
		"well-known at the root":            {with(map[string]string{prmPath: parent, asPath: asm}), true},
		"well-known, named in the 401":      {base(prmPath+"/mcp", parent, "/mcp", unauthAt+`Bearer resource_metadata="ORIGIN`+prmPath+`/mcp"`), true},
		"well-known, redirected to a slash": {base(prmPath+"/mcp", elsewhere+prmPath+"/mcp/", prmPath+"/mcp/", parent), true},
		"well-known, redirected deeper":     {base(prmPath+"/mcp", elsewhere+prmPath+"/mcp/b", prmPath+"/mcp/b", parent), false},
		"elsewhere, named in the 401":       {base("/b/meta", parent, "/mcp", unauthAt+`Bearer resource_metadata="ORIGIN/b/meta"`), false},
		"another server's well-known":       {base(prmPath+"/b", parent, "/mcp", unauthAt+`Bearer resource_metadata="ORIGIN`+prmPath+`/b"`), false},
		"well-known, redirected elsewhere":  {base(prmPath+"/mcp", moved, "/moved", parent), false},
	} {
		s := newSite(t, tt.pages)
		r, err := discover(t, s, Options{})
		if (err == nil) != tt.ok || !tt.ok && !errors.Is(err, ErrResource) || tt.ok && r.ResourceID != s.URL {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Only the server's own well-known URL may claim a resource that differs from the server's URL in the query, because tenants may differ only
// in the query.
func TestQueryResourceFromElsewhere(t *testing.T) {
	named := func(path string) string { return unauthAt + `Bearer resource_metadata="ORIGIN` + path + `"` }
	for _, tt := range []struct {
		name, server, at, resource string
		ok                         bool
	}{
		{"dropped, well-known with the query", "/mcp?tenant=a", prmPath + "/mcp?tenant=a", "/mcp", true},
		{"dropped, well-known without the query", "/mcp?tenant=a", prmPath + "/mcp", "/mcp", true},
		{"dropped, well-known of another tenant", "/mcp?tenant=a", prmPath + "/mcp?tenant=b", "/mcp", false},
		{"dropped, well-known at the root with the query", "/mcp?tenant=a", prmPath + "?tenant=a", "/mcp", true},
		{"dropped, well-known at the root of another tenant", "/mcp?tenant=a", prmPath + "?tenant=b", "/mcp", false},
		{"dropped, well-known with the query and a slash", "/mcp?tenant=a", prmPath + "/mcp/?tenant=a", "/mcp", true},
		{"dropped, elsewhere", "/mcp?tenant=a", "/b/meta", "/mcp", false},
		{"dropped with a slash, elsewhere", "/mcp?tenant=a", "/b/meta", "/mcp/", false},
		{"parent, well-known with the query", "/mcp?tenant=a", prmPath + "/mcp?tenant=a", "", true},
		{"a part, well-known with the query", "/mcp?ro=1&tools=a", prmPath + "/mcp?ro=1&tools=a", "/mcp?ro=1", true},
		{"a part, well-known with this part", "/mcp?ro=1&tools=a", prmPath + "/mcp?ro=1", "/mcp?ro=1", true},
		{"a part, well-known without the query", "/mcp?ro=1&tools=a", prmPath + "/mcp", "/mcp?tools=a", true},
		{"dropped, well-known without the query, two parameters", "/mcp?ro=1&tools=a", prmPath + "/mcp", "/mcp", true},
		{"another order", "/mcp?ro=1&tools=a", prmPath + "/mcp", "/mcp?tools=a&ro=1", true},
		{"a part, elsewhere", "/mcp?ro=1&tools=a", "/b/meta", "/mcp?ro=1", false},
		{"a part with another value", "/mcp?tenant=a&tools=a", prmPath + "/mcp", "/mcp?tenant=b", false},
		{"a part and one more", "/mcp?tenant=a&tools=a", prmPath + "/mcp", "/mcp?tenant=a&x=1", false},
		{"a part, one of two values", "/mcp?tenant=a&tenant=b", prmPath + "/mcp", "/mcp?tenant=b", false},
		{"a part, with a semicolon", "/mcp?tenant=a;x", prmPath + "/mcp", "/mcp?tenant=a", false},
		{"a part, well-known of another tenant", "/mcp?tenant=a&tools=a", prmPath + "/mcp?tenant=b", "/mcp?tenant=a", false},
		{"added, well-known", "/mcp", prmPath + "/mcp", "/mcp?tenant=b", true},
		{"added, elsewhere", "/mcp", "/b/meta", "/mcp?tenant=b", false},
		{"added with a slash, elsewhere", "/mcp", "/b/meta", "/mcp/?tenant=b", false},
		{"the same query, elsewhere", "/mcp?tenant=a", "/b/meta", "/mcp?tenant=a", true},
	} {
		s := newSite(t, map[string]string{tt.server: named(tt.at), tt.at: strings.Replace(prm, "ORIGIN/mcp", "ORIGIN"+tt.resource, 1), asPath: asm})
		r, err := Discover(context.Background(), s.URL+tt.server, Options{})
		if (err == nil) != tt.ok || !tt.ok && !errors.Is(err, ErrResource) || tt.ok && r.ResourceID != s.URL+tt.resource {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// A tenant's challenge can name the metadata of the whole host. Discover uses this metadata only if the host answers that there is no metadata
// at the more specific well-known URLs of the tenant's server. It sends no other requests than the expected ones.
func TestParentResourceIsTheLastChoice(t *testing.T) {
	doc := func(resource string) string { return strings.Replace(prm, "ORIGIN/mcp", "ORIGIN"+resource, 1) }
	specific := prmPath + "/mcp"
	for _, tt := range []struct {
		name, server, named string // named: the path of the URL in the challenge
		pages               []string
		want                string // the resource; empty: ErrResource
		asked               []string
	}{
		{"the server has its own", "/mcp", prmPath, []string{prmPath, doc(""), specific, doc("/mcp")}, "ORIGIN/mcp", []string{prmPath, specific}},
		{"after a redirect", "/mcp", "/mcp/meta", []string{"/mcp/meta", elsewhere + prmPath, prmPath, doc(""), specific, doc("/mcp")}, "ORIGIN/mcp", []string{"/mcp/meta", prmPath, specific}},
		{"the server's own has another resource", "/mcp", prmPath, []string{prmPath, doc(""), specific, doc("/b")}, "", []string{prmPath, specific}},
		{"the server's own is for the host", "/mcp", prmPath, []string{prmPath, doc(""), specific, doc("/")}, "ORIGIN/", []string{prmPath, specific}},
		{"not found", "/mcp", prmPath, []string{prmPath, doc("")}, "ORIGIN", []string{prmPath, specific}},
		{"unauthorized", "/mcp", prmPath, []string{prmPath, doc(""), specific, unauth}, "ORIGIN", []string{prmPath, specific}},
		{"forbidden", "/mcp", prmPath, []string{prmPath, doc(""), specific, "403"}, "ORIGIN", []string{prmPath, specific}},
		{"an HTML page", "/mcp", prmPath, []string{prmPath, doc(""), specific, html}, "ORIGIN", []string{prmPath, specific}},
		{"an internal error", "/mcp", prmPath, []string{prmPath, doc(""), specific, fail500}, "ORIGIN", []string{prmPath, specific}},
		{"bad gateway", "/mcp", prmPath, []string{prmPath, doc(""), specific, "502"}, "", []string{prmPath, specific}},
		{"unavailable", "/mcp", prmPath, []string{prmPath, doc(""), specific, "503"}, "", []string{prmPath, specific}},
		{"too many requests", "/mcp", prmPath, []string{prmPath, doc(""), specific, "429"}, "", []string{prmPath, specific}},
		{"the resource is the server", "/mcp", prmPath, []string{prmPath, doc("/mcp"), specific, doc("/mcp")}, "ORIGIN/mcp", []string{prmPath}},
		{"the named one is the most specific", "/mcp", specific, []string{prmPath, doc("/mcp"), specific, doc("")}, "ORIGIN", []string{specific}},
		{"a query that the named one lacks", "/mcp?tenant=a", specific, []string{specific, doc("/mcp"), specific + "?tenant=a", doc("/mcp?tenant=a")}, "ORIGIN/mcp?tenant=a",
			[]string{specific, specific + "?tenant=a"}},
		{"a query that the metadata lacks", "/mcp?tenant=a", prmPath, []string{prmPath, doc(""), specific, doc("/mcp")}, "ORIGIN/mcp", []string{prmPath, specific + "?tenant=a", specific}},
		{"a query, not named in the challenge", "/mcp?tenant=a", "", []string{prmPath, doc(""), specific, doc("/mcp")}, "ORIGIN/mcp", []string{specific + "?tenant=a", specific}},
	} {
		s := newSite(t, with(map[string]string{tt.server: unauth, asPath: asm}, tt.pages...))
		if tt.named != "" {
			s.pages[tt.server] = unauthAt + `Bearer resource_metadata="ORIGIN` + tt.named + `"`
		}
		r, err := Discover(context.Background(), s.URL+tt.server, Options{})
		if tt.want == "" && !errors.Is(err, ErrResource) || tt.want != "" && (err != nil || r.ResourceID != strings.ReplaceAll(tt.want, "ORIGIN", s.URL)) {
			t.Errorf("%s: got %q, %v", tt.name, r.ResourceID, err)
		}
		var asked []string
		for _, a := range s.asked {
			if path, ok := strings.CutPrefix(a, "GET "); ok && path != asPath {
				asked = append(asked, path)
			}
		}
		if !slices.Equal(asked, tt.asked) {
			t.Errorf("%s: asked %q, want %q", tt.name, asked, tt.asked)
		}
	}
}

// A server may write its well-known URL in another form, for example with its default port.
func TestIsOwnWellKnown(t *testing.T) {
	for _, tt := range []struct {
		server, address string
		want            bool
	}{
		{"http://host/mcp", "http://host:80" + prmPath + "/mcp", true},
		{"https://host/mcp", "https://HOST:443" + prmPath, true},
		{"https://host/mcp/", "https://host" + prmPath + "/mcp/", true},
		{"https://host/a%2Fb", "https://host" + prmPath + "/a%2Fb", true},
		{"https://host/a%2Fb", "https://host" + prmPath + "/a/b", false},
		{"https://host/mcp", "https://host:8443" + prmPath + "/mcp", false},
		{"https://host/mcp", "http://host" + prmPath + "/mcp", false},
		{"https://host/mcp", "https://host" + prmPath + "/mcp//", false},
		{"https://host/mcp", "https://host" + prmPath + "/mcp?b", false},
		{"https://host/mcp", "https://host" + prmPath + "/other/../mcp", false},
	} {
		server, err := url.Parse(tt.server)
		if err != nil {
			t.Fatal(err)
		}
		if got := (&finder{server: server}).isOwnWellKnown(tt.address); got != tt.want {
			t.Errorf("%s at %s: got %t", tt.address, tt.server, got)
		}
	}
}

// Metadata that was fetched through a redirect to another origin is refused, even if its issuer is correct.
func TestMetadataRedirectedAway(t *testing.T) {
	s := newSite(t, base())
	s.pages[asPath] = ""
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, strings.ReplaceAll(asm, "ORIGIN", s.URL))
	}))
	defer other.Close()
	for target, ok := range map[string]bool{s.URL + "/moved": true, other.URL + "/moved": false} {
		s.pages = base("/moved", asm)
		delete(s.pages, asPath)
		site := s.Config.Handler
		s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == asPath {
				http.Redirect(w, r, target, http.StatusFound)
				return
			}
			site.ServeHTTP(w, r)
		})
		_, err := discover(t, s, Options{})
		if (err == nil) != ok || !ok && !errors.Is(err, ErrIssuer) {
			t.Errorf("%s: %v", target, err)
		}
		s.Config.Handler = site
	}
}

func TestReservedIn(t *testing.T) {
	for query, want := range map[string]string{
		"": "", "x=1&tenant=a": "", "prompt=login&nonce=x": "nonce", "nonce[]=x": "nonce[]", "prompt=login": "", "client_id=a": "client_id", "x=1&state": "state", "a;scope=b": "scope", "re%73ource=x": "resource",
		"REDIRECT_URI=x": "REDIRECT_URI", "%zz=1&code_challenge=a": "code_challenge", "clientId=1": "clientId", "request_uri=x": "request_uri",
		"client_id%00=a": "client_id\x00", "client_id[]=a": "client_id[]", "client%5Bid=a": "client[id", "x[client_id]=a": "x[client_id]", "client.id=a": "client.id",
		"redirect+uri=a": "redirect uri", "state%C3%A9=a": "stateé", "client_id%5D=a": "client_id]", "[client_id]=a": "[client_id]",
		"[[request_uri]]=a": "[[request_uri]]", "+state+[x]=a": " state [x]", "[x][scope]=a": "[x][scope]", "substate=1&scopes=a&my_client_id=b": "",
	} {
		if got := FindReserved(query); got != want {
			t.Errorf("%q: got %q, want %q", query, got, want)
		}
	}
}

// roundTrip is a transport that is a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// OwnHTTP, which may present a client certificate, sends only requests whose URL Discover derives or is below the server's URL. Another URL that
// the challenge names, or a URL below an issuer that only the MCP server names, may belong to another tenant of the host.
func TestOwnHTTP(t *testing.T) {
	as := newSite(t, map[string]string{asPath + "/good": strings.Replace(asm, `"issuer":"ORIGIN"`, `"issuer":"ORIGIN/good"`, 1)})
	named := func(address string) string { return unauthAt + `Bearer resource_metadata="ORIGIN` + address + `"` }
	away := strings.Replace(prm, `["ORIGIN"]`, `["`+as.URL+`/good"]`, 1)
	const own, metadata = prmPath + "/mcp", "GET " + asPath
	issuer := func(path string) map[string]string { // only the last URL of the issuer has metadata
		return with(map[string]string{own: strings.Replace(prm, `["ORIGIN"]`, `["ORIGIN`+path+`"]`, 1), path + oidPath: strings.Replace(asm, `"issuer":"ORIGIN"`, `"issuer":"ORIGIN`+path+`"`, 1)})
	}
	for _, tt := range []struct {
		name          string
		pages         map[string]string
		known         string
		want, foreign []string // the requests of OwnHTTP and of HTTP
	}{
		{"derived", base(), "", []string{"POST /mcp", "GET " + own, metadata}, nil},
		{"the challenge names the well-known URL", base("/mcp", named(own)), "", []string{"POST /mcp", "GET " + own, metadata}, nil},
		{"with a final slash", with(map[string]string{own + "/": prm, asPath: asm}, "/mcp", named(own+"/")), "", []string{"POST /mcp", "GET " + own + "/", metadata}, nil},
		{"the challenge names the root", with(map[string]string{prmPath: prm, asPath: asm}, "/mcp", named(prmPath)), "", []string{"POST /mcp", "GET " + prmPath, metadata}, nil},
		{"the challenge names another URL", base("/mcp", named("/b/delete?item=1")), "", []string{"POST /mcp", "GET " + own, metadata}, []string{"GET /b/delete?item=1"}},
		{"below the server", with(map[string]string{"/mcp": named("/mcp/metadata"), "/mcp/metadata": prm, asPath: asm}), "", []string{"POST /mcp", "GET /mcp/metadata", metadata}, nil},
		{"below the server, another query", base("/mcp", named("/mcp/delete?tenant=b")), "", []string{"POST /mcp", "GET " + own, metadata}, []string{"GET /mcp/delete?tenant=b"}},
		{"below the server, with dots", base("/mcp", named("/mcp/../b/delete")), "", []string{"POST /mcp", "GET " + own, metadata}, []string{"GET /mcp/../b/delete"}},
		{"a query that is not the server's", base("/mcp", named(own+"?delete=1")), "", []string{"POST /mcp", "GET " + own, metadata}, []string{"GET " + own + "?delete=1"}},
		{"the well-known URL of another tenant", base("/mcp", named(prmPath+"/b")), "", []string{"POST /mcp", "GET " + own, metadata}, []string{"GET " + prmPath + "/b"}},
		{"dots", base("/mcp", named(own+"/../../../b")), "", []string{"POST /mcp", "GET " + own, metadata}, []string{"GET " + own + "/../../../b"}},
		{"after a redirect", with(map[string]string{"/mcp": elsewhere + "/mcp/v2", "/mcp/v2": named(own + "/v2"), own + "/v2": prm, asPath: asm}), "",
			[]string{"POST /mcp", "POST /mcp/v2", "GET " + own + "/v2", metadata}, nil},
		{"an issuer elsewhere", base(own, away), "", []string{"POST /mcp", "GET " + own}, []string{metadata + "/good"}},
		{"a known issuer", base(own, away), as.URL + "/good", []string{"POST /mcp", "GET " + own, metadata + "/good"}, nil},
		{"another tenant of a known issuer's host", base(own, away), as.URL + "/b", []string{"POST /mcp", "GET " + own}, []string{metadata + "/good"}},
		{"an issuer of another tenant on the server's host", issuer("/b/delete"), "", []string{"POST /mcp", "GET " + own, metadata + "/b/delete", "GET " + oidPath + "/b/delete"}, []string{"GET /b/delete" + oidPath}},
		{"a path that begins like the server's", issuer("/mcp2"), "", []string{"POST /mcp", "GET " + own, metadata + "/mcp2", "GET " + oidPath + "/mcp2"}, []string{"GET /mcp2" + oidPath}},
		{"an issuer at the server's URL", issuer("/mcp"), "", []string{"POST /mcp", "GET " + own, metadata + "/mcp", "GET " + oidPath + "/mcp", "GET /mcp" + oidPath}, nil},
		{"an issuer below the server", issuer("/mcp/as"), "", []string{"POST /mcp", "GET " + own, metadata + "/mcp/as", "GET " + oidPath + "/mcp/as", "GET /mcp/as" + oidPath}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, tt.pages)
			var asked [2][]string
			client := func(i int) *http.Client {
				return &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					asked[i] = append(asked[i], r.Method+" "+r.URL.RequestURI())
					return http.DefaultTransport.RoundTrip(r)
				})}
			}
			if _, err := discover(t, s, Options{OwnHTTP: client(0), HTTP: client(1), KnownIssuers: []string{"", tt.known}}); err != nil {
				t.Error(err)
			}
			if !slices.Equal(asked[0], tt.want) || !slices.Equal(asked[1], tt.foreign) {
				t.Errorf("OwnHTTP sent %q, HTTP sent %q", asked[0], asked[1])
			}
		})
	}
}

// The path of the server may be below the issuer's.
func TestOwnHTTPOfAnIssuerAboveTheServer(t *testing.T) {
	const issuer = "/t/as"
	s := newSite(t, with(map[string]string{issuer + "/mcp": unauth, prmPath + issuer + "/mcp": `{"resource":"ORIGIN/t/as/mcp","authorization_servers":["ORIGIN/t/as"]}`,
		issuer + oidPath: strings.Replace(asm, `"issuer":"ORIGIN"`, `"issuer":"ORIGIN/t/as"`, 1)}))
	foreign := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) { return nil, errors.New("not with HTTP") })}
	if _, err := Discover(context.Background(), s.URL+issuer+"/mcp", Options{OwnHTTP: http.DefaultClient, HTTP: foreign}); err != nil {
		t.Error(err)
	}
}

// A server may resolve two dots in a path, so no request contains the path of an issuer with two dots.
func TestIssuerWithDots(t *testing.T) {
	for _, path := range []string{"/../../b/delete", "/as/..", "/%2e%2e/b", "/.%2E/b", "/..%2fb", "/..;/b", "/..%5cb"} {
		s := newSite(t, base(prmPath+"/mcp", strings.Replace(prm, `["ORIGIN"]`, `["ORIGIN`+path+`"]`, 1)))
		for name, o := range map[string]Options{"unknown": {}, "named by the user": {Issuer: s.URL + path, KnownIssuers: []string{s.URL + path}}} {
			_, err := discover(t, s, o)
			if !errors.Is(err, ErrIssuer) || !strings.Contains(err.Error(), path+`" contains two dots`) {
				t.Errorf("%s, %s: got %v", path, name, err)
			}
			if last := s.asked[len(s.asked)-1]; last != "GET "+prmPath+"/mcp" {
				t.Errorf("%s, %s: Discover sent %s", path, name, last)
			}
		}
	}
}
