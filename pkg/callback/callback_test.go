package callback

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const issuer = "https://as.example.com"

var expect = Expect{State: "s-1", Issuer: issuer, IssRequired: true}

func listen(t *testing.T, o Options) *Listener {
	t.Helper()
	l, err := Listen(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// result is what Wait returned in another goroutine.
type result struct {
	code string
	err  error
}

func wait(t *testing.T, l *Listener, e Expect) <-chan result {
	t.Helper()
	done := make(chan result, 1)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	go func() {
		code, err := l.Wait(ctx, e)
		done <- result{code, err}
	}()
	return done
}

func request(t *testing.T, method, address, host string) *http.Response {
	t.Helper()
	address, star := strings.CutSuffix(address, "*")
	req, err := http.NewRequest(method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if star {
		req.URL.Opaque = "*"
	}
	if host != "" {
		req.Host = host
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	res.Body = io.NopCloser(strings.NewReader(string(body)))
	return res
}

const good = "?code=c-1&state=s-1&iss=https%3A%2F%2Fas.example.com"

func TestWaitTakesTheAnswer(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "localhost"} {
		l := listen(t, Options{Host: host})
		if want := "http://" + net.JoinHostPort(host, strconv.Itoa(l.Port())) + "/callback"; l.RedirectURI() != want {
			t.Errorf("redirect address is %q, want %q", l.RedirectURI(), want)
		}
		done := wait(t, l, expect)
		res := request(t, http.MethodGet, l.RedirectURI()+good, "")
		page, _ := io.ReadAll(res.Body)
		if res.StatusCode != http.StatusOK || !strings.Contains(string(page), "Login complete") {
			t.Errorf("the browser saw %s: %s", res.Status, page)
		}
		if r := <-done; r.code != "c-1" || r.err != nil {
			t.Errorf("got %q, %v", r.code, r.err)
		}
	}
}

// Wait refuses a callback with a wrong state and continues. Every other request that is not the authorization response is also refused, and
// Wait continues.
func TestWaitIgnoresStrangers(t *testing.T) {
	l := listen(t, Options{})
	done := wait(t, l, expect)
	for _, tt := range []struct {
		name, method, path, host string
		status                   int
	}{
		{"foreign state", "GET", "/callback?code=c&state=s-2&iss=" + url.QueryEscape(issuer), "", 400},
		{"no state", "GET", "/callback?code=c", "", 400},
		{"no query", "GET", "/callback", "", 400},
		{"state twice", "GET", "/callback?code=c&state=s-1&state=s-1", "", 400},
		{"an error with a foreign state", "GET", "/callback?error=access_denied&state=s-2", "", 400},
		{"POST", "POST", "/callback" + good, "", 405},
		{"OPTIONS, as a preflight", "OPTIONS", "/callback" + good, "", 405},
		{"OPTIONS for no path", "OPTIONS", "*", "", 404},
		{"HEAD", "HEAD", "/callback" + good, "", 405},
		{"another path", "GET", "/callback/" + good, "", 404},
		{"favicon", "GET", "/favicon.ico", "", 404},
		{"DNS rebinding", "GET", "/callback" + good, "evil.example.com", 421},
		{"another port in Host", "GET", "/callback" + good, "127.0.0.1:1", 421},
		{"localhost is another name", "GET", "/callback" + good, "localhost:" + strconv.Itoa(l.Port()), 421},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if res := request(t, tt.method, "http://127.0.0.1:"+strconv.Itoa(l.Port())+tt.path, tt.host); res.StatusCode != tt.status {
				t.Errorf("answered %d, want %d", res.StatusCode, tt.status)
			}
		})
	}
	select {
	case r := <-done:
		t.Fatalf("the wait ended with %q, %v", r.code, r.err)
	default:
	}
	request(t, http.MethodGet, l.RedirectURI()+good, "")
	if r := <-done; r.code != "c-1" {
		t.Errorf("got %q, %v after the strangers", r.code, r.err)
	}
}

func TestWaitUnderAThousandRequests(t *testing.T) {
	l := listen(t, Options{})
	done := wait(t, l, expect)
	var wg sync.WaitGroup
	slots := make(chan struct{}, 50)
	for range 1000 {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if res, err := http.Get(l.RedirectURI() + "?code=x&state=guess"); err == nil {
				res.Body.Close()
			}
		})
	}
	wg.Wait()
	request(t, http.MethodGet, l.RedirectURI()+good, "")
	if r := <-done; r.code != "c-1" {
		t.Errorf("got %q, %v", r.code, r.err)
	}
}

