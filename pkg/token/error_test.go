package token

import (
	"context"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"mcpauth/internal/httpx"
)

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		name  string
		reply reply
		want  Error // without Stage and URL
		text  string
	}{
		{"RFC 6749 §5.2", reply{status: 400, body: `{"error":"invalid_grant","error_description":"code is spent","error_uri":"https://as.example/e"}`},
			Error{StatusCode: 400, Code: "invalid_grant", Description: "code is spent", ErrorURI: "https://as.example/e"},
			`answered 400 Bad Request, "invalid_grant": "code is spent", see https://as.example/e`},
		{"status 401", reply{status: 401, body: `{"error":"invalid_grant"}`}, Error{StatusCode: 401, Code: "invalid_grant"}, "invalid_grant"},
		{"status 200 with an error (GitHub)", reply{body: `{"error":"bad_verification_code"}`},
			Error{StatusCode: 200, Code: "bad_verification_code"}, "bad_verification_code"},
		{"status 200 with an error beside a token", reply{body: `{"error":"invalid_scope","access_token":"a"}`}, Error{StatusCode: 200, Code: "invalid_scope"}, "invalid_scope"},
		{"ok false (Slack)", reply{body: `{"ok":false,"error":"invalid_refresh_token"}`}, Error{StatusCode: 200, Code: "invalid_refresh_token"}, "invalid_refresh_token"},
		{"ok false and no error", reply{body: `{"ok":false,"access_token":"a"}`}, Error{StatusCode: 200}, "answered 200 OK"},
		{"an error that is an object", reply{status: 400, body: `{"error":{"code":"invalid_grant","message":"gone"}}`},
			Error{StatusCode: 400, Code: "invalid_grant", Description: "gone"}, `"gone"`},
		{"status 200, an error that is an object", reply{body: `{"error":{"message":"gone"}}`}, Error{StatusCode: 200, Description: "gone"}, `"gone"`},
		{"429 (TypeScript SDK)", reply{status: 429, body: `{"error":"too_many_requests"}`, header: map[string]string{"Retry-After": "3600"}},
			Error{StatusCode: 429, Code: "too_many_requests", RetryAfter: time.Hour}, "retry after 1h0m0s"},
		{"Retry-After a date", reply{status: 503, header: map[string]string{"Retry-After": noon.Add(90 * time.Second).Format(http.TimeFormat)}},
			Error{StatusCode: 503, RetryAfter: 90 * time.Second}, "answered 503 Service Unavailable, retry after 1m30s"},
		{"Retry-After in the past", reply{status: 503, header: map[string]string{"Retry-After": noon.Add(-time.Hour).Format(http.TimeFormat)}}, Error{StatusCode: 503}, "503"},
		{"Retry-After for ever", reply{status: 503, header: map[string]string{"Retry-After": "2147483647"}}, Error{StatusCode: 503, RetryAfter: httpx.MaxRetryAfter}, "24h"},
		{"Retry-After junk", reply{status: 503, header: map[string]string{"Retry-After": "-1 soon"}}, Error{StatusCode: 503}, "503"},
		{"plain text (Figma)", reply{status: 403, contentType: "text/plain", body: "Not on the list: rt-000"}, Error{StatusCode: 403, Description: "Not on the list: [redacted]"}, `answered 403 Forbidden: "Not on`},
		{"an HTML page", reply{status: 500, contentType: "text/html", body: "<h1>Oops</h1>canary-000"}, Error{StatusCode: 500, Description: "Oops"}, `answered 500 Internal Server Error: "Oops"`},
		{"a code that stands twice is none", reply{status: 400, body: `{"error":"server_error","error":"invalid_grant"}`}, Error{StatusCode: 400, Description: "invalid_grant"}, `: "invalid_grant"`},
		{"a name in another case is none", reply{status: 400, body: `{"Error":"invalid_grant"}`}, Error{StatusCode: 400}, "answered 400 Bad Request"},
		{"a list", reply{status: 400, body: `[{"error":"invalid_grant","error_description":"gone"}]`}, Error{StatusCode: 400, Code: "invalid_grant", Description: "gone"}, `"invalid_grant": "gone"`},
		{"a form with status 200", reply{contentType: "application/x-www-form-urlencoded", body: "error=invalid_grant&error_description=gone"},
			Error{StatusCode: 200, Code: "invalid_grant", Description: "gone"}, `answered 200 OK, "invalid_grant": "gone"`},
		{"terminal escapes", reply{status: 400, body: `{"error":"x\u001b[2J\r\n","error_description":"a\u202eb\u0007\n\nc"}`},
			Error{StatusCode: 400, Code: "x[2J", Description: "ab c"}, `"ab c"`},
		{"a javascript error_uri", reply{status: 400, body: `{"error":"x","error_uri":"javascript:alert(1)"}`}, Error{StatusCode: 400, Code: "x"}, `"x"`},
		{"endless words", reply{status: 400, body: `{"error":"` + strings.Repeat("e", 9999) + `","error_description":"` + strings.Repeat("d", 9999) + `"}`},
			Error{StatusCode: 400, Code: strings.Repeat("e", httpx.MaxCode-1) + "…", Description: strings.Repeat("d", httpx.MaxWords-1) + "…"}, "…"},
		{"304 to nowhere", reply{status: 304}, Error{StatusCode: 304, Location: "nowhere"}, "answered 304 with a redirect to \"nowhere\""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, tt.reply)
			tok, err := s.endpoint().Refresh(context.Background(), "rt-000")
			tt.want.Stage, tt.want.URL = "token endpoint", s.URL+"/token?v=2"
			var got *Error
			if !errors.As(err, &got) || *got != tt.want || tok != (Token{}) {
				t.Fatalf("got  %#v\nwant %#v", err, &tt.want)
			}
			if text := err.Error(); !strings.Contains(text, tt.text) || !strings.HasPrefix(text, "token endpoint "+s.URL+"/token?v=2: ") || strings.Contains(text, "canary") {
				t.Errorf("got %q, want it to hold %q", text, tt.text)
			}
			if Ambiguous(err) != (tt.want.StatusCode >= 500) || errors.Is(err, ErrMalformed) {
				t.Errorf("ambiguous %t, malformed %t", Ambiguous(err), errors.Is(err, ErrMalformed))
			}
			s.only(t)
		})
	}
}

