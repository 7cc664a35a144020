package callback

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"mcpauth/internal/httpx"
)

var (
	// ErrState is returned if a response belongs to another authorization request.
	ErrState = errors.New("state differs from the one that was sent (RFC 6749 §10.12)")
	// ErrIssuer is returned if iss names another authorization server, or if iss is required and missing (RFC 9207 §2.4).
	ErrIssuer = errors.New("the answer is not from the expected authorization server")
	// ErrMalformed is returned if a response contains neither code nor error, or contains a parameter twice.
	ErrMalformed = errors.New("malformed authorization response (RFC 6749 §4.1.2)")
	// ErrBareCode is returned if the pasted text has no state, for example because the user pasted only the code.
	ErrBareCode = errors.New("the response cannot be verified")
)

// Expect describes the expected authorization response.
type Expect struct {
	State       string // state of the authorization request; empty: no response is accepted
	Issuer      string // issuer identifier of the authorization server
	IssRequired bool   // authorization_response_iss_parameter_supported of the metadata

	Clean func(string) string // removes secrets from a text of the response that an error quotes; nil: such texts contain no secrets
}

// AuthorizationError is an error response of the authorization server (RFC 6749 §4.1.2.1). Every field is safe to print.
type AuthorizationError struct {
	Code        string
	Description string
	URI         string // URL of a page about the error; empty: no URL, or a URL that is not allowed
}

func (e *AuthorizationError) Error() string {
	s := fmt.Sprintf("the authorization server answers %q", e.Code)
	if e.Description != "" {
		s += fmt.Sprintf(": %q", e.Description)
	}
	if e.URI != "" {
		s += " (" + e.URI + ")"
	}
	return s
}

// Parse returns the code in a pasted authorization response. The pasted text is the URL to which the browser was redirected, or the query
// of this URL.
func Parse(pasted string, e Expect) (string, error) {
	pasted = strings.TrimSpace(pasted)
	query := pasted
	if _, after, ok := strings.Cut(pasted, "?"); ok {
		query = after
	}
	query, _, _ = strings.Cut(query, "#")
	if !strings.Contains(query, "=") || !strings.Contains("&"+query, "&state=") {
		return "", fmt.Errorf("%w: paste the whole address that the browser ended on, with code and state", ErrBareCode)
	}
	return parseResponse(query, e)
}

// parseResponse returns the code in an authorization response (RFC 6749 §4.1.2). It checks the state first, then iss, and then the other
// parameters.
func parseResponse(rawQuery string, e Expect) (string, error) {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return "", ErrState // an authorization server would not send a malformed query
	}
	if len(query["state"]) != 1 || e.State == "" || subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(e.State)) != 1 {
		return "", ErrState
	}
	for _, name := range []string{"iss", "code", "error", "error_description", "error_uri"} {
		if len(query[name]) > 1 {
			return "", fmt.Errorf("%w: %s appears twice (§3.1)", ErrMalformed, name)
		}
	}
	if err := checkIssuer(query, e); err != nil {
		return "", err
	}
	if query.Has("error") {
		return "", e.authorizationError(query)
	}
	code := query.Get("code")
	if code == "" {
		return "", fmt.Errorf("%w: it contains neither code nor error", ErrMalformed)
	}
	return code, nil
}

// ignoredReason states why a response does not belong to this authorization request. Some servers send an error without state. The reason
// quotes an error without state only if iss is valid (MCP authorization, Authorization Response Validation).
func ignoredReason(rawQuery string, e Expect) string {
	query, _ := url.ParseQuery(rawQuery)
	switch {
	case query.Has("state"):
		return "its state is not that of this login; it may belong to an earlier login"
	case query.Has("error") && checkIssuer(query, e) == nil:
		return "it has no state, and says: " + strings.TrimPrefix(e.authorizationError(query).Error(), "the authorization server answers ")
	}
	return "it has no state"
}

// checkIssuer checks the iss parameter as RFC 9207 §2.4 and MCP authorization require. If iss is present, it must equal the issuer byte for
// byte, even if the metadata does not announce iss. If the metadata announces iss, a response without iss is refused. After a failed check,
// no other parameter of the response is used or shown.
func checkIssuer(query url.Values, e Expect) error {
	switch iss := query.Get("iss"); {
	case !query.Has("iss") && !e.IssRequired:
		return nil
	case !query.Has("iss"):
		return fmt.Errorf("%w: the metadata announces iss, but the response has none (RFC 9207 §2.4)", ErrIssuer)
	case iss != e.Issuer:
		shown := "not a URL"
		if _, err := httpx.CheckServer(iss); err == nil { // any other text could be a message to the user
			shown = strconv.Quote(e.text(iss, 200))
		}
		return fmt.Errorf("%w: iss is %s, expected %q (RFC 9207 §2.4)", ErrIssuer, shown, e.Issuer)
	}
	return nil
}

func (e Expect) authorizationError(query url.Values) error {
	refused := &AuthorizationError{Code: e.text(query.Get("error"), 80), Description: e.text(query.Get("error_description"), 300)}
	if u, err := httpx.Check(e.text(query.Get("error_uri"), 2000), false); err == nil {
		refused.URI = u.String()
	}
	return refused
}

// text returns a text of the response that is safe to print and contains no secret.
func (e Expect) text(s string, limit int) string {
	if e.Clean != nil {
		s = e.Clean(s)
	}
	return httpx.Text(s, limit)
}
