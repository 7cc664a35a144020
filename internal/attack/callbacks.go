// Attacks on the callback by another program that can reach its port, or by the authorization server through the browser.

package attack

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

func callbacks() []Attack {
	var list []Attack
	for _, v := range visits() {
		list = append(list, Attack{Name: "callback/" + v.name, What: v.what})
	}
	const state = "&iss=https%3A%2F%2Fas.attack.example&state="
	return append(list,
		answered("repeated-code", "the authorization response has two codes", "code=a&code=b"+state),
		answered("repeated-iss", "the authorization response has two iss parameters", "code=a&iss=https%3A%2F%2Fevil.example"+state),
		answered("nothing", "the authorization response has neither code nor error", state[1:]),
	)
}

// answered returns an attack by an authorization server that redirects the browser with the given query and the state.
func answered(name, what, query string) Attack {
	return Attack{Name: "callback/" + name, What: what, At: "GET /authorize", Do: func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		http.Redirect(w, r, q.Get("redirect_uri")+"?"+query+url.QueryEscape(q.Get("state")), http.StatusFound)
	}}
}

// visit is a request that another program sends to the callback before the authorization response. do returns an error if the callback
// accepts the request.
type visit struct {
	name, what string
	do         func(ctx context.Context, callback *url.URL) error
}

func visits() []visit {
	query := func(q string) func(context.Context, *url.URL) error {
		return func(ctx context.Context, u *url.URL) error { return refused(ctx, http.MethodGet, u.String()+q, "") }
	}
	return []visit{
		{"foreign-state", "a response has the state of another login", query("?code=stolen&state=not-yours")},
		{"no-state", "a response has no state", query("?code=stolen")},
		{"empty-state", "a response has an empty state", query("?code=stolen&state=")},
		{"two-states", "a response has two states", query("?code=stolen&state=a&state=b")},
		{"foreign-error", "an error response has the state of another login", query("?error=access_denied&state=x")},
		{"semicolons", "a response separates its parameters with semicolons", query("?code=stolen;state=x")},
		{"post", "the callback gets a response as a POST request", func(ctx context.Context, u *url.URL) error { return refused(ctx, http.MethodPost, u.String(), "") }},
		{"head", "the callback gets a HEAD request", func(ctx context.Context, u *url.URL) error { return refused(ctx, http.MethodHead, u.String(), "") }},
		{"other-path", "the callback port gets a request for another path", func(ctx context.Context, u *url.URL) error {
			return refused(ctx, http.MethodGet, "http://"+u.Host+"/", "")
		}},
		{"rebinding", "a web page's host name resolves to 127.0.0.1 (DNS rebinding)", func(ctx context.Context, u *url.URL) error {
			return refused(ctx, http.MethodGet, u.String(), "evil.example:"+u.Port())
		}},
		{"crowd", "the callback gets a thousand requests at once", crowd},
		{"slow", "a client opens a connection to the callback and sends nothing", hold},
		{"huge", "the callback gets a request with a query of 1 MB", func(ctx context.Context, u *url.URL) error {
			return refused(ctx, http.MethodGet, u.String()+"?code="+strings.Repeat("a", 1<<20), "")
		}},
	}
}

// Visit replaces the browser. If stranger is not empty, Visit first sends the requests of the callback attack with this name. After that,
// Visit opens the address, follows all redirects, and returns the last page.
func Visit(ctx context.Context, stranger, address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	callback, err := url.Parse(u.Query().Get("redirect_uri"))
	if err != nil {
		return "", err
	}
	for _, v := range visits() {
		if v.name == stranger {
			if err := v.do(ctx, callback); err != nil {
				return "", fmt.Errorf("%s: %w", stranger, err)
			}
		}
	}
	return follow(ctx, address)
}

// follow fetches a page through the proxy of the World.
func follow(ctx context.Context, address string) (string, error) {
	pool := x509.NewCertPool()
	if file := os.Getenv("ATTACK_CA"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		pool.AppendCertsFromPEM(pem)
	}
	hc := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	res, err := hc.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return fmt.Sprintf("%d %v\n%s", res.StatusCode, res.Header, data), err
}

// refused sends a request and returns an error unless the response is a 4xx or the connection fails.
func refused(ctx context.Context, method, address, host string) error {
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return err
	}
	req.Host = host
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return nil //nolint:nilerr // a closed connection also refuses the request
	}
	defer res.Body.Close()
	if res.StatusCode < 400 || res.StatusCode > 499 {
		return fmt.Errorf("%s %.200s was answered %d", method, address, res.StatusCode)
	}
	return nil
}

// crowd sends a thousand requests, fifty at a time.
func crowd(ctx context.Context, u *url.URL) error {
	errs := make(chan error, 1000)
	var wait sync.WaitGroup
	for range 50 {
		wait.Go(func() {
			for i := range 20 {
				errs <- refused(ctx, http.MethodGet, fmt.Sprintf("%s?code=%d&state=guess", u, i), "")
			}
		})
	}
	wait.Wait()
	close(errs)
	var all error
	for err := range errs {
		all = errors.Join(all, err)
	}
	return all
}

// hold opens connections and leaves them open. Each connection sends nothing, or half of a request.
func hold(ctx context.Context, u *url.URL) error {
	for i := range 20 {
		conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", u.Host)
		if err != nil {
			return err
		}
		if i%2 == 0 {
			fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nX-Slow: ", u.Path, u.Host)
		}
		context.AfterFunc(ctx, func() { conn.Close() })
	}
	return nil
}
