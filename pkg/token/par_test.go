package token

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"mcpauth/internal/demo"
)

func authorization() url.Values {
	return url.Values{"response_type": {"code"}, "redirect_uri": {"http://127.0.0.1:7/callback"}, "state": {"s1"}, "scope": {"notes:read"},
		"code_challenge": {strings.Repeat("c", 43)}, "code_challenge_method": {"S256"}, "resource": {"https://MCP.example/a/"}}
}

// The form of a pushed request contains the authorization request, client_id, and one client authentication (RFC 9126 §2.1).
func TestPushRequests(t *testing.T) {
	for name, tt := range map[string]struct {
		client ClientAuth
		want   map[string]string // form fields that are sent in addition to the authorization request
		basic  bool
	}{
		"none":                {ClientAuth{ID: "c", Method: "none"}, map[string]string{"client_id": "c"}, false},
		"client_secret_post":  {ClientAuth{ID: "c", Secret: "s", Method: "client_secret_post"}, map[string]string{"client_id": "c", "client_secret": "s"}, false},
		"client_secret_basic": {ClientAuth{ID: "c", Secret: "s", Method: "client_secret_basic"}, map[string]string{"client_id": "c"}, true},
	} {
		s := serve(t, reply{status: 201, body: `{"request_uri":"urn:x:1","expires_in":90}`})
		e := s.endpoint()
		e.Client = tt.client
		p, err := e.Push(context.Background(), s.URL+"/par", authorization())
		if err != nil || p.RequestURI != "urn:x:1" || !p.Expires.Equal(noon.Add(90*time.Second)) {
			t.Errorf("%s: got %+v %v", name, p, err)
		}
		got := s.only(t)
		for name, values := range authorization() {
			tt.want[name] = values[0]
		}
		wantForm(t, got.Form, tt.want)
		if _, _, ok := (&http.Request{Header: got.Header}).BasicAuth(); ok != tt.basic || got.URI != "/par" {
			t.Errorf("%s: %s, Basic %t", name, got.URI, ok)
		}
	}
	e := Endpoint{}
	if _, err := e.Push(context.Background(), "https://as.example/par", url.Values{"request_uri": {"urn:x"}}); err == nil {
		t.Error("request_uri in a pushed request (RFC 9126 §2.1)")
	}
}

func TestPushAnswers(t *testing.T) {
	for name, tt := range map[string]struct {
		reply  reply
		want   string // text that the error must contain; empty: no error is expected
		strict bool   // true: only a strict endpoint returns the error
	}{
		"RFC 9126 §2.2":        {reply{status: 201, body: `{"request_uri":"urn:x:1","expires_in":90}`}, "", false},
		"no lifetime":          {reply{status: 201, body: `{"request_uri":"urn:x:1"}`}, "", false},
		"status 200":           {reply{body: `{"request_uri":"urn:x:1","expires_in":90}`}, "expected 201", true},
		"no request_uri":       {reply{status: 201, body: `{"expires_in":90}`}, "request_uri", false},
		"a blank in it":        {reply{status: 201, body: `{"request_uri":"urn:x:1 2"}`}, "request_uri", false},
		"too long":             {reply{status: 201, body: `{"request_uri":"urn:` + strings.Repeat("x", 4000) + `"}`}, "request_uri", false},
		"a web address":        {reply{status: 201, body: `{"request_uri":"HTTPS://evil.example/request.jwt"}`}, "is a web address", false},
		"the client secret":    {reply{status: 201, body: `{"request_uri":"urn:x:client%2Dcanary%2Dsecret"}`}, "contains a secret of the request", false},
		"a part of the secret": {reply{status: 201, body: `{"request_uri":"urn:x:client-canary"}`}, "", false},
		"refused":              {reply{status: 400, body: `{"error":"invalid_scope","error_description":"no such scope"}`}, `answered 400 Bad Request, "invalid_scope": "no such scope"`, false},
		"not found":            {reply{status: 404, contentType: "text/plain", body: "no"}, "404", false},
		"a page with code 201": {reply{status: 201, contentType: "text/html", body: "<p>"}, "expected a JSON object (RFC 9126 §2.2)", false},
	} {
		s := serve(t, tt.reply)
		for _, strict := range []bool{false, true} {
			e := s.endpoint()
			e.Strict, e.Client.Secret, e.Client.Method = strict, "client-canary-secret", "client_secret_post"
			_, err := e.Push(context.Background(), s.URL+"/par", authorization())
			wanted := tt.want != "" && (strict || !tt.strict)
			if (err != nil) != wanted || wanted && (!strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "pushed authorization request endpoint "+s.URL+"/par: ")) {
				t.Errorf("%s, strict %t: got %v, want %q", name, strict, err, tt.want)
			}
		}
	}
}

// Push works with the demo server, which checks client authentication and proofs with other code. The code is bound to the DPoP key (RFC
// 9449 §10.1).
func TestPushAtTheDemoServer(t *testing.T) {
	s, err := demo.Start(demo.Options{Settings: demo.Settings{PAR: "require", DPoP: "require", Nonce: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	key := testKey(t, "P-256")
	der, err := x509.MarshalPKIXPublicKey(key.private.(crypto.Signer).Public())
	if err != nil {
		t.Fatal(err)
	}
	public, _ := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	s.AddClient(demo.Client{ID: "demo-key", Method: "private_key_jwt", Key: public})
	for _, client := range []ClientAuth{
		{ID: "demo-public", Method: "none"},
		{ID: "demo-basic", Secret: "demo-cs-basic", Method: "client_secret_basic"},
		{ID: "demo-post", Secret: "demo-cs-post", Method: "client_secret_post"},
		{ID: "demo-key", Method: "private_key_jwt", Key: key, Audience: s.Issuer()},
	} {
		e := Endpoint{URL: s.Issuer() + "/token", Local: true, Client: client, Resource: s.URL(), DPoP: newTestProver(t)}
		sum := sha256.Sum256([]byte(strings.Repeat("v", 43)))
		form := authorization()
		form.Set("resource", s.URL())
		form.Set("code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]))
		p, err := e.Push(context.Background(), s.Issuer()+"/par", form)
		if err != nil {
			t.Errorf("%s: %v", client, err)
			continue
		}
		back, err := (&demo.Browser{}).Redirect(context.Background(), s.Issuer()+"/authorize?"+url.Values{"client_id": {client.ID}, "request_uri": {p.RequestURI}}.Encode())
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(back)
		if err != nil {
			t.Fatal(err)
		}
		thief := e
		thief.DPoP = newTestProver(t)
		_, err = thief.Code(context.Background(), u.Query().Get("code"), strings.Repeat("v", 43), form.Get("redirect_uri"))
		var refused *Error
		if !errors.As(err, &refused) || refused.Code != "invalid_grant" {
			t.Errorf("%s: the code redeemed with another key: %v", client, err)
		}
	}
	if n := s.Count("pushed"); n != 4 {
		t.Errorf("%d requests were pushed, want 4", n)
	}
}

func TestPushFollowsNoRedirect(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer other.Close()
	s := serve(t, reply{status: 307, header: map[string]string{"Location": other.URL}})
	if _, err := s.endpoint().Push(context.Background(), s.URL+"/par", authorization()); err == nil {
		t.Error("a redirect was taken for an answer")
	}
}
