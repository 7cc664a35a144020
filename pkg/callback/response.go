package callback

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"mcpauth/internal/httpx"
)

var (
	// ErrState says that an answer belongs to another attempt, or to none.
	ErrState = errors.New("state differs from the one that was sent (RFC 6749 §10.12)")
	// ErrIssuer says that an answer comes from another authorization server than was asked, or does not say from which though that was promised.
	ErrIssuer = errors.New("the answer is not from the expected authorization server")
	// ErrMalformed says that an answer holds neither a code nor an error, or a parameter twice.
	ErrMalformed = errors.New("malformed authorization response (RFC 6749 §4.1.2)")
	// ErrBareCode says that a code alone was pasted.
	ErrBareCode = errors.New("the response cannot be verified")
)

// Expect is what the answer must carry.
type Expect struct {
	State       string
	Issuer      string // of the authorization server that was asked
	IssRequired bool   // its metadata promises iss (authorization_response_iss_parameter_supported)
}

// AuthorizationError is the authorization server's refusal (RFC 6749 §4.1.2.1). The texts are safe to print.
type AuthorizationError struct {
	Code        string
	Description string
	URI         string // a page about it, where it is an allowed address
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

// Parse reads an answer that a person pasted: the whole address that the browser ended on, or the query of it.
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
	return parse(query, e)
}

// parse checks an answer (RFC 6749 §4.1.2) in this order: is it ours (state), does it come from whom we asked (iss), what does it say.
func parse(rawQuery string, e Expect) (string, error) {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return "", ErrState // unreadable: not what an authorization server sends
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
		return "", authorizationError(query)
	}
	code := query.Get("code")
	if code == "" {
		return "", fmt.Errorf("%w: it holds neither code nor error", ErrMalformed)
	}
	return code, nil
}

// foreign says why an answer does not belong to this attempt. Some servers leave out the state of an error; its words are shown then, unless iss
// says that they are another server's (MCP authorization, Authorization Response Validation).
func foreign(rawQuery string, e Expect) string {
	query, _ := url.ParseQuery(rawQuery)
	switch {
	case query.Has("state"):
		return "its state is not that of this login; it may belong to an earlier login"
	case query.Has("error") && checkIssuer(query, e) == nil:
		return "it has no state. It says: " + strings.TrimPrefix(authorizationError(query).Error(), "the authorization server answers ")
	}
	return "it has no state"
}

// checkIssuer applies RFC 9207 §2.4 with MCP's table: a present iss must be the recorded issuer byte for byte, announced or not; an absent
// one is refused where it was announced. Nothing else of a mismatching answer is used or shown.
func checkIssuer(query url.Values, e Expect) error {
	switch iss := query.Get("iss"); {
	case !query.Has("iss") && !e.IssRequired:
		return nil
	case !query.Has("iss"):
		return fmt.Errorf("%w: the metadata announces iss, but the response has none (RFC 9207 §2.4)", ErrIssuer)
	case iss != e.Issuer:
		return fmt.Errorf("%w: iss is %q, expected %q (RFC 9207 §2.4)", ErrIssuer, httpx.Text(iss, 200), e.Issuer)
	}
	return nil
}

func authorizationError(query url.Values) error {
	e := &AuthorizationError{Code: httpx.Text(query.Get("error"), 80), Description: httpx.Text(query.Get("error_description"), 300)}
	if u, err := httpx.Check(query.Get("error_uri"), false); err == nil {
		e.URI = u.String()
	}
	return e
}
