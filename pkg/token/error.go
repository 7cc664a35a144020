// This file holds the errors of the package: what a server refused (RFC 6749 §5.2), what was no answer, and which of them leave open
// whether the grant was spent. A server's words are cut, stripped of control characters, and masked: some servers put the token that they
// refuse into the text. The body itself is never shown.

package token

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"mcpauth/internal/httpx"
)

const (
	maxCode        = 80             // runes of an error code
	maxDescription = 400            // runes of a description
	maxRetryAfter  = 24 * time.Hour // longest wait that a server may ask for
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
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: ", e.Stage, httpx.Text(e.URL, 300))
	switch {
	case e.Location != "":
		fmt.Fprintf(&b, "answered %d pointing to %q; a request that carries a secret follows no redirect", e.StatusCode, e.Location)
	case e.Code == "":
		status := strings.TrimSpace(fmt.Sprint(e.StatusCode, " ", http.StatusText(e.StatusCode)))
		fmt.Fprintf(&b, "answered %s without an OAuth error code (RFC 6749 §5.2)", status)
	case e.StatusCode == 0:
		b.WriteString(e.Code)
	default:
		fmt.Fprintf(&b, "refused with %q (status %d)", e.Code, e.StatusCode)
	}
	if e.Description != "" {
		fmt.Fprintf(&b, ": %q", e.Description)
	}
	if e.ErrorURI != "" {
		fmt.Fprintf(&b, ", see %s", e.ErrorURI)
	}
	if e.RetryAfter > 0 {
		fmt.Fprintf(&b, ", retry after %v", e.RetryAfter)
	}
	return b.String()
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
	return &failure{stage: a.stage, url: a.url, reason: clean(reason, a.hidden, 300), err: err, ambiguous: true}
}

// quoted is a server's word as an error shows it.
func (a *answer) quoted(s string) string { return strconv.Quote(clean(s, a.hidden, maxCode)) }

// broken says that no answer came, or, when there is a res, only the beginning of one.
func (a *answer) broken(res *httpx.Response, err error, ambiguous bool) error {
	cause := err
	if inner := errors.Unwrap(err); inner != nil {
		cause = inner // without the method and address that stand in our own prefix
	}
	f := &failure{stage: a.stage, url: a.url, reason: clean(cause.Error(), a.hidden, 300), err: err, ambiguous: ambiguous, network: true}
	if res == nil {
		return f
	}
	f.reason = fmt.Sprintf("answered %d, then the answer broke off: %s", res.StatusCode, f.reason)
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

// refusal makes the Error of an answer that is no success. m is nil where the answer was no JSON object.
func (a *answer) refusal(m members, local bool, now time.Time) error {
	e := &Error{Stage: a.stage, URL: a.url, StatusCode: a.StatusCode, RetryAfter: retryAfter(a.Header.Get("Retry-After"), now)}
	if a.StatusCode/100 == 3 {
		e.Location = a.location()
		return e
	}
	e.Code = firstOf(m.text("error"), m.object("error").text("code"))
	if !slices.Contains(codes, e.Code) {
		e.Code = clean(e.Code, a.hidden, maxCode)
	}
	e.Description = clean(firstOf(m.text("error_description"), m.object("error").text("message"), m.text("message"), m.text("msg")),
		a.hidden, maxDescription)
	if u, err := httpx.Check(m.text("error_uri"), local); err == nil && !holds(u.String(), a.hidden) {
		e.ErrorURI = httpx.Text(u.String(), maxDescription)
	}
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
	return clean(u.String(), a.hidden, 200)
}

// codes are the error codes of RFC 6749 §5.2, 7009 §2.2.1, 8628 §3.5, 8707 §2 and 9449 §5, on which callers decide: no masking may change
// them, be a secret as badly chosen as "grant".
var codes = []string{"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
	"unsupported_token_type", "authorization_pending", "slow_down", "access_denied", "expired_token", "invalid_target", "invalid_dpop_proof",
	"use_dpop_nonce", "server_error", "temporarily_unavailable"}

func firstOf(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}

// retryAfter reads the header: seconds or a date (RFC 9110 §10.2.3).
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(date.Sub(now), 0), maxRetryAfter)
}