func TestAmbiguous(t *testing.T) {
	if Ambiguous(nil) || Ambiguous(errors.New("x")) {
		t.Error("nil or a foreign error is ambiguous")
	}
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	stranger := httptest.NewTLSServer(http.NotFoundHandler())
	defer stranger.Close()
	stranger.Config.ErrorLog = discard
	handle := func(h func(net.Conn)) string { return hijack(t, h) }

	for _, tt := range []struct {
		name string
		url  string
		want bool
		text string
	}{
		{"connection refused", closed.URL, false, "refused"},
		{"an unknown authority", stranger.URL, false, "certificate"},
		{"closed without an answer", handle(func(net.Conn) {}), true, "EOF"},
		{"reset without an answer", handle(func(c net.Conn) { c.(*net.TCPConn).SetLinger(0) }), true, ""},
		{"closed in the middle of the answer", handle(func(c net.Conn) {
			c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 100\r\nContent-Type: application/json\r\n\r\n{\"access_token\":\"canary-000"))
		}), true, "answered 200, but the answer is incomplete: unexpected EOF"},
		{"closed in the middle of a refusal", handle(func(c net.Conn) {
			c.Write([]byte("HTTP/1.1 400 Bad Request\r\nContent-Length: 100\r\n\r\n{\"error\":"))
		}), false, "answered 400, but the answer is incomplete"},
		{"closed in the middle of a 502", handle(func(c net.Conn) {
			c.Write([]byte("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 100\r\n\r\nx"))
		}), true, "answered 502"},
		{"what is not HTTP, and repeats the secret", handle(func(c net.Conn) {
			c.Write([]byte("rt-canary-000 refresh_token=rt-canary-000\r\nrt-canary-000\r\n\r\n"))
		}), true, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := Endpoint{URL: tt.url, Local: true, Client: ClientAuth{ID: "c"}}
			_, err := e.Refresh(context.Background(), "rt-canary-000")
			if err == nil || Ambiguous(err) != tt.want || !strings.Contains(err.Error(), tt.text) || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v (ambiguous %t), want %q (ambiguous %t)", err, Ambiguous(err), tt.text, tt.want)
			}
		})
	}
}

// hijack serves each connection with h, after it has read the request.
func hijack(t *testing.T, h func(net.Conn)) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		h(conn)
		conn.Close()
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestTimeout(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		cancel(context.DeadlineExceeded) // the caller's deadline passes after the request has arrived
		<-release
	}))
	defer s.Close()
	defer close(release)
	_, err := Endpoint{URL: s.URL, Local: true}.Refresh(ctx, "rt")
	if !Ambiguous(err) || !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v (ambiguous %t), want an ambiguous end of the context", err, Ambiguous(err))
	}
}

