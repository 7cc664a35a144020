package httpx

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func get(t *testing.T, c *http.Client, address string, h http.Header) (*Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range h {
		req.Header[k] = v
	}
	return Do(c, req)
}

func TestBodyIsBounded(t *testing.T) {
	for size, want := range map[int]error{MaxBody: nil, MaxBody + 1: ErrTooLarge} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(w, io.LimitReader(zeros{}, int64(size)))
		}))
		if _, err := get(t, nil, s.URL, nil); !errors.Is(err, want) {
			t.Errorf("%d bytes: %v, want %v", size, err, want)
		}
		s.Close()
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestHeadersAreBounded(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("a", 2*maxHeader))
	}))
	defer s.Close()
	if _, err := get(t, nil, s.URL, nil); err == nil {
		t.Error("an endless header was read")
	}
}

// The bearer token and the user's own headers are never sent to another origin.
func TestRedirectKeepsSecretsAtHome(t *testing.T) {
	var seen http.Header
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { seen = r.Header.Clone() }))
	defer other.Close()
	var home *httptest.Server
	home = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		case "/near":
			http.Redirect(w, r, home.URL+"/end", http.StatusFound)
		case "/end":
			seen = r.Header.Clone()
		}
	}))
	defer home.Close()
	h := http.Header{"Authorization": {"Bearer canary"}, "X-Api-Key": {"canary"}, "User-Agent": {"canary"}, "Accept": {"application/json"}}
	if _, err := get(t, nil, home.URL+"/away", h); err != nil {
		t.Fatal(err)
	}
	if seen.Get("Authorization") != "" || seen.Get("X-Api-Key") != "" || seen.Get("User-Agent") == "canary" {
		t.Errorf("another origin was sent %v", seen)
	}
	if seen.Get("Accept") != "application/json" {
		t.Error("a harmless header was lost")
	}
	if _, err := get(t, nil, home.URL+"/near", h); err != nil {
		t.Fatal(err)
	}
	if seen.Get("Authorization") != "Bearer canary" {
		t.Error("the same origin was not sent the token")
	}
}

func TestPostFollowsNoRedirect(t *testing.T) {
	var asked int
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		http.Redirect(w, r, "/elsewhere", http.StatusPermanentRedirect)
	}))
	defer s.Close()
	req, _ := http.NewRequest(http.MethodPost, s.URL, strings.NewReader("refresh_token=canary"))
	res, err := Do(nil, req)
	if err != nil || res.StatusCode != http.StatusPermanentRedirect || asked != 1 {
		t.Errorf("got %v %v after %d requests, want the redirect itself after 1", res, err, asked)
	}
}

func TestRedirectsAreRefused(t *testing.T) {
	var target string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target, http.StatusFound) }))
	defer s.Close()
	for name, to := range map[string]string{"loop": s.URL, "plain http": "http://example.com/", "file": "file:///etc/passwd", "credentials": "https://u:p@example.com/"} {
		target = to
		if _, err := get(t, nil, s.URL, nil); err == nil {
			t.Errorf("%s: followed", name)
		}
	}
}

func TestUserAgent(t *testing.T) {
	var got []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got = append(got, r.UserAgent()) }))
	defer s.Close()
	c, err := New(Options{UserAgent: "mcpauth/1"})
	if err != nil {
		t.Fatal(err)
	}
	get(t, c, s.URL, nil)
	get(t, c, s.URL, http.Header{"User-Agent": {"ci"}})
	if len(got) != 2 || got[0] != "mcpauth/1" || got[1] != "ci" {
		t.Errorf("servers saw %q", got)
	}
}

