package mcpclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"mcpauth/internal/httpx"
)

// demand refuses a request whose token number is too low. The tokens are token-1, token-2 and so on, and the function token returns the
// lowest accepted number for a JSON-RPC method.
func demand(status int, token func(rpc string) int) func(http.ResponseWriter, *http.Request, string) bool {
	return func(w http.ResponseWriter, r *http.Request, rpc string) bool {
		n := 0
		fmt.Sscanf(r.Header.Get("Authorization"), "Bearer token-%d", &n)
		if n >= token(rpc) {
			return false
		}
		code := status
		if n == 0 {
			code = http.StatusUnauthorized
		}
		w.Header().Set("WWW-Authenticate", `Bearer scope="x"`)
		w.WriteHeader(code)
		return true
	}
}

func only(method string, n int) func(string) int {
	return func(rpc string) int {
		if rpc == method {
			return n
		}
		return 0
	}
}

func TestAuthorization(t *testing.T) {
	servers := map[string]func() http.Handler{"modern": func() http.Handler { return modern(0, nil) }, "legacy": func() http.Handler { return legacy("2025-11-25", nil) }, "sse": sseServer}
	for _, tt := range []struct {
		name   string
		front  func(http.ResponseWriter, *http.Request, string) bool
		token  int // at the beginning
		asked  int // calls of Authorize
		status int // of the last
	}{
		{"401 on the first request", demand(401, func(string) int { return 1 }), 0, 1, 401},
		{"401 on tools/call only", demand(401, only("tools/call", 1)), 0, 1, 401},
		{"expired token on tools/call", demand(401, only("tools/call", 2)), 1, 1, 401},
		{"two 401 in a row: login, then a nonce", demand(401, only("tools/call", 2)), 0, 2, 401},
		{"403 step-up", demand(403, only("tools/call", 2)), 1, 1, 403},
		{"401 then 403", demand(403, only("tools/call", 3)), 0, 3, 403},
		{"none wanted", nil, 0, 0, 0},
	} {
		for era, h := range servers {
			t.Run(tt.name+", "+era, func(t *testing.T) {
				s := newServer(t, h())
				s.front = tt.front
				a := &fakeAuth{token: tt.token}
				c := client(t, s, func(c *Client) { c.Auth = a })
				if got := callText(t, c, "add", sum...); got != "5" {
					t.Errorf("got %q", got)
				}
				if a.authorize != tt.asked || a.last != tt.status {
					t.Errorf("Authorize was asked %d times, last for %d; want %d, %d", a.authorize, a.last, tt.asked, tt.status)
				}
			})
		}
	}
}

// If the server refuses a token during a session, the client gets another token and continues the session.
func TestAuthorizationMidSession(t *testing.T) {
	s := newServer(t, legacy("2025-06-18", nil))
	a := &fakeAuth{token: 1}
	c := client(t, s, func(c *Client) { c.Auth = a })
	callText(t, c, "add", sum...)
	s.seen()
	s.setFront(demand(401, func(string) int { return 2 }))
	if got := callText(t, c, "add", sum...); got != "5" {
		t.Errorf("got %q", got)
	}
	wantSeen(t, s, "tools/call", "tools/call")
}

func TestAuthorizationBounds(t *testing.T) {
	for _, status := range []int{401, 403} {
		for era, h := range map[string]http.Handler{"modern": modern(0, nil), "legacy": legacy("2025-11-25", nil)} {
			t.Run(fmt.Sprint(status, era), func(t *testing.T) {
				s := newServer(t, h)
				s.front = func(w http.ResponseWriter, r *http.Request, rpc string) bool {
					w.WriteHeader(status)
					return true
				}
				a := &fakeAuth{token: 1}
				c := client(t, s, func(c *Client) { c.Auth = a })
				_, err := c.Call(t.Context(), "add", Arguments{Args: sum})
				var e *StatusError
				if !errors.As(err, &e) || e.StatusCode != status {
					t.Errorf("got %v, want a StatusError with %d", err, status)
				}
				if a.authorize != 2 {
					t.Errorf("Authorize was asked %d times, want 2", a.authorize)
				}
				wantSeen(t, s, "tools/list", "tools/list", "tools/list")
			})
		}
	}
}

