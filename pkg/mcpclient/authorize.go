// This file authorizes requests. The SDK's streamable transport can do it too, but gives up after one 401, says nothing else than Bearer,
// and its HTTP+SSE transport cannot at all; so the loop is here, below both (MCP authorization, Error Handling and Scope Challenge
// Handling; RFC 6750 §3.1; RFC 9449 §9).

package mcpclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"golang.org/x/oauth2"
)

// maxAuthorize bounds how often one request is authorized anew, for 401 and 403 each: a login and a DPoP nonce are two.
const maxAuthorize = 2

// decorator is what a handler has that sets the Authorization header itself (DPoP).
type decorator interface {
	Decorate(*http.Request, *oauth2.Token) error
}

// authorizationError carries the handler's error through the SDK, so that callers see it unchanged.
type authorizationError struct{ err error }

func (e *authorizationError) Error() string { return e.err.Error() }
func (e *authorizationError) Unwrap() error { return e.err }

type quietKey struct{}

// quietly returns a context whose requests never begin an authorization.
func quietly(ctx context.Context) context.Context { return context.WithValue(ctx, quietKey{}, true) }

func isQuiet(ctx context.Context) bool { return ctx.Value(quietKey{}) != nil }

func isAuthorization(err error) bool {
	var a *authorizationError
	return errors.As(err, &a)
}

// send sends a request with the credential, and again when the handler has found a better one. Where quiet is set nothing is begun:
// the end of a session is no reason to log in.
func (w *wire) send(req *http.Request, body []byte, quiet bool) (*http.Response, error) {
	tries := map[int]int{}
	for {
		out := w.prepare(req, body)
		if err := w.credential(out); err != nil {
			return nil, &authorizationError{err}
		}
		w.c.hide(out.Header)
		res, err := w.base.RoundTrip(out)
		if err != nil || quiet || isQuiet(req.Context()) || w.c.Auth == nil || res.StatusCode != http.StatusUnauthorized && res.StatusCode != http.StatusForbidden {
			return res, err
		}
		if tries[res.StatusCode]++; tries[res.StatusCode] > maxAuthorize {
			return res, nil
		}
		if res.StatusCode == http.StatusUnauthorized {
			w.overruled.Store(true)
		}
		res.Body = bounded(res.Body)
		if err := w.c.Auth.Authorize(req.Context(), out, res); err != nil {
			return nil, &authorizationError{err}
		}
	}
}

// credential sets the Authorization header. The user's static one is used until the server answers 401 to it; then OAuth takes over.
func (w *wire) credential(req *http.Request) error {
	static, ok := w.header["Authorization"]
	if ok && (w.c.Auth == nil || !w.overruled.Load()) {
		req.Header["Authorization"] = static
		return nil
	}
	if w.c.Auth == nil {
		return nil
	}
	source, err := w.c.Auth.TokenSource(req.Context())
	if err != nil || source == nil {
		return err
	}
	tok, err := source.Token()
	if err != nil || tok == nil {
		return err
	}
	if d, ok := w.c.Auth.(decorator); ok {
		return d.Decorate(req, tok)
	}
	for _, c := range tok.AccessToken {
		if c <= ' ' || c > '~' {
			return fmt.Errorf("the access token holds characters that no header may (RFC 6750 §2.1)")
		}
	}
	req.Header.Set("Authorization", "Bearer "+tok.AccessToken)
	return nil
}