func TestCAFile(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	defer s.Close()
	if _, err := get(t, nil, s.URL, nil); err == nil {
		t.Fatal("an unknown authority was trusted")
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	os.WriteFile(file, []byte("no certificate"), 0o600)
	if _, err := New(Options{CAFile: file}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v, want an error that names the file", err)
	}
	os.WriteFile(file, pemOf(s), 0o600)
	c, err := New(Options{CAFile: file})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := get(t, c, s.URL, nil); err != nil {
		t.Error(err)
	}
}

func TestTraceRedacts(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Set-Cookie", "canary-cookie")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Connection", "keep-alive")
		io.WriteString(w, `{"access_token":"canary-access","token_type":"Bearer","expires_in":60,"note":"you sent canary-refresh","list":["x"],"d":"part-of-a-key",`+
			`"more":"canary-key, canary-code, canary/secret, canary%2Fsecret, Bearer canary-user"}`)
	}))
	defer s.Close()
	var out strings.Builder
	c, _ := New(Options{Trace: &out})
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"canary-refresh"}, "resource": {"https://x"}}
	req, _ := http.NewRequest(http.MethodPost, s.URL+"/token?code=canary-code&q=Bearer", strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("id:canary%2Fsecret")))
	req.Header.Set("X-User", "Bearer canary-user")
	req.Header.Set("X-Api-Key", "canary-key")
	for _, name := range []string{"Location", "Server", "Www-Authenticate", "Allow", "Retry-After"} { // harmless only in a response
		req.Header.Set(name, "canary-in-"+name)
	}
	if _, err := Do(c, req); err != nil {
		t.Fatal(err)
	}
	got := out.String()
	if strings.Contains(got, "canary") {
		t.Errorf("the trace shows a secret:\n%s", got)
	}
	for _, want := range []string{"> POST ", "grant_type=refresh_token", "resource=https%3A%2F%2Fx", "200 OK", `"token_type":"Bearer"`, "X-Api-Key: [redacted]", "&q=Bearer", `"d":"[redacted]"`, "< X-Content-Type-Options: nosniff\n", "< Connection: keep-alive\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("the trace lacks %q:\n%s", want, got)
		}
	}
}

// The trace shows no part of at least 12 bytes of a secret that the server was sent, and no short secret.
func TestTraceRedactsParts(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "canary-in-cookie")
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"note":"canary-in-cookie, hunter2, ary-of-the-refresh, token-of-the-user, canary-in-query"}`)
	}))
	defer s.Close()
	var out strings.Builder
	c, _ := New(Options{Trace: &out})
	for _, send := range []func(*http.Request) error{
		func(req *http.Request) error { _, err := Do(c, req); return err },
		func(req *http.Request) error {
			res, err := c.Do(req)
			if err == nil {
				_, err = io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
			return err
		},
	} {
		req, _ := http.NewRequest(http.MethodPost, s.URL+"/token?code=the-canary-in-query", strings.NewReader("refresh_token=canary-of-the-refresh"))
		req.Header = http.Header{"Cookie": {"theme=dark; session=canary-in-cookie"}, "X-Pin": {"hunter2"}, "Authorization": {"Bearer the-token-of-the-user"}, "Content-Type": {formType}}
		if err := send(req); err != nil {
			t.Fatal(err)
		}
	}
	got := out.String()
	for _, shown := range []string{"canary", "hunter2", "ary-of-the", "token-of-the"} {
		if strings.Contains(got, shown) {
			t.Errorf("the trace shows %s:\n%s", shown, got)
		}
	}
	if strings.Count(got, `"note":"[redacted], [redacted], [redacted], [redacted], [redacted]"`) != 2 {
		t.Errorf("the trace lacks the bodies:\n%s", got)
	}
}

// The trace still redacts a token in use after a response with many secrets, and after many proofs.
func TestTraceForgetsNoSecretInUse(t *testing.T) {
	many, _ := json.Marshal(slices.Collect(func(yield func(string) bool) {
		for i := range 300 {
			if !yield(fmt.Sprint("made-up-", i)) {
				return
			}
		}
	}))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":%s,"note":%q}`, many, r.Header.Get("Authorization")+r.Header.Get("X-Key"))
	}))
	defer s.Close()
	var out strings.Builder
	c, _ := New(Options{Trace: &out})
	var k Secrets
	c = k.Client(c)
	for i := range 2 * maxLearned {
		req, _ := http.NewRequest(http.MethodPost, s.URL, nil)
		req.Header = http.Header{"Authorization": {"DPoP canary-token"}, "X-Key": {"canary-key"}, "Dpop": {fmt.Sprint("a-proof-", i)}}
		if _, err := Do(c, req); err != nil {
			t.Fatal(err)
		}
	}
	for i := range maxLearned {
		k.learn(sent, "canary-parallel", fmt.Sprint("a-proof-", i))
	}
	k.learnRequest(&http.Request{}, false) // a second request starts before the response to the first
	out.WriteString(k.Clean("canary-parallel"))
	if got := out.String(); strings.Contains(got, "canary") || !strings.Contains(got, `"note":"DPoP [redacted]`) {
		t.Errorf("the trace shows a secret, or nothing:\n%.500s", got[max(0, strings.Index(got, "canary")-100):])
	}
}

