// These tests use the demo server as clients do: plain net/http for OAuth, and the official SDK for tools.

package demo

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// user is an OAuth client of the demo server.
type user struct {
	t      *testing.T
	s      *Server
	id     string
	secret string // sent by Basic
	header http.Header
	// of the login
	browser            *Browser // nil: cookies are not kept
	redirect, verifier string
	access, refresh    string
}

const callback = "http://127.0.0.1:7777/callback"

// start starts a server that is closed at the end of the test.
func start(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// newUser registers a client.
func newUser(t *testing.T, s *Server) *user {
	t.Helper()
	u := &user{t: t, s: s, redirect: callback, header: http.Header{}}
	status, m := u.postJSON("/register", `{"client_name":"test","application_type":"native","redirect_uris":["`+callback+`"],"token_endpoint_auth_method":"none","grant_types":["authorization_code","refresh_token"]}`)
	if status != http.StatusCreated {
		t.Fatalf("registration: %d %v", status, m)
	}
	u.id = m["client_id"].(string)
	return u
}

// hop sends one request and does not follow redirects.
func (u *user) hop(method, address string, body io.Reader, header http.Header) (*http.Response, string) {
	u.t.Helper()
	res, text, err := hop(method, address, body, header)
	if err != nil {
		u.t.Fatal(err)
	}
	return res, text
}

func hop(method, address string, body io.Reader, header http.Header) (*http.Response, string, error) {
	req, err := http.NewRequest(method, address, body)
	if err != nil {
		return nil, "", err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return res, string(data), err
}

func (u *user) postJSON(path, body string) (int, map[string]any) {
	u.t.Helper()
	res, text := u.hop("POST", u.s.Issuer()+path, strings.NewReader(body), http.Header{"Content-Type": {"application/json"}})
	return res.StatusCode, object(text)
}

// post sends a form to an endpoint of the authorization server, with the authentication of this client.
func (u *user) post(path string, form url.Values) (int, map[string]any) {
	u.t.Helper()
	h := clone(u.header)
	h.Set("Content-Type", "application/x-www-form-urlencoded")
	if u.secret != "" {
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.id+":"+u.secret)))
	} else if form.Get("client_id") == "" && u.id != "" {
		form.Set("client_id", u.id)
	}
	res, text := u.hop("POST", u.s.Issuer()+path, strings.NewReader(form.Encode()), h)
	return res.StatusCode, object(text)
}

func clone(h http.Header) http.Header {
	if h == nil {
		return http.Header{}
	}
	return h.Clone()
}

func object(text string) map[string]any {
	var m map[string]any
	json.Unmarshal([]byte(text), &m)
	return m
}

// authorization returns the query of a valid authorization request.
func (u *user) authorization(scope string) url.Values {
	u.verifier = rand.Text() + rand.Text()
	sum := sha256.Sum256([]byte(u.verifier))
	return url.Values{"response_type": {"code"}, "client_id": {u.id}, "redirect_uri": {u.redirect}, "state": {"s1"}, "scope": {scope},
		"resource": {u.s.URL()}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
}

// authorize sends an authorization request and returns the query of the redirect URI, or nil if the server does not redirect to it.
func (u *user) authorize(q url.Values) url.Values {
	u.t.Helper()
	b := u.browser
	if b == nil {
		b = &Browser{}
	}
	location, err := b.Redirect(context.Background(), u.s.Issuer()+"/authorize?"+q.Encode())
	if err != nil {
		u.t.Fatal(err)
	}
	if location == "" {
		return nil
	}
	to, err := url.Parse(location)
	if err != nil {
		u.t.Fatal(err)
	}
	return to.Query()
}

// exchange returns the form of a token request with a code.
func (u *user) exchange(code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {u.redirect}, "code_verifier": {u.verifier},
		"resource": {u.s.URL()}}
}

// login sends the authorization request and the token request.
func (u *user) login(scope string) {
	u.t.Helper()
	back := u.authorize(u.authorization(scope))
	status, m := u.post("/token", u.exchange(back.Get("code")))
	if status != http.StatusOK {
		u.t.Fatalf("code exchange: %d %v", status, m)
	}
	u.keep(m)
}

func (u *user) keep(m map[string]any) {
	u.access, _ = m["access_token"].(string)
	if rt, ok := m["refresh_token"].(string); ok {
		u.refresh = rt
	}
}

// renew sends a token request with a refresh token.
func (u *user) renew(refresh string) (int, map[string]any) {
	u.t.Helper()
	return u.post("/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}, "resource": {u.s.URL()}})
}

// rpc sends one MCP request of revision 2026-07-28.
func (u *user) rpc(method, params string) (*http.Response, string) {
	u.t.Helper()
	h := clone(u.header)
	h.Set("Content-Type", "application/json")
	h.Set("Accept", "application/json, text/event-stream")
	h.Set("Mcp-Protocol-Version", modern)
	h.Set("Mcp-Method", method)
	if u.access != "" && h.Get("Authorization") == "" {
		h.Set("Authorization", "Bearer "+u.access)
	}
	for _, member := range []string{"name", "taskId"} {
		if name, _ := object(params)[member].(string); name != "" {
			h.Set("Mcp-Name", name)
		}
	}
	body := `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":` + withMeta(params) + `}`
	return u.hop("POST", u.s.URL(), strings.NewReader(body), h)
}

func withMeta(params string) string {
	m := object(params)
	if m == nil {
		m = map[string]any{}
	}
	extensions, _ := m["extensions"].(map[string]any) // that the client supports
	delete(m, "extensions")
	m["_meta"] = map[string]any{"io.modelcontextprotocol/protocolVersion": modern,
		"io.modelcontextprotocol/clientCapabilities": map[string]any{"extensions": extensions},
		"io.modelcontextprotocol/clientInfo":         map[string]any{"name": "test", "version": "1"}}
	data, _ := json.Marshal(m)
	return string(data)
}

// works reports whether the MCP endpoint accepts the access token.
func (u *user) works() bool {
	u.t.Helper()
	res, _ := u.rpc("tools/list", "{}")
	return res.StatusCode == http.StatusOK
}

// bearer adds a token to every request.
type bearer struct{ token string }

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return http.DefaultTransport.RoundTrip(r)
}

// session connects a client of the SDK.
func (u *user) session(ctx context.Context, o *mcp.ClientOptions) *mcp.ClientSession {
	u.t.Helper()
	hc := &http.Client{Transport: bearer{u.access}}
	var transport mcp.Transport = &mcp.StreamableClientTransport{Endpoint: u.s.URL(), HTTPClient: hc, MaxRetries: -1}
	if u.s.o.Era == "sse" {
		transport = &mcp.SSEClientTransport{Endpoint: u.s.URL(), HTTPClient: hc}
	}
	cs, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, o).Connect(ctx, transport, nil)
	if err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(func() { cs.Close() })
	return cs
}
