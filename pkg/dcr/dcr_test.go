package dcr

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"mcpauth/internal/httpx"
)

// registrar answers registration requests with a list of responses, in order, and records the requests.
type registrar struct {
	*httptest.Server
	asked []map[string]any
}

type reply struct {
	status int
	kind   string
	body   string
}

func newRegistrar(t *testing.T, replies ...reply) *registrar {
	t.Helper()
	r := &registrar{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var asked map[string]any
		json.NewDecoder(req.Body).Decode(&asked)
		if req.Method != http.MethodPost || req.Header.Get("Content-Type") != "application/json" || req.Header.Get("Accept") != "application/json" {
			t.Errorf("asked by %s with %v", req.Method, req.Header)
		}
		r.asked = append(r.asked, asked)
		rep := replies[min(len(r.asked), len(replies))-1]
		if rep.kind == "" {
			rep.kind = "application/json"
		}
		w.Header().Set("Content-Type", rep.kind)
		w.WriteHeader(rep.status)
		io.WriteString(w, rep.body)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *registrar) options() Options {
	return Options{Local: true, Issuer: "https://as", RegistrationEndpoint: r.URL + "/register", RedirectURI: "http://127.0.0.1:1/callback"}
}

func TestRegisterAsks(t *testing.T) {
	r := newRegistrar(t, reply{status: 201, body: `{"client_id":"c"}`})
	o := r.options()
	o.Scope, o.SoftwareVersion, o.AuthMethods = "a b", "1.2", []string{"none", "client_secret_basic"}
	if _, err := Register(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"client_name": "mcpauth", "redirect_uris": []any{"http://127.0.0.1:1/callback"}, "grant_types": []any{"authorization_code", "refresh_token"},
		"response_types": []any{"code"}, "token_endpoint_auth_method": "none", "application_type": "native", "scope": "a b", "software_id": "mcpauth", "software_version": "1.2"}
	if !reflect.DeepEqual(r.asked[0], want) {
		t.Errorf("asked %v, want %v", r.asked[0], want)
	}
}

// If response_types is missing, it means code (RFC 7591 §2). oidc-provider then refuses a device client, because it has no redirect URIs.
func TestRegisterWithoutRedirectNamesNoResponseType(t *testing.T) {
	r := newRegistrar(t, reply{status: 201, body: `{"client_id":"c"}`})
	o := r.options()
	o.RedirectURI, o.GrantTypes = "", []string{"urn:ietf:params:oauth:grant-type:device_code"}
	if _, err := Register(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	if got, ok := r.asked[0]["response_types"].([]any); !ok || len(got) != 0 {
		t.Errorf("response_types %v, want an empty list", r.asked[0]["response_types"])
	}
	if _, ok := r.asked[0]["redirect_uris"]; ok {
		t.Error("redirect addresses of a client that has none")
	}
}

func TestRegisterReadsTheAnswer(t *testing.T) {
	for _, tt := range []struct {
		name    string
		methods []string
		status  int
		body    string
		want    Client
	}{
		{"public client", []string{"none"}, 201, `{"client_id":"c"}`, Client{AuthMethod: "none"}},
		{"200 in place of 201", nil, 200, `{"client_id":"c"}`, Client{AuthMethod: "none"}},
		{"a secret with its method", []string{"client_secret_basic"}, 201, `{"client_id":"c","client_secret":"s","token_endpoint_auth_method":"client_secret_basic"}`,
			Client{Secret: "s", AuthMethod: "client_secret_basic"}},
		{"a secret though none was asked for, and the method named (Supabase)", []string{"none", "client_secret_post"}, 201,
			`{"client_id":"c","client_secret":"s","token_endpoint_auth_method":"client_secret_post"}`, Client{Secret: "s", AuthMethod: "client_secret_post"}},
		{"a secret without a method where none is known (TypeScript SDK)", nil, 201, `{"client_id":"c","client_secret":"s"}`,
			Client{Secret: "s", AuthMethod: "client_secret_post"}},
		{"a secret without a method where none is offered", []string{"none"}, 201, `{"client_id":"c","client_secret":"s"}`, Client{Secret: "s", AuthMethod: "none"}},
		{"a secret without a method where post is offered", []string{"client_secret_post"}, 201, `{"client_id":"c","client_secret":"s"}`,
			Client{Secret: "s", AuthMethod: "client_secret_post"}},
		{"a method that needs a secret, without one", nil, 201, `{"client_id":"c","token_endpoint_auth_method":"client_secret_basic"}`, Client{AuthMethod: "none"}},
		{"a time of 0: never", nil, 201, `{"client_id":"c","client_secret_expires_at":0}`, Client{AuthMethod: "none"}},
		{"a secret that ends", nil, 201, `{"client_id":"c","client_secret":"s","token_endpoint_auth_method":"client_secret_post","client_secret_expires_at":1700000000}`,
			Client{Secret: "s", AuthMethod: "client_secret_post", SecretExpiresAt: time.Unix(1700000000, 0).UTC()}},
		{"a time of a wrong type", nil, 201, `{"client_id":"c","client_secret_expires_at":"never"}`, Client{AuthMethod: "none"}},
		{"rewritten redirect addresses: what was sent counts (LiteLLM)", nil, 201, `{"client_id":"c","redirect_uris":["https://other"]}`, Client{AuthMethod: "none"}},
		{"empty scope", nil, 201, `{"client_id":"c","scope":""}`, Client{AuthMethod: "none"}},
		{"narrowed scope", nil, 201, `{"client_id":"c","scope":"a"}`, Client{AuthMethod: "none", Scope: "a"}},
		{"the registration access token in the registration address", nil, 201, `{"client_id":"c","registration_client_uri":"/register/canary-token","registration_access_token":"canary-token"}`,
			Client{AuthMethod: "none", RegistrationURI: "ORIGIN/register/canary-token", RegistrationToken: "canary-token"}},
		{"relative registration address", nil, 201, `{"client_id":"c","registration_client_uri":"/register/c","registration_access_token":"t"}`,
			Client{AuthMethod: "none", RegistrationURI: "ORIGIN/register/c", RegistrationToken: "t"}},
		{"registration address elsewhere: the token stays here", nil, 201,
			`{"client_id":"c","registration_client_uri":"https://evil.example.com/c","registration_access_token":"t"}`, Client{AuthMethod: "none"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRegistrar(t, reply{status: tt.status, body: tt.body})
			o := r.options()
			o.AuthMethods = tt.methods
			got, err := Register(context.Background(), o)
			if err != nil {
				t.Fatal(err)
			}
			tt.want.ID, tt.want.Kind, tt.want.Issuer, tt.want.RedirectURI = "c", Dynamic, "https://as", o.RedirectURI
			tt.want.RegistrationURI = strings.ReplaceAll(tt.want.RegistrationURI, "ORIGIN", r.URL)
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestRegisterRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		r    reply
		want string
	}{
		{"RFC 7591 §3.2.2", reply{status: 400, body: `{"error":"invalid_redirect_uri","error_description":"no \u001b[31mloopback"}`}, `"invalid_redirect_uri": "no [31mloopback"`},
		{"plain text (Figma)", reply{status: 403, kind: "text/plain", body: "Only known clients"}, `403 Forbidden: "Only known clients"`},
		{"a page", reply{status: 404, kind: "text/html", body: "<html>canary"}, "404"},
		{"200 with an error (GitHub)", reply{status: 200, body: `{"error":"not_allowed"}`}, "not_allowed"},
		{"no id", reply{status: 201, body: `{}`}, "client_id"},
		{"an id with a newline", reply{status: 201, body: `{"client_id":"a\nb"}`}, "client_id"},
		{"two ids", reply{status: 201, body: `{"client_id":"a","client_id":"b"}`}, "client_id"},
		{"a secret that is too long", reply{status: 201, body: `{"client_id":"a","client_secret":"` + strings.Repeat("s", httpx.MaxSecret+1) + `"}`}, "no usable"},
		{"a registration access token that is too long", reply{status: 201, body: `{"client_id":"a","registration_access_token":"` + strings.Repeat("s", httpx.MaxSecret+1) + `"}`}, "no usable"},
		{"a redirect", reply{status: 307, body: ``}, "307"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Register(context.Background(), newRegistrar(t, tt.r).options())
			var refused *Error
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v, want an *Error with %s", err, tt.want)
			}
		})
	}
}

// Keycloak and Supabase refuse a registration because of its scope.
func TestRegisterOnceMoreWithoutScope(t *testing.T) {
	r := newRegistrar(t, reply{status: 400, body: `{"error":"invalid_client_metadata","error_description":"Scope not allowed"}`}, reply{status: 201, body: `{"client_id":"c"}`})
	o := r.options()
	o.Scope = "a"
	c, err := Register(context.Background(), o)
	if err != nil || len(r.asked) != 2 || r.asked[1]["scope"] != nil || c.Scope != "" {
		t.Errorf("got %v after %v", err, r.asked)
	}
}

func TestRegistrationEndpointIsChecked(t *testing.T) {
	var refused *httpx.AddressError
	if _, err := Register(context.Background(), Options{RegistrationEndpoint: "http://as.example.com/register"}); !errors.As(err, &refused) {
		t.Errorf("got %v", err)
	}
}

// Resolve prefers clients in a fixed order, and uses credentials only at the authorization server that issued them.
func TestResolve(t *testing.T) {
	const redirect = "http://127.0.0.1:1/callback"
	const doc = "https://client.example.com/mcpauth.json"
	stored := func(change func(*Client)) *Client {
		c := &Client{ID: "stored", Kind: Dynamic, Issuer: "https://as", RedirectURI: redirect, Scope: "a b"}
		if change != nil {
			change(c)
		}
		return c
	}
	for _, tt := range []struct {
		name string
		o    Options
		want string // id; "new": registered
	}{
		{"pre-registered before all", Options{ClientID: "mine", DocumentURL: doc, DocumentSupported: true, Stored: stored(nil)}, "mine"},
		{"the document before a registration", Options{DocumentURL: doc, DocumentSupported: true, Stored: stored(nil)}, doc},
		{"the document only where it is taken", Options{DocumentURL: doc, Stored: stored(nil)}, "stored"},
		{"stored", Options{Stored: stored(nil)}, "stored"},
		{"stored, for a part of its scopes", Options{Stored: stored(nil), Scope: "a"}, "stored"},
		{"stored, for more than its scopes", Options{Stored: stored(nil), Scope: "a c"}, "new"},
		{"stored at another authorization server", Options{Stored: stored(func(c *Client) { c.Issuer = "https://other" })}, "new"},
		{"stored with another port", Options{Stored: stored(func(c *Client) { c.RedirectURI = "http://127.0.0.1:2/callback" })}, "new"},
		{"stored with an expired secret", Options{Stored: stored(func(c *Client) { c.SecretExpiresAt = time.Unix(1, 0) })}, "new"},
		{"stored, but pre-registered", Options{Stored: stored(func(c *Client) { c.Kind = Preregistered })}, "new"},
		{"a new one is wanted", Options{Stored: stored(nil), New: true}, "new"},
		{"none stored", Options{}, "new"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRegistrar(t, reply{status: 201, body: `{"client_id":"new"}`})
			o := tt.o
			o.Local, o.Issuer, o.RegistrationEndpoint, o.RedirectURI = true, "https://as", r.URL, redirect
			c, err := Resolve(context.Background(), o)
			if err != nil || c.ID != tt.want || c.Issuer != "https://as" {
				t.Errorf("got %v, %v; want %s", c, err, tt.want)
			}
			if (len(r.asked) > 0) != (tt.want == "new") {
				t.Errorf("%d registrations", len(r.asked))
			}
		})
	}
	if _, err := Resolve(context.Background(), Options{Issuer: "https://as"}); !errors.Is(err, ErrNoClient) {
		t.Errorf("without any way: %v, want ErrNoClient", err)
	}
}

func TestAuthMethod(t *testing.T) {
	for _, tt := range []struct {
		name        string
		supported   []string
		secret, key bool
		want        string
	}{
		{"public", nil, false, false, "none"},
		{"secret, nothing told: the default of RFC 8414 §2", nil, true, false, "client_secret_basic"},
		{"secret, basic and post", []string{"client_secret_post", "client_secret_basic"}, true, false, "client_secret_basic"},
		{"secret, post alone", []string{"client_secret_post"}, true, false, "client_secret_post"},
		{"key", []string{"private_key_jwt", "client_secret_basic"}, false, true, "private_key_jwt"},
	} {
		if got := AuthMethod(tt.supported, tt.secret, tt.key); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestDelete(t *testing.T) {
	var seen *http.Request
	status := http.StatusNoContent
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { seen = r; w.WriteHeader(status) }))
	defer s.Close()
	c := Client{ID: "c", RegistrationURI: s.URL + "/register/canary", RegistrationToken: "canary"}
	if err := Delete(context.Background(), nil, c); err != nil {
		t.Fatal(err)
	}
	if seen.Method != http.MethodDelete || seen.URL.Path != "/register/canary" || seen.Header.Get("Authorization") != "Bearer canary" {
		t.Errorf("asked %s %s", seen.Method, seen.URL)
	}
	for _, status = range []int{401, 404, 405, 500} {
		var refused *Error
		if err := Delete(context.Background(), nil, c); !errors.As(err, &refused) || refused.StatusCode != status || strings.Contains(err.Error(), "canary") {
			t.Errorf("%d: got %v", status, err)
		}
	}
	s.Close()
	if err := Delete(context.Background(), nil, c); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("of a server that is gone: %v", err)
	}
	if err := Delete(context.Background(), nil, Client{}); err == nil {
		t.Error("a client without an address is deleted")
	}
}