// Only a navigation by the user delivers the response; a prefetch or a request by a web page does not.
func TestWaitTakesNavigationsOnly(t *testing.T) {
	for _, tt := range []struct {
		name, value string
		counts      bool
	}{
		{"Sec-Purpose", "prefetch", false},
		{"Sec-Purpose", "prefetch;prerender", false},
		{"Purpose", "prefetch", false},
		{"X-Purpose", "preview", false},
		{"X-Moz", "prefetch", false},
		{"Sec-Fetch-Mode", "cors", false},
		{"Sec-Fetch-Mode", "no-cors", false},
		{"Sec-Fetch-Mode", "navigate", true},
		{"Sec-Fetch-Site", "cross-site", true},
	} {
		l := listen(t, Options{})
		done := wait(t, l, expect)
		req, _ := http.NewRequest(http.MethodGet, l.RedirectURI()+strings.Replace(good, "c-1", "early", 1), nil)
		req.Header.Set(tt.name, tt.value)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		request(t, http.MethodGet, l.RedirectURI()+good, "")
		want, status := "c-1", http.StatusForbidden
		if tt.counts {
			want, status = "early", http.StatusOK
		}
		if r := <-done; r.code != want || res.StatusCode != status {
			t.Errorf("%s: %s: got %q and %d, want %q and %d", tt.name, tt.value, r.code, res.StatusCode, want, status)
		}
	}
}

// Cookies do not depend on the port, so a developer's browser sends those of all local servers.
func TestWaitTakesManyCookies(t *testing.T) {
	l := listen(t, Options{})
	done := wait(t, l, expect)
	req, _ := http.NewRequest(http.MethodGet, l.RedirectURI()+good, nil)
	for i := range 100 {
		req.AddCookie(&http.Cookie{Name: "c" + strconv.Itoa(i), Value: strings.Repeat("x", 1000)})
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("answered %s", res.Status)
	}
	if r := <-done; r.code != "c-1" {
		t.Errorf("got %q, %v", r.code, r.err)
	}
}

// Ignored is called once, with the reason, for a request that looks like a response but is not the expected one.
func TestWaitTellsOfIgnoredAnswers(t *testing.T) {
	for _, tt := range []struct{ method, path, host, want string }{
		{"GET", "/callback?code=c&state=s-2", "", "its state is not that of this login"},
		{"GET", "/callback?code=c", "", "it has no state"},
		{"GET", "/callback", "", "it has no state"},
		{"GET", "/callback?error=invalid_scope&error_description=no%1b%0asuch&iss=" + url.QueryEscape(issuer), "", `it has no state, and says: "invalid_scope": "no such"`},
		{"GET", "/callback/" + good, "", `its path is "/callback/", expected "/callback"`},
		{"GET", "/callback" + good, "evil.example.com", `its Host header is "evil.example.com"`},
		{"POST", "/callback", "", "form_post"},
		{"GET", "/favicon.ico", "", ""},
		{"HEAD", "/callback" + good, "", ""},
	} {
		var told []string
		l := listen(t, Options{Ignored: func(why string) { told = append(told, why) }})
		done := wait(t, l, expect)
		for range 2 {
			request(t, tt.method, "http://127.0.0.1:"+strconv.Itoa(l.Port())+tt.path, tt.host)
		}
		request(t, http.MethodGet, l.RedirectURI()+good, "")
		<-done
		if len(told) > 1 || !strings.Contains(strings.Join(told, ""), tt.want) || tt.want == "" && told != nil {
			t.Errorf("%s %s: told %q, want %q once", tt.method, tt.path, told, tt.want)
		}
	}
}

// If an error has no state and iss names another server, the text of the error is not shown (MCP authorization, Authorization Response
// Validation).
func TestForeignWordsOfAnotherIssuer(t *testing.T) {
	const evil = "error=access_denied&error_description=call+0800-EVIL&iss=https%3A%2F%2Fevil.example"
	if said := ignoredReason(evil, Expect{Issuer: "https://as.example"}); said != "it has no state" {
		t.Errorf("%q", said)
	}
}