// An error of the OAuth handler is returned unchanged, and ends the detection of the era.
func TestAuthorizeErrorUnchanged(t *testing.T) {
	sentinel := errors.New("no login")
	for _, method := range []string{"tools/list", "tools/call", "initialize", "notifications/initialized", "GET"} {
		t.Run(method, func(t *testing.T) {
			h := legacy("2025-11-25", nil)
			if method == "GET" {
				h = sseServer()
			}
			s := newServer(t, h)
			s.front = func(w http.ResponseWriter, r *http.Request, rpc string) bool {
				if rpc != method && r.Method != method {
					return false
				}
				w.WriteHeader(401)
				return true
			}
			a := &fakeAuth{err: fmt.Errorf("flow: %w", sentinel)}
			c := client(t, s, func(c *Client) { c.Auth = a; c.Idempotent = true })
			_, err := c.Call(t.Context(), "add", Arguments{Args: sum})
			if err != a.err {
				t.Errorf("got %#v, want the handler's error itself", err)
			}
			if a.authorize != 1 {
				t.Errorf("Authorize was asked %d times, want once", a.authorize)
			}
		})
	}
}

func TestTokenSourceErrorUnchanged(t *testing.T) {
	s := newServer(t, modern(0, nil))
	want := errors.New("keychain locked")
	c := client(t, s, func(c *Client) { c.Auth = brokenSource{err: want} })
	if _, err := c.Call(t.Context(), "add", Arguments{Args: sum}); err != want {
		t.Errorf("got %v", err)
	}
	wantSeen(t, s)
}

type brokenSource struct{ err error }

func (b brokenSource) TokenSource(context.Context) (oauth2.TokenSource, error) { return nil, b.err }
func (b brokenSource) Authorize(context.Context, *http.Request, *http.Response) error {
	return b.err
}

