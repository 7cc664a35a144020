package token

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// reply is one answer of a test server.
type reply struct {
	status      int    // 0: 200
	contentType string // "": application/json
	body        string
	header      map[string]string
}

const okBody = `{"access_token":"at-1","token_type":"Bearer","expires_in":3600}`

// asked is one request that a test server received.
type asked struct {
	Method, URI string
	Header      http.Header
	Form        url.Values
}

// server answers each request with the next reply, and further ones with the last reply. It stores the requests.
type server struct {
	*httptest.Server
	mu      sync.Mutex
	replies []reply
	got     []asked
}

func serve(t *testing.T, replies ...reply) *server {
	t.Helper()
	s := &server{replies: replies}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.got = append(s.got, asked{Method: r.Method, URI: r.RequestURI, Header: r.Header, Form: r.PostForm})
		one := s.replies[0]
		if len(s.replies) > 1 {
			s.replies = s.replies[1:]
		}
		one.write(w)
	}))
	t.Cleanup(s.Close)
	return s
}

func (r reply) write(w http.ResponseWriter) {
	if r.contentType == "" {
		r.contentType = "application/json"
	}
	w.Header().Set("Content-Type", r.contentType)
	for name, v := range r.header {
		w.Header().Set(name, v)
	}
	if r.status == 0 {
		r.status = 200
	}
	w.WriteHeader(r.status)
	w.Write([]byte(r.body))
}

// only returns the only request that the server received.
func (s *server) only(t *testing.T) asked {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.got) != 1 {
		t.Fatalf("requests: got %d, want 1", len(s.got))
	}
	return s.got[0]
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func (s *server) endpoint() Endpoint {
	return Endpoint{URL: s.URL + "/token?v=2", Local: true, Now: func() time.Time { return noon },
		Client: ClientAuth{ID: "client-1", Method: "none"}, Resource: "https://MCP.example/a/"}
}

func wantForm(t *testing.T, got url.Values, want map[string]string) {
	t.Helper()
	flat := map[string]string{}
	for name, v := range got {
		flat[name] = strings.Join(v, " AND ")
	}
	if !maps.Equal(flat, want) {
		t.Errorf("form:\ngot  %q\nwant %q", flat, want)
	}
}

// wantHeaders checks that a request has these headers and those of every HTTP request, and no others.
func wantHeaders(t *testing.T, got http.Header, want map[string]string) {
	t.Helper()
	flat := map[string]string{}
	for name, v := range got {
		if !slices.Contains([]string{"Content-Length", "Accept-Encoding", "User-Agent"}, name) {
			flat[name] = strings.Join(v, " AND ")
		}
	}
	if !maps.Equal(flat, want) {
		t.Errorf("headers:\ngot  %q\nwant %q", flat, want)
	}
}

var plainHeaders = map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}

