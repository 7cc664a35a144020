package mcphttp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"

	"golang.org/x/oauth2"

	"mcpauth/internal/httpx"
)

// sendAuthorized sends a request with authorization. If Auth obtains another token after 401 or 403, sendAuthorized repeats the request
// with the new token. written is true if any part of the last attempt was sent.
func (l *Link) sendAuthorized(req *http.Request, body []byte, quiet bool) (res *http.Response, written bool, err error) {
	if !httpx.SameOrigin(req.URL, l.server) {
		return nil, false, l.foreignAddress(req.URL.String())
	}
	if to := l.redirect.Load(); to != nil && req.URL.String() == l.URL {
		req.URL = to
	}
	var wrote atomic.Bool
	trace := &httptrace.ClientTrace{WroteHeaders: func() { wrote.Store(true) }}
	ctx := httptrace.WithClientTrace(req.Context(), trace)
	for refused := map[int]int{}; ; {
		out := l.newAttempt(ctx, req, body)
		if err := l.setAuthorization(out); err != nil {
			return nil, false, &authorizationError{err}
		}
		wrote.Store(false)
		res, err := l.base.RoundTrip(out)
		if err != nil {
			return nil, wrote.Load(), err
		}
		if o, ok := l.Auth.(observer); ok {
			o.Observe(res)
		}
		if out.Header.Get("Authorization") == "" && l.followSlashRedirect(req, res) {
			continue
		}
		unauthorized := res.StatusCode == http.StatusUnauthorized && !l.refusesSession(req, res) || res.StatusCode == http.StatusForbidden
		if refused[res.StatusCode]++; !unauthorized || quiet || l.Auth == nil || refused[res.StatusCode] > maxAuthorize {
			return res, true, nil
		}
		if res.StatusCode == http.StatusUnauthorized {
			l.overruled.Store(true)
		}
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(res.Body, httpx.MaxBody), res.Body}
		if err := l.Auth.Authorize(req.Context(), out, res); err != nil {
			return nil, false, &authorizationError{err}
		}
	}
}

// refusesSession reports whether a 401 response refuses the session instead of the token. Such a response has no WWW-Authenticate header.
func (l *Link) refusesSession(req *http.Request, res *http.Response) bool {
	if req.Header.Get("Mcp-Session-Id") == "" || res.Header.Get("WWW-Authenticate") != "" {
		return false
	}
	text, _ := readText(res, httpx.MaxBody)
	res.Body = io.NopCloser(strings.NewReader(text))
	return foldText(l.newStatusError(res, text, "").Text) == lostText401
}

// followSlashRedirect accepts a redirect from the endpoint to the same URL with or without a final slash. Web frameworks redirect in this
// way if an application is mounted under a path. The result is true if the request must be sent again. Every other redirect is refused,
// because the arguments of a call are meant for the configured URL. Requests with a token are never redirected.
func (l *Link) followSlashRedirect(req *http.Request, res *http.Response) bool {
	if res.StatusCode != http.StatusTemporaryRedirect && res.StatusCode != http.StatusPermanentRedirect {
		return false
	}
	to, err := res.Location()
	if err != nil || !httpx.SameOrigin(to, l.server) || to.RawQuery != req.URL.RawQuery || to.EscapedPath() == req.URL.EscapedPath() ||
		strings.TrimSuffix(to.EscapedPath(), "/") != strings.TrimSuffix(req.URL.EscapedPath(), "/") || req.URL.String() != l.URL {
		return false
	}
	httpx.Drain(res.Body)
	l.redirect.Store(to)
	req.URL = to
	return true
}

// newAttempt returns a copy of the request, with the body and the static headers, for one attempt.
func (l *Link) newAttempt(ctx context.Context, req *http.Request, body []byte) *http.Request {
	out := req.Clone(ctx)
	out.Body = http.NoBody
	if len(body) > 0 {
		out.ContentLength = int64(len(body))
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		out.Body, _ = out.GetBody()
	}
	for name, values := range l.static {
		switch _, set := out.Header[name]; {
		case set || name == "Authorization":
		case name == "Host":
			out.Host = values[0]
		default:
			out.Header[name] = values
		}
	}
	return out
}

// decorator is an OAuth handler that sets the Authorization header itself (DPoP).
type decorator interface {
	Decorate(*http.Request, *oauth2.Token) error
}

// observer is an OAuth handler that reads responses, for example to find the nonce of the next DPoP proof.
type observer interface {
	Observe(*http.Response)
}

// authorizationError marks an error of the OAuth handler, which the outcome contains unchanged.
type authorizationError struct{ err error }

func (e *authorizationError) Error() string { return e.err.Error() }

// setAuthorization sets the Authorization header. The user's static header is used until the server answers 401 to that header.
func (l *Link) setAuthorization(req *http.Request) error {
	static, ok := l.static["Authorization"]
	if ok && (l.Auth == nil || !l.overruled.Load()) {
		req.Header["Authorization"] = static
		return nil
	}
	if l.Auth == nil {
		return nil
	}
	source, err := l.Auth.TokenSource(req.Context())
	if err != nil || source == nil {
		return err
	}
	tok, err := source.Token()
	if err != nil || tok == nil {
		return err
	}
	if d, ok := l.Auth.(decorator); ok {
		return d.Decorate(req, tok)
	}
	if strings.ContainsFunc(tok.AccessToken, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return errors.New("the access token contains characters that are not allowed in a header (RFC 6750 §2.1)")
	}
	req.Header.Set("Authorization", "Bearer "+tok.AccessToken)
	return nil
}

// Overruled reports whether the server has refused the static Authorization header, so that Auth is used.
func (l *Link) Overruled() bool { return l.overruled.Load() }