// Static headers are sent together with the token. A static Authorization header is sent until the server refuses it.
func TestStaticHeaders(t *testing.T) {
	for _, tt := range []struct {
		name   string
		header http.Header
		auth   *fakeAuth
		front  func(http.ResponseWriter, *http.Request, string) bool
		want   []string // Authorization header of each tools/call
	}{
		{"beside OAuth", http.Header{"X-Key": {"k"}}, &fakeAuth{token: 7}, nil, []string{"Bearer token-7"}},
		{"static authorization alone", http.Header{"X-Key": {"k"}, "Authorization": {"Basic abc"}}, nil, nil, []string{"Basic abc"}},
		{"static authorization first", http.Header{"X-Key": {"k"}, "Authorization": {"Basic abc"}}, &fakeAuth{token: 7}, nil, []string{"Basic abc"}},
		{"until it is refused", http.Header{"X-Key": {"k"}, "Authorization": {"Basic abc"}}, &fakeAuth{token: 7}, demand(401, only("tools/call", 1)), []string{"Basic abc", "Bearer token-8"}},
		{"headers of the protocol win", http.Header{"X-Key": {"k"}, "Content-Type": {"text/plain"}, "Mcp-Method": {"x"}}, &fakeAuth{token: 7}, nil, []string{"Bearer token-7"}},
		{"names in any case", http.Header{"x-key": {"k"}, "authorization": {"Basic abc"}}, &fakeAuth{token: 7}, nil, []string{"Basic abc"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, modern(0, nil))
			s.front = tt.front
			c := client(t, s, func(c *Client) {
				c.Header = tt.header
				if tt.auth != nil {
					c.Auth = tt.auth
				}
			})
			callText(t, c, "add", sum...)
			var got []string
			for _, r := range s.requests("tools/call") {
				got = append(got, r.header.Get("Authorization"))
				if r.header.Get("X-Key") != "k" || r.header.Get("Content-Type") != "application/json" || r.header.Get("Mcp-Method") != "tools/call" {
					t.Errorf("headers: %v", r.header)
				}
			}
			if strings.Join(got, ", ") != strings.Join(tt.want, ", ") {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// If the OAuth handler has the method Decorate, that method sets the header for every attempt (DPoP, RFC 9449 §7.1).
func TestDecorate(t *testing.T) {
	s := newServer(t, modern(0, nil))
	d := &decorating{fakeAuth: fakeAuth{token: 1}}
	s.front = func(w http.ResponseWriter, r *http.Request, rpc string) bool {
		if rpc == "tools/call" && r.Header.Get("DPoP") == "proof-2 POST" {
			w.WriteHeader(401)
			return true
		}
		return false
	}
	c := client(t, s, func(c *Client) { c.Auth = d })
	callText(t, c, "add", sum...)
	for i, r := range s.requests("tools/call") {
		if want := fmt.Sprintf("DPoP token-%d", i+1); r.header.Get("Authorization") != want {
			t.Errorf("got %q, want %q", r.header.Get("Authorization"), want)
		}
		if want := fmt.Sprintf("proof-%d POST", i+2); r.header.Get("DPoP") != want {
			t.Errorf("got %q, want %q", r.header.Get("DPoP"), want)
		}
	}
}

type decorating struct {
	fakeAuth
	proofs int
}

func (d *decorating) Decorate(r *http.Request, tok *oauth2.Token) error {
	d.proofs++
	r.Header.Set("Authorization", "DPoP "+tok.AccessToken)
	r.Header.Set("DPoP", fmt.Sprintf("proof-%d %s", d.proofs, r.Method))
	return nil
}

// The token is not sent to another origin that a redirect or the endpoint event of HTTP+SSE names.
func TestTokenStaysHome(t *testing.T) {
	foreign := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s reached another origin with %q", r.Method, r.URL, r.Header.Get("Authorization"))
	}))
	defer foreign.Close()
	for _, tt := range []struct {
		name string
		h    http.HandlerFunc
		want func(error) bool
	}{
		{"307", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, foreign.URL, http.StatusTemporaryRedirect)
		}, func(err error) bool {
			var e *StatusError
			return errors.As(err, &e) && e.StatusCode == 307 && e.Location == foreign.URL
		}},
		{"GET redirected", func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				w.WriteHeader(405)
				return
			}
			http.Redirect(w, r, foreign.URL, http.StatusFound)
		}, func(err error) bool { var e *StatusError; return errors.As(err, &e) }},
		{"endpoint event", func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				w.WriteHeader(405)
				return
			}
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "event: endpoint\ndata: %s/messages\n\n", foreign.URL)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, func(err error) bool { var e *httpx.AddressError; return errors.As(err, &e) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, tt.h)
			c := client(t, s, func(c *Client) { c.Auth = &fakeAuth{token: 1}; c.Header = http.Header{"X-Key": {"k"}} })
			if _, err := c.Call(t.Context(), "add", Arguments{Args: sum}); !tt.want(err) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Ending a session never begins a login.
func TestCloseDoesNotAuthorize(t *testing.T) {
	s := newServer(t, legacy("2025-11-25", nil))
	a := &fakeAuth{token: 1}
	c := client(t, s, func(c *Client) { c.Auth = a })
	callText(t, c, "add", sum...)
	s.setFront(func(w http.ResponseWriter, r *http.Request, rpc string) bool {
		if r.Method != http.MethodDelete {
			return false
		}
		if r.Header.Get("Authorization") == "" {
			t.Error("DELETE without a token")
		}
		w.WriteHeader(401)
		return true
	})
	c.Close()
	if a.authorize != 0 {
		t.Error("Authorize was asked")
	}
}

// The response body that Authorize receives is limited.
func TestAuthorizeBodyBounded(t *testing.T) {
	s := newServer(t, modern(0, nil))
	s.front = func(w http.ResponseWriter, r *http.Request, rpc string) bool {
		w.WriteHeader(401)
		for range 100 {
			io.WriteString(w, strings.Repeat("x", 64<<10))
		}
		return true
	}
	a := &reading{}
	c := client(t, s, func(c *Client) { c.Auth = a })
	c.Call(t.Context(), "add", Arguments{Args: sum})
	if a.n != 1<<20 {
		t.Errorf("read %d bytes, want 1 MiB", a.n)
	}
}

type reading struct {
	fakeAuth
	n int64
}

func (r *reading) Authorize(_ context.Context, _ *http.Request, res *http.Response) error {
	defer res.Body.Close()
	r.n, _ = io.Copy(io.Discard, res.Body)
	return errors.New("enough")
}
