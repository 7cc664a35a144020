package token

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"mcpauth/internal/httpx"
)

// Error is what an endpoint of the authorization server refused. All text in it is safe to print.
type Error struct {
	Stage       string        // "token endpoint", "device authorization endpoint", "revocation endpoint"
	URL         string        // of the endpoint
	StatusCode  int           // 200 too: some servers refuse with it; 0 when a device code ran out before the server said so
	Code        string        // RFC 6749 §5.2 and others: "invalid_grant"; empty when the answer held none
	Description string        // the server's words; may be empty
	ErrorURI    string        // a page about the error, if it is an allowed address
	Location    string        // where a 3xx answer pointed, without query; it was not followed
	RetryAfter  time.Duration // how long the server asks to wait; 0: it does not
}

func (e *Error) Error() string {
	prefix := fmt.Sprintf("%s %s: ", e.Stage, httpx.Text(e.URL, 300))
	switch {
	case e.Location != "":
		return prefix + fmt.Sprintf("answered %d with a redirect to %q; a request that carries a secret does not follow redirects", e.StatusCode, e.Location)
	case e.StatusCode == 0:
		return prefix + e.Code
	}
	return prefix + "answered " + httpx.Refusal{StatusCode: e.StatusCode, Code: e.Code, Text: e.Description, URI: e.ErrorURI, RetryAfter: e.RetryAfter}.String()
}

// Ambiguous reports whether the request may have been carried out although no answer came or none was understood: a connection lost or a
// timeout after the request was written, a 5xx answer, a 2xx answer that is no token answer. A code or a rotating refresh token may then
// have been spent. It is false when the server refused, and when the request never left (refused connection, unknown host, TLS).
func Ambiguous(err error) bool {
	if f := (*failure)(nil); errors.As(err, &f) {
		return f.ambiguous
	}
	e := (*Error)(nil)
	return errors.As(err, &e) && e.StatusCode >= 500
}

// failure is a request that got no answer, or none that its endpoint gives. reason is safe to print; err is for errors.Is and As only.
type failure struct {
	stage, url, reason string
	err                error
	ambiguous          bool
	network            bool // the connection failed, whoever is to blame
}

func (f *failure) Error() string {
	return fmt.Sprintf("%s %s: %s", f.stage, httpx.Text(f.url, 300), f.reason)
}
func (f *failure) Unwrap() error { return f.err }

// malformed says that a 2xx answer is no answer of the endpoint. It may well have done what was asked.
func (a *answer) malformed(reason string) error { return a.spent(ErrMalformed, reason) }

func (a *answer) spent(err error, reason string) error {
	return &failure{stage: a.stage, url: a.url, reason: httpx.Clean(reason, a.hidden, 300), err: err, ambiguous: true}
}

// quoted is a server's word as an error shows it.
func (a *answer) quoted(s string) string {
	return strconv.Quote(httpx.Clean(s, a.hidden, httpx.MaxCode))
}

// broken says that no answer came, or, when there is a res, only the beginning of one.
func (a *answer) broken(res *httpx.Response, err error, ambiguous bool) error {
	cause := err
	if inner := errors.Unwrap(err); inner != nil {
		cause = inner // without the method and address that stand in our own prefix
	}
	f := &failure{stage: a.stage, url: a.url, reason: httpx.Clean(cause.Error(), a.hidden, 300), err: err, ambiguous: ambiguous, network: true}
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

// refused reports whether an answer with status 200 is a refusal all the same (GitHub, Slack).
func (m members) refused() bool {
	return m.present("error") && !m.emptyText("error") || string(m["ok"]) == "false"
}

// refusal makes the Error of an answer that is no success.
func (a *answer) refusal(now time.Time) error {
	e := &Error{Stage: a.stage, URL: a.url, StatusCode: a.StatusCode}
	r := httpx.ReadRefusal(&a.Response, a.hidden, now)
	if a.StatusCode/100 == 3 {
		e.Location, e.RetryAfter = a.location(), r.RetryAfter
		return e
	}
	e.Code, e.Description, e.ErrorURI, e.RetryAfter = r.Code, r.Text, r.URI, r.RetryAfter
	return e
}

// location returns where a redirect points, without its query: it may repeat the form.
func (a *answer) location() string {
	raw := a.Header.Get("Location")
	base, err := url.Parse(a.url)
	if err != nil || raw == "" {
		return "nowhere"
	}
	u, err := base.Parse(raw)
	if err != nil {
		return "something that is not a URL"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return httpx.Clean(u.String(), a.hidden, 200)
}