func TestGrants(t *testing.T) {
	ctx := context.Background()
	for _, tt := range []struct {
		name string
		call func(Endpoint) (Token, error)
		want map[string]string
	}{
		{"code: RFC 6749 §4.1.3, 7636 §4.5", func(e Endpoint) (Token, error) {
			return e.Code(ctx, "c+de", "the-verifier", "http://127.0.0.1:4711/callback")
		}, map[string]string{"grant_type": "authorization_code", "code": "c+de", "code_verifier": "the-verifier",
			"redirect_uri": "http://127.0.0.1:4711/callback"}},
		{"refresh: RFC 6749 §6", func(e Endpoint) (Token, error) { return e.Refresh(ctx, "r t/1") },
			map[string]string{"grant_type": "refresh_token", "refresh_token": "r t/1"}},
		{"client credentials: RFC 6749 §4.4.2", func(e Endpoint) (Token, error) { return e.ClientCredentials(ctx, "read  write") },
			map[string]string{"grant_type": "client_credentials", "scope": "read write"}},
		{"client credentials without scope", func(e Endpoint) (Token, error) { return e.ClientCredentials(ctx, "") },
			map[string]string{"grant_type": "client_credentials"}},
		{"jwt bearer: RFC 7523 §2.1", func(e Endpoint) (Token, error) { return e.JWTBearer(ctx, "h.p.s", "read") },
			map[string]string{"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": "h.p.s", "scope": "read"}},
		{"exchange: RFC 8693 §2.1", func(e Endpoint) (Token, error) {
			return e.Exchange(ctx, ExchangeOptions{SubjectToken: "id.to.ken", SubjectTokenType: TypeIDToken, RequestedTokenType: TypeIDJAG, Audience: "https://as.example", Scope: "read"})
		}, map[string]string{"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": "id.to.ken",
			"subject_token_type": TypeIDToken, "requested_token_type": TypeIDJAG, "audience": "https://as.example", "scope": "read"}},
		{"exchange, the least", func(e Endpoint) (Token, error) {
			return e.Exchange(ctx, ExchangeOptions{SubjectToken: "x", SubjectTokenType: "urn:x"})
		}, map[string]string{"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": "x", "subject_token_type": "urn:x"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := okBody
			if tt.want["requested_token_type"] == TypeIDJAG {
				body = strings.Replace(okBody, "{", `{"issued_token_type":"`+TypeIDJAG+`",`, 1)
			}
			s := serve(t, reply{body: body})
			tok, err := tt.call(s.endpoint())
			if err != nil || tok.AccessToken != "at-1" || tok.RefreshToken != "" || tok.Lifetime != time.Hour || !tok.Expiry.Equal(noon.Add(time.Hour)) {
				t.Errorf("got %#v %v, want at-1 for an hour", tok, err)
			}
			got := s.only(t)
			if got.Method != "POST" || got.URI != "/token?v=2" {
				t.Errorf("got %s %s, want POST /token?v=2", got.Method, got.URI)
			}
			wantHeaders(t, got.Header, plainHeaders)
			tt.want["client_id"] = "client-1"
			tt.want["resource"] = "https://MCP.example/a/" // RFC 8707 §2.2, byte for byte
			wantForm(t, got.Form, tt.want)
		})
	}
}

func TestNothingOptionalIsSent(t *testing.T) {
	s := serve(t, reply{body: okBody})
	if _, err := (Endpoint{URL: s.URL, Local: true}).JWTBearer(context.Background(), "a.b.c", ""); err != nil {
		t.Fatal(err)
	}
	wantForm(t, s.only(t).Form, map[string]string{"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": "a.b.c"})
}

func TestNothingIsSent(t *testing.T) {
	ctx := context.Background()
	s := serve(t, reply{body: okBody})
	for name, call := range map[string]func(Endpoint) error{
		"basic without a secret": func(e Endpoint) error {
			e.Client.Method = "client_secret_basic"
			_, err := e.ClientCredentials(ctx, "")
			return err
		},
		"post without a secret": func(e Endpoint) error {
			e.Client.Method = "client_secret_post"
			_, err := e.ClientCredentials(ctx, "")
			return err
		},
		"private_key_jwt without a key": func(e Endpoint) error {
			e.Client.Method = "private_key_jwt"
			_, err := e.ClientCredentials(ctx, "")
			return err
		},
		"an unknown method": func(e Endpoint) error {
			e.Client.Method = "client_secret_jwt"
			_, err := e.ClientCredentials(ctx, "")
			return err
		},
		"loopback, named by a remote server": func(e Endpoint) error {
			e.Local = false
			_, err := e.ClientCredentials(ctx, "")
			return err
		},
		"no address": func(e Endpoint) error { e.URL = ""; _, err := e.ClientCredentials(ctx, ""); return err },
		"http to a remote host": func(e Endpoint) error {
			e.URL = "http://auth.example/token"
			_, err := e.ClientCredentials(ctx, "")
			return err
		},
		"a context that is over": func(e Endpoint) error {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			_, err := e.ClientCredentials(ctx, "")
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want context.Canceled", err)
			}
			return err
		},
	} {
		err := call(s.endpoint())
		if err == nil || Ambiguous(err) {
			t.Errorf("%s: got %v (ambiguous %t), want an error that nothing was sent", name, err, Ambiguous(err))
		}
	}
	if len(s.got) != 0 {
		t.Errorf("%d requests were sent: %v", len(s.got), s.got)
	}
}