func TestDocument(t *testing.T) {
	const address = "https://client.example.com/mcpauth.json"
	data, err := Document(address, []string{"http://127.0.0.1/callback"}, "")
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(data, &doc); err != nil || doc["client_id"] != address || doc["client_name"] != "mcpauth" || doc["application_type"] != "native" {
		t.Errorf("got %s, %v", data, err)
	}
	if methods := fmt.Sprint(doc["token_endpoint_auth_methods_supported"]); methods != "[none]" {
		t.Errorf("token_endpoint_auth_methods_supported is %s (SEP-3149)", methods)
	}
	for _, bad := range []string{"http://x/y", "https://x", "https://x/", "https://x/../y", "https://u@x/y", "https://x/y#z", "https://localhost/y"} {
		if CheckDocumentURL(bad) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestClientDoesNotPrintSecrets(t *testing.T) {
	c := Client{ID: "c", Secret: "canary", RegistrationToken: "canary"}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if strings.Contains(fmt.Sprintf(format, c)+fmt.Sprintf(format, &c), "canary") {
			t.Errorf("%s prints a secret", format)
		}
	}
}

// Every accepted client has an ID and a secret that are valid in a header, and its registration URL has the endpoint's origin.
func FuzzRegistration(f *testing.F) {
	f.Add([]byte(`{"client_id":"c","client_secret":"s","registration_client_uri":"/r","registration_access_token":"t"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		endpoint, _ := httpx.Check("https://as/register", false)
		o := Options{Issuer: "https://as"}
		c, err := o.newClient(endpoint, o.newRequest(), &httpx.Response{StatusCode: 201, Body: data})
		if err != nil {
			var refused *Error
			if !errors.As(err, &refused) {
				t.Fatalf("error of another type: %v", err)
			}
			return
		}
		if c.ID == "" || strings.ContainsAny(c.ID+string(c.Secret+c.RegistrationToken), "\r\n\x00") {
			t.Errorf("%q gave a client that cannot be sent", data)
		}
		if c.RegistrationToken != "" && !strings.HasPrefix(c.RegistrationURI, "https://as/") && !strings.HasPrefix(c.RegistrationURI, "https://as:443/") && !strings.HasPrefix(c.RegistrationURI, "https://as") {
			t.Errorf("the registration token would go to %q", c.RegistrationURI)
		}
	})
}

// A client with a certificate uses a certificate method only if the server supports it (RFC 8705 §2, §3.4).
func TestCertificate(t *testing.T) {
	self, issued := certificate(t)
	for _, tt := range []struct {
		name    string
		methods []string
		cert    *x509.Certificate
		want    string // method of a pre-registered client
		asks    string // method in the registration request
	}{
		{"no certificate", []string{"tls_client_auth"}, nil, "none", "none"},
		{"by an authority", []string{"none", "self_signed_tls_client_auth", "tls_client_auth"}, issued, "tls_client_auth", "none"},
		{"self-signed", []string{"tls_client_auth", "self_signed_tls_client_auth"}, self, "self_signed_tls_client_auth", "tls_client_auth"},
		{"not taken", []string{"none"}, issued, "none", "none"},
		{"nothing else taken", []string{"tls_client_auth"}, issued, "tls_client_auth", "tls_client_auth"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRegistrar(t, reply{status: 201, body: `{"client_id":"c"}`})
			o := r.options()
			o.AuthMethods, o.Certificate, o.BoundTokens = tt.methods, tt.cert, true
			c, err := Register(context.Background(), o)
			if err != nil || c.AuthMethod != tt.asks || c.BoundTokens != (tt.cert != nil) {
				t.Fatalf("registered as %#v, bound %v: %v", c, c.BoundTokens, err)
			}
			asked := r.asked[0]
			if asked["token_endpoint_auth_method"] != tt.asks || (asked["tls_client_auth_subject_dn"] != nil) != (tt.asks == "tls_client_auth") ||
				(asked["tls_client_certificate_bound_access_tokens"] == true) != (tt.cert != nil) {
				t.Errorf("asked %v", asked)
			}
			o.Stored = &c
			if again, err := Choose(o); err != nil || again.ID != "c" {
				t.Errorf("the registration is not used again: %#v, %v", again, err)
			}
			o.BoundTokens = !o.BoundTokens
			if again, err := Choose(o); err != nil || tt.cert != nil && again.ID != "" {
				t.Errorf("used for tokens that are bound otherwise: %#v, %v", again, err)
			}
			o.ClientID = "known"
			if c, err := Choose(o); err != nil || c.AuthMethod != tt.want {
				t.Errorf("in advance: %q, %v, want %q", c.AuthMethod, err, tt.want)
			}
			o.ClientSecret = "s"
			if c, err := Choose(o); err != nil || c.AuthMethod != "client_secret_basic" {
				t.Errorf("with a secret: %q, %v", c.AuthMethod, err)
			}
		})
	}
}

// certificate returns a self-signed certificate and a certificate that is signed by it.
func certificate(t *testing.T) (self, issued *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	make := func(name string, parent *x509.Certificate) *x509.Certificate {
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: parent == nil, BasicConstraintsValid: true,
			NotAfter: time.Now().Add(time.Hour)}
		if parent == nil {
			parent = template
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	self = make("self", nil)
	return self, make("issued", self)
}