// A line break in a name of a certificate does not break the line of the trace.
func TestTraceOfACertificate(t *testing.T) {
	var out strings.Builder
	fail := transportFunc(func(*http.Request) (*http.Response, error) {
		return nil, x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"a\x1b[2J\nmcpauth: forged"}}, Host: "x"}
	})
	req, _ := http.NewRequest(http.MethodGet, "https://x/", nil)
	_, _ = (&tracer{next: fail, out: &out}).RoundTrip(req)
	if got := out.String(); strings.Contains(got, "\x1b") || strings.Contains(got, "\nmcpauth") {
		t.Errorf("the trace shows %q", got)
	}
}

// HTTP/1 allows blanks in the name of a header.
func TestTraceOfAHeaderName(t *testing.T) {
	var out strings.Builder
	answer := transportFunc(func(*http.Request) (*http.Response, error) {
		h := http.Header{"X" + strings.Repeat(" ", 117) + "hint: mcpauth login evil.example": {"v"}, strings.Repeat("y", 100_000): {"v"}}
		return &http.Response{Status: "200 OK", StatusCode: 200, Header: h, Body: http.NoBody}, nil
	})
	req, _ := http.NewRequest(http.MethodGet, "https://x/", nil)
	_, _ = (&tracer{next: answer, out: &out}).RoundTrip(req)
	if got := out.String(); !strings.Contains(got, "\n< X hint: mcpauth login evil.example: [redacted]\n< yyy") || len(got) > 1000 {
		t.Errorf("the trace shows %.2000q", got)
	}
}

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestBareNamesNoAddress(t *testing.T) {
	_, err := get(t, nil, "http://127.0.0.1:1/secret-path", nil)
	bare := Bare(err)
	var u *url.Error
	if strings.Contains(bare.Error(), "secret-path") || strings.Contains(bare.Error(), "Get") || !errors.As(bare, &u) {
		t.Errorf("got %v", bare)
	}
	if plain := errors.New("x"); Bare(plain) != plain {
		t.Error("another error was changed")
	}
}

// A request that exceeds the limit returns an error that states the limit, both before the response and in the middle of the body. If the
// caller's context ends first, the error is that of the context.
func TestRequestLimit(t *testing.T) {
	hang := make(chan bool)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/mid" {
			w.Header().Set("Content-Length", "10")
			w.Write([]byte("beg"))
			w.(http.Flusher).Flush()
		}
		if r.URL.Path != "/" {
			<-hang
		}
	}))
	defer s.Close()
	defer close(hang)
	send := func(ctx context.Context, path string, limit time.Duration) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = do(s.Client(), req, readAny, limit)
		return err
	}
	for _, path := range []string{"/before", "/mid"} {
		err := send(context.Background(), path, 50*time.Millisecond)
		var n net.Error
		if !errors.As(err, &n) || !n.Timeout() || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer within 50ms") {
			t.Errorf("%s: %v", path, err)
		}
		own, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		if err := send(own, path, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s, the caller's limit: %v", path, err)
		}
		cancel()
	}
	if err := send(context.Background(), "/", time.Hour); err != nil {
		t.Error(err)
	}
}
