package token

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"mcpauth/internal/httpx"
)

// Error is an error response of an endpoint (RFC 6749 §5.2). Every field is safe to print.
type Error struct {
	Stage       string        // name of the endpoint, such as "token endpoint"
	URL         string        // URL of the endpoint
	StatusCode  int           // HTTP status; some servers refuse with status 200; 0: the device code expired
	Code        string        // error code, such as "invalid_grant"; empty: the response has none
	Description string        // message of the server; empty: none
	ErrorURI    string        // URL of a page about the error; empty: no URL, or a URL that is not allowed
	Location    string        // target of a redirect, without its query; the redirect was not followed
	RetryAfter  time.Duration // Retry-After of the response; 0: none
}

func (e *Error) Error() string {
	prefix := fmt.Sprintf("%s %s: ", e.Stage, httpx.Text(e.URL, 300))
	switch {
	case e.Location != "":
		return prefix + fmt.Sprintf("answered %d with a redirect to %s; a request that carries a secret does not follow redirects", e.StatusCode, httpx.Quote(e.Location, httpx.MaxWords))
	case e.StatusCode == 0:
		return prefix + e.Code
	}
	return prefix + "answered " + httpx.Refusal{StatusCode: e.StatusCode, Code: e.Code, Text: e.Description, URI: e.ErrorURI, RetryAfter: e.RetryAfter}.String()
}

// Ambiguous reports whether the server may have processed a failed request. If so, the authorization code or the refresh token in the
// request may be used up. Ambiguous returns true if the connection failed after the request was written, if the status is 5xx, or if a 2xx
// response is invalid. Ambiguous returns false if the server refused the request, or if the request was never sent (connection refused,
// unknown host, TLS).
func Ambiguous(err error) bool {
	if f := (*requestError)(nil); errors.As(err, &f) {
		return f.ambiguous
	}
	e := (*Error)(nil)
	return errors.As(err, &e) && e.StatusCode >= 500
}

// requestError is the error of a request without a response, or with an invalid response. The field reason is safe to print. The field err
// is only for errors.Is and errors.As, because its text may contain secrets.
type requestError struct {
	stage, url, reason string
	err                error
	ambiguous          bool
	network            bool // the connection failed
}

func (f *requestError) Error() string {
	return fmt.Sprintf("%s %s: %s", f.stage, httpx.Text(f.url, 300), f.reason)
}
func (f *requestError) Unwrap() error { return f.err }

// malformedError returns the error for an invalid 2xx response. The server may have processed the request.
func (a *formResponse) malformedError(reason string) error { return a.spentError(ErrMalformed, reason) }

func (a *formResponse) spentError(err error, reason string) error {
	return &requestError{stage: a.stage, url: a.url, reason: httpx.Text(reason, 300), err: err, ambiguous: true}
}

func quoted(s string) string { return httpx.Quote(s, httpx.MaxCode) }

// noResponseError returns the error for a missing response. If res is not nil, the response is incomplete.
func (a *formResponse) noResponseError(res *httpx.Response, err error, ambiguous bool) error {
	cause := err
	if inner := errors.Unwrap(err); inner != nil {
		cause = inner // the inner error does not repeat the URL
	}
	f := &requestError{stage: a.stage, url: a.url, reason: httpx.Text(cause.Error(), 300), err: err, ambiguous: ambiguous, network: true}
	if res == nil {
		return f
	}
	f.reason = fmt.Sprintf("answered %d, but the answer is incomplete: %s", res.StatusCode, f.reason)
	f.ambiguous = res.StatusCode/100 == 2 || res.StatusCode >= 500
	if errors.Is(err, httpx.ErrTooLarge) {
		f.reason = fmt.Sprintf("answered %d: %v", res.StatusCode, httpx.ErrTooLarge)
		f.err, f.network = fmt.Errorf("%w: %w", ErrMalformed, httpx.ErrTooLarge), false
	}
	return f
}

// isRefusal reports whether a response with status 200 contains an error, as responses of GitHub and Slack do.
func (m jsonObject) isRefusal() bool {
	return m.hasMember("error") && !m.isEmptyString("error") || string(m["ok"]) == "false"
}

// refusalError returns the Error for an unsuccessful response.
func (a *formResponse) refusalError(now time.Time) error {
	e := &Error{Stage: a.stage, URL: a.url, StatusCode: a.StatusCode}
	r := httpx.ReadRefusal(&a.Response, now)
	if a.StatusCode/100 == 3 {
		e.Location, e.RetryAfter = a.redirectTarget(), r.RetryAfter
		return e
	}
	e.Code, e.Description, e.ErrorURI, e.RetryAfter = r.Code, r.Text, r.URI, r.RetryAfter
	return e
}

// redirectTarget returns the target of a redirect without its query, because the query may repeat the form.
func (a *formResponse) redirectTarget() string {
	base, err := url.Parse(a.url)
	if err != nil || a.Header.Get("Location") == "" {
		return "nowhere"
	}
	u, err := base.Parse(a.Header.Get("Location"))
	if err != nil {
		return "nowhere"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return httpx.Text(u.String(), 200)
}