// No text of a response that an error quotes contains a secret of the login.
func TestQuotedTextsAreClean(t *testing.T) {
	e := Expect{State: "s-1", Issuer: "https://as.example", Clean: func(s string) string { return strings.ReplaceAll(s, "canary", "[redacted]") }}
	for _, answer := range []string{"state=s-1&iss=https%3A%2F%2Fcanary", "state=s-1&error=canary&error_description=the+canary&error_uri=https%3A%2F%2Fx%2Fcanary"} {
		_, err := Parse("https://x/?"+answer, e)
		if err == nil || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "[redacted]") {
			t.Errorf("%s: %v", answer, err)
		}
	}
	if said := ignoredReason("error=x&error_description=canary", e); strings.Contains(said, "canary") {
		t.Errorf("got %q", said)
	}
}

// Browsers open a second connection in advance and leave it idle. An idle connection does not delay the response or the page of a reload. A
// client that never completes its request does not delay them either.
func TestWaitIsNotHeldByOtherConnections(t *testing.T) {
	l := listen(t, Options{})
	done := wait(t, l, expect)
	var oldest net.Conn
	for i := range 600 {
		said := []string{"", "GET /callback HTTP/1.1\r\nHost: "}[i%2]
		conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(l.Port()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, said)
		oldest = cmp.Or(oldest, conn)
	}
	_ = oldest.SetReadDeadline(time.Now().Add(headerTime / 2))
	if _, err := oldest.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("600 connections are open")
	}
	request(t, http.MethodGet, l.RedirectURI()+good, "")
	if r := <-done; r.code != "c-1" {
		t.Errorf("got %q, %v", r.code, r.err)
	}
	res := request(t, http.MethodGet, l.RedirectURI()+good, "") // a server that waits for the other connections would have stopped by now
	if page, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK || !strings.Contains(string(page), "Login complete") {
		t.Errorf("a reload shows %s: %s", res.Status, page)
	}
	closed := make(chan error, 1)
	go func() { closed <- l.Close() }()
	select {
	case <-closed:
	case <-time.After(3 * time.Second): // net/http waits 5 s for a connection without a request
		t.Error("Close waits for the other connections")
	}
	if again, err := Listen(context.Background(), Options{Port: l.Port()}); err != nil {
		t.Errorf("after Close: %v", err)
	} else {
		again.Close()
	}
}

func TestWaitEndsWithTheContext(t *testing.T) {
	l := listen(t, Options{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := l.Wait(ctx, expect); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	again, err := Listen(context.Background(), Options{Port: l.Port()})
	if err != nil {
		t.Fatalf("the port is still held: %v", err)
	}
	again.Close()
}

func TestPortInUse(t *testing.T) {
	l := listen(t, Options{})
	for _, host := range []string{"127.0.0.1", "localhost"} {
		if _, err := Listen(context.Background(), Options{Host: host, Port: l.Port()}); !errors.Is(err, ErrPortInUse) {
			t.Errorf("%s: got %v, want ErrPortInUse", host, err)
		}
	}
	if _, err := Listen(context.Background(), Options{Host: "0.0.0.0"}); err == nil {
		t.Error("listens to the world")
	}
}

// The page escapes all text, has no scripts and is not cached.
func TestPageIsHarmless(t *testing.T) {
	l := listen(t, Options{})
	done := wait(t, l, expect)
	res := request(t, http.MethodGet, l.RedirectURI()+"?state=s-1&iss="+url.QueryEscape(issuer)+"&error=access_denied&error_description="+
		url.QueryEscape(`<script>alert(1)</script>"><img src=x>`), "")
	body, _ := io.ReadAll(res.Body)
	if strings.Contains(string(body), "<script") || strings.Contains(string(body), "<img") {
		t.Errorf("the server's words are markup:\n%s", body)
	}
	if p := res.Header.Get("Content-Security-Policy"); !strings.Contains(p, "default-src 'none'") || strings.Contains(p, "unsafe") || !strings.Contains(p, styleHash(string(body))) {
		t.Errorf("policy is %q", p)
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	var refused *AuthorizationError
	if r := <-done; !errors.As(r.err, &refused) || refused.Code != "access_denied" {
		t.Errorf("got %v", r.err)
	}
}