// If the transport does not report whether it sent the request, the failure is ambiguous.
func TestForeignTransport(t *testing.T) {
	e := Endpoint{URL: "https://as.example/token", HTTP: &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		return nil, errors.New("something")
	})}}
	if _, err := e.Refresh(context.Background(), "rt"); !Ambiguous(err) || !strings.Contains(err.Error(), "something") {
		t.Errorf("got %v (ambiguous %t)", err, Ambiguous(err))
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAddressError(t *testing.T) {
	_, err := Endpoint{URL: "http://169.254.169.254/token"}.Refresh(context.Background(), "rt")
	var refused *httpx.AddressError
	if !errors.As(err, &refused) {
		t.Errorf("got %v, want an *httpx.AddressError", err)
	}
}

// An error does not contain a secret that the server repeats, encoded or not (oh-my-pi 870).
func TestReflectedSecrets(t *testing.T) {
	const secret = "canary+secret/0123=456 789:&<é>"
	for name, encode := range map[string]func(string) string{
		"raw":           func(s string) string { return s },
		"query-escaped": url.QueryEscape,
		"path-escaped":  url.PathEscape,
		"escaped, small": func(s string) string {
			return regexp.MustCompile(`%[0-9A-F]{2}`).ReplaceAllStringFunc(url.QueryEscape(s), strings.ToLower)
		},
		"base64":            func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
		"base64url":         func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) },
		"base64 in between": func(s string) string { return base64.StdEncoding.EncodeToString([]byte("x" + s + "yz")) },
		"base64 at the end": func(s string) string { return base64.URLEncoding.EncodeToString([]byte("xy" + s)) },
		"HTML": func(s string) string {
			return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
		},
		"most of it": func(s string) string { return s[:20] },
		"at the cut": func(s string) string { return strings.Repeat("x ", httpx.MaxWords/2-8) + s },
	} {
		t.Run(name, func(t *testing.T) {
			reflected := encode(secret)
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(400)
				writeJSON(w, map[string]string{"error": "bad " + reflected, "error_description": "unknown " + reflected + ".",
					"error_uri": "https://as.example/?q=" + url.QueryEscape(reflected)})
			}))
			defer s.Close()
			for method, e := range map[string]Endpoint{
				"refresh token": {URL: s.URL, Local: true},
				"basic":         {URL: s.URL, Local: true, Client: ClientAuth{ID: "c", Secret: secret, Method: "client_secret_basic"}},
				"post":          {URL: s.URL, Local: true, Client: ClientAuth{ID: "c", Secret: secret, Method: "client_secret_post"}},
			} {
				token := Secret(secret)
				if method != "refresh token" {
					token = "another"
				}
				_, err := e.Refresh(context.Background(), token)
				var refused *Error
				if !errors.As(err, &refused) || !strings.Contains(refused.Description, "[redact") {
					t.Fatalf("%s: got %v, want it masked", method, err)
				}
				for _, leak := range []string{"canary", "secret/", "0123", "456 789", encode(secret)} {
					if strings.Contains(err.Error(), leak) {
						t.Errorf("%s: the error shows %q: %v", method, leak, err)
					}
				}
			}
		})
	}
}

// An error does not contain the Authorization header that the server repeats.
func TestReflectedHeader(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(400)
		writeJSON(w, map[string]string{"error": "x", "error_description": r.Header.Get("Authorization") + " and " + r.Header.Get("DPoP")})
	}))
	defer s.Close()
	e := Endpoint{URL: s.URL, Local: true, Client: ClientAuth{ID: "c", Secret: "é+/canary", Method: "client_secret_basic"}, DPoP: newTestProver(t)}
	_, err := e.ClientCredentials(context.Background(), "")
	var refused *Error
	if !errors.As(err, &refused) || refused.Description != "Basic [redacted] and [redacted]" {
		t.Errorf("got %v", err)
	}
}

// An error code is not masked even if it contains a secret, because callers compare it.
func TestCodesAreNotMasked(t *testing.T) {
	s := serve(t, reply{status: 400, body: `{"error":"invalid_grant","error_description":"grant is gone"}`})
	_, err := s.endpoint().Refresh(context.Background(), "grant")
	var got *Error
	if !errors.As(err, &got) || got.Code != "invalid_grant" || got.Description != "[redacted] is gone" {
		t.Errorf("got %v", err)
	}
}