func TestClientAuthentication(t *testing.T) {
	key := testKey(t, "P-256")
	for _, tt := range []struct {
		name   string
		client ClientAuth
		header map[string]string
		form   map[string]string
	}{
		{"none: client_id in the body", ClientAuth{ID: "c", Secret: "unused", Method: "none"}, nil, map[string]string{"client_id": "c"}},
		{"post: RFC 6749 §2.3.1", ClientAuth{ID: "c", Secret: "s:%+ é", Method: "client_secret_post"}, nil,
			map[string]string{"client_id": "c", "client_secret": "s:%+ é"}},
		// base64("c%3A1+%2B:s%3A%25%2B+%C3%A9"): form-encoded first, and no client_id in the body
		{"basic: RFC 6749 §2.3.1", ClientAuth{ID: "c:1 +", Secret: "s:%+ é", Method: "client_secret_basic"},
			map[string]string{"Authorization": "Basic YyUzQTErJTJCOnMlM0ElMjUlMkIrJUMzJUE5"}, nil},
		{"no method is none", ClientAuth{ID: "a", Secret: "unused"}, nil, map[string]string{"client_id": "a"}},
		{"tls_client_auth: RFC 8705 §2.1", ClientAuth{ID: "a", Method: "tls_client_auth"}, nil, map[string]string{"client_id": "a"}},
		{"self_signed_tls_client_auth: RFC 8705 §2.2", ClientAuth{ID: "a", Method: "self_signed_tls_client_auth"}, nil, map[string]string{"client_id": "a"}},
		{"private_key_jwt: RFC 7523 §2.2", ClientAuth{ID: "a", Method: "private_key_jwt", Key: key}, nil,
			map[string]string{"client_id": "a", "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "client_assertion": "JWT"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, reply{body: okBody})
			e := s.endpoint()
			e.Client, e.Resource = tt.client, ""
			if _, err := e.ClientCredentials(context.Background(), ""); err != nil {
				t.Fatal(err)
			}
			got := s.only(t)
			if jwt := got.Form.Get("client_assertion"); strings.Count(jwt, ".") == 2 {
				got.Form.Set("client_assertion", "JWT")
			}
			header, form := maps.Clone(plainHeaders), map[string]string{"grant_type": "client_credentials"}
			maps.Copy(header, tt.header)
			maps.Copy(form, tt.form)
			wantHeaders(t, got.Header, header)
			wantForm(t, got.Form, form)
		})
	}
}

func TestNoRedirectIsFollowed(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		other := serve(t, reply{body: okBody})
		s := serve(t, reply{status: status, header: map[string]string{"Location": other.URL + "/elsewhere?refresh_token=rt-canary-000"}})
		e := s.endpoint()
		e.HTTP = s.Client() // this client's own policy would follow redirects
		_, err := e.Refresh(context.Background(), "rt-canary-000")
		var refused *Error
		if !errors.As(err, &refused) || refused.Location != other.URL+"/elsewhere" || refused.StatusCode != status || Ambiguous(err) {
			t.Errorf("%d: got %v, want an *Error that names %s/elsewhere", status, err, other.URL)
		}
		if !strings.Contains(err.Error(), other.URL+"/elsewhere") || strings.Contains(err.Error(), "canary") {
			t.Errorf("%d: %v", status, err)
		}
		if len(other.got) != 0 {
			t.Errorf("%d: the redirect was followed", status)
		}
	}
}
