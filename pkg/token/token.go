// Package token is the client of an authorization server's token endpoint: every grant that mcpauth knows, the one client
// authentication that goes with it, proof of possession, and revocation.
//
//	e := token.Endpoint{
//		URL:      "https://auth.example/token",
//		Client:   token.ClientAuth{ID: "s6BhdRkqt3", Method: "none"},
//		Resource: "https://mcp.example/mcp",
//	}
//	tok, err := e.Code(ctx, code, verifier, redirectURI)
//	tok, err = e.Refresh(ctx, tok.RefreshToken, "")
//
// # Errors
//
// What the server refused is an *Error: RFC 6749 §5.2 with its status, whatever the status was. A 2xx answer that is no token answer wraps
// ErrMalformed. Everything else is a failure of the network or of the caller. Ambiguous says whether the grant may have been spent all
// the same. No error holds a secret that was sent, nor any body: a server's words are cut, stripped and masked.
//
// # The part of golang.org/x/oauth2
//
// x/oauth2 composes the requests: Config.Exchange the code's, Config.TokenSource the refresh, Config.DeviceAuth the device's,
// clientcredentials.Config all others. It gets an HTTP client whose transport (request.go) adds what it does not know: resource, DPoP,
// private_key_jwt, and exactly one client authentication. Its reading of the answer is not used: it accepts duplicate members and any
// bytes in a token, refuses a fractional expires_in, puts the old refresh token in place of a missing one, and its RetrieveError prints
// the body. Config.DeviceAccessToken is not used either: its clock cannot be set, and it ends at the first network error.
//
// # Not supported
//
// The implicit and password grants, client_secret_jwt, mutual TLS, form-encoded token answers, actor tokens.
package token

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"mcpauth/internal/httpx"
)

// Token is what a grant gave. Its String and GoString show no secret; its JSON holds them all, for the credential store.
type Token struct {
	AccessToken  string        `json:"access_token"`
	TokenType    string        `json:"token_type"`              // "Bearer" or "DPoP"; "N_A" from Exchange only (RFC 8693 §2.2.1)
	RefreshToken string        `json:"refresh_token,omitempty"` // "" when the answer had none: keep the old one
	IDToken      string        `json:"id_token,omitempty"`      // not verified
	Scope        string        `json:"scope,omitempty"`         // granted, separated by single blanks
	Expiry       time.Time     `json:"expiry,omitzero"`         // counted from the moment the request was sent; zero: unknown, usable until a 401
	Lifetime     time.Duration `json:"lifetime,omitempty"`      // expires_in, at most ten years; zero: unknown
	ScopeGiven   bool          `json:"scope_given,omitempty"`   // the answer named a scope, perhaps an empty one; else it is what was asked (RFC 6749 §5.1)
}

// String shows what may be shown.
func (t Token) String() string {
	expiry := "unknown"
	if !t.Expiry.IsZero() {
		expiry = t.Expiry.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("token.Token{%s, expiry %s, refreshable %t}", t.TokenType, expiry, t.RefreshToken != "")
}

// GoString is String: %#v shows no secret either.
func (t Token) GoString() string { return t.String() }

// Endpoint is a token endpoint and the client that asks there. It may be copied, and used by several goroutines.
type Endpoint struct {
	URL    string
	HTTP   *http.Client // nil: httpx.Default(). Whatever its policy is, no redirect is followed
	Client ClientAuth
	Now    func() time.Time // nil: time.Now

	Resource string  // RFC 8707, byte for byte as the resource metadata has it; empty: not sent
	DPoP     *Prover // RFC 9449; nil: no proof is sent, the tokens are bearer tokens

	RequireDPoP bool // a token that is not bound to the DPoP key is refused (ErrDowngrade)
	Local       bool // the MCP server is on loopback: the endpoints may be there as well, over http
	Strict      bool // no tolerance: every deviation that would be put up with is ErrMalformed

	Stray func(code string) // told each deviation that is put up with, see Strays; nil: nobody is told

	Sleep func(ctx context.Context, d time.Duration) error // how Device waits between polls; nil: by the real clock
}

// String names the endpoint and the client, without secrets.
func (e Endpoint) String() string { return fmt.Sprintf("token.Endpoint{%s, %s}", e.URL, e.Client) }

// GoString is String: %#v shows no secret either.
func (e Endpoint) GoString() string { return e.String() }

func (e Endpoint) now() time.Time {
	if e.Now != nil {
		return e.Now()
	}
	return time.Now()
}

// ErrMalformed is wrapped when a 2xx answer was not what its endpoint answers: HTML, cut or ambiguous JSON, no access token, a token with
// characters that no header may hold.
var ErrMalformed = errors.New("not an answer of this endpoint")

// ErrDowngrade is wrapped when RequireDPoP is set and the token is not bound to the key.
var ErrDowngrade = errors.New("the token is not bound to the DPoP key")

// Strays are the codes of the deviations that an Endpoint puts up with.
func Strays() []string {
	return []string{"token_status", "token_content_type", "token_nested", "token_type", "token_scope", "token_expires_in", "issued_token_type", "verification_url"}
}

// stray is a deviation that is put up with, unless the endpoint is strict.
func (e Endpoint) stray(a *answer, code, reason string) error {
	if e.Strict {
		return a.malformed(reason)
	}
	if e.Stray != nil {
		e.Stray(code)
	}
	return nil
}

// maxLifetime bounds what expires_in may say; beyond it, it would overflow somewhere.
const maxLifetime = 10 * 365 * 24 * time.Hour

// parse reads the answer of the token endpoint to a grant (RFC 6749 §5).
func (e Endpoint) parse(a *answer) (Token, error) {
	m, err := e.members(a)
	if err != nil {
		return Token{}, err
	}
	if inner := m.object("authed_user"); m["access_token"] == nil && inner["access_token"] != nil {
		// Slack puts a user's token one level deeper when the app has no bot.
		if err := e.stray(a, "token_nested", "the answer has no access_token but in authed_user (RFC 6749 §5.1)"); err != nil {
			return Token{}, err
		}
		m = inner
	}
	t := Token{AccessToken: m.text("access_token"), RefreshToken: m.text("refresh_token")}
	switch {
	case t.AccessToken == "":
		return Token{}, a.malformed("the answer has no access_token (RFC 6749 §5.1)")
	case !plain(t.AccessToken, '!'):
		// It will stand in a header: a line break in it would begin another one.
		return Token{}, a.malformed("the access token holds characters that no header may carry (RFC 6750 §2.1)")
	case !plain(t.RefreshToken, ' ') || m.present("refresh_token") && t.RefreshToken == "" && !m.emptyText("refresh_token"):
		return Token{}, a.malformed("the refresh token is not printable text (RFC 6749 §A.17)")
	}
	if id := m.text("id_token"); plain(id, '!') {
		t.IDToken = id
	}
	if err := e.checkIssued(a, m); err != nil {
		return Token{}, err
	}
	if t.TokenType, err = e.tokenType(a, m); err != nil {
		return Token{}, err
	}
	if t.Scope, t.ScopeGiven, err = e.scope(a, m); err != nil {
		return Token{}, err
	}
	if t.Lifetime, err = e.lifetime(a, m, "expires_in"); err != nil {
		return Token{}, err
	}
	if t.Lifetime > 0 {
		t.Expiry = a.sent.Add(t.Lifetime).UTC().Round(0)
	}
	return t, nil
}

// members returns what a successful answer says, or why it is none: a refusal, a redirect, or no JSON object.
func (e Endpoint) members(a *answer) (members, error) {
	m, err := readMembers(a.Body)
	switch {
	case a.StatusCode/100 != 2:
		return nil, a.refusal(e.now())
	case err != nil:
		return nil, a.notAnObject(err, e.now())
	case m.refused():
		return nil, a.refusal(e.now())
	}
	if a.StatusCode != http.StatusOK {
		if err := e.stray(a, "token_status", fmt.Sprintf("answered %d, expected 200 (RFC 6749 §5.1)", a.StatusCode)); err != nil {
			return nil, err
		}
	}
	if kind, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type")); kind != "application/json" {
		return m, e.stray(a, "token_content_type", fmt.Sprintf("answered with %s, expected application/json (RFC 6749 §5.1)", a.quoted(kind)))
	}
	return m, nil
}

// notAnObject tells a refusal in another form than JSON (GitHub answers 200 with a form) from an answer that makes no sense.
func (a *answer) notAnObject(err error, now time.Time) error {
	kind := a.Header.Get("Content-Type")
	r := httpx.ReadRefusal(&a.Response, a.hidden, now)
	if r.Code != "" {
		return a.refusal(now)
	}
	reason := fmt.Sprintf("answered %d with %s, expected a JSON object (RFC 6749 §5.1): %v", a.StatusCode, a.quoted(kind), err)
	if r.Text != "" && strings.HasPrefix(kind, "text/html") { // a page's title; anything else may be the token itself
		reason += fmt.Sprintf("; its title is %q", r.Text)
	}
	return a.malformed(reason)
}

// tokenType returns how the token is to be used. Slack says "user" and others nothing at all, and both mean Bearer.
func (e Endpoint) tokenType(a *answer, m members) (string, error) {
	said := m.text("token_type")
	is := func(name string) bool { return strings.EqualFold(said, name) }
	switch {
	case is("DPoP"):
		return "DPoP", nil
	case a.exchange && is("N_A"):
		return "N_A", nil
	case e.RequireDPoP:
		// RFC 9449 §5: another type than DPoP means that the token was not bound, and that whoever steals it may use it.
		return "", a.spent(ErrDowngrade, fmt.Sprintf("token_type is %s, expected \"DPoP\" (RFC 9449 §5)", a.quoted(said)))
	case is("PoP"), is("mac"), is("hmac"):
		// RFC 6749 §7.1: a client does not use a type that it does not understand, and of these it is known that they are no bearer tokens.
		return "", a.malformed(fmt.Sprintf("token_type is %s, expected \"Bearer\" (RFC 6749 §7.1)", a.quoted(said)))
	case !is("Bearer"):
		return "Bearer", e.stray(a, "token_type", fmt.Sprintf("token_type is %s, expected \"Bearer\" (RFC 6749 §7.1)", a.quoted(said)))
	}
	return "Bearer", nil
}

// scope returns the granted scopes. Slack separates them by commas, which may also be part of a scope: where there is a blank, it decides.
func (e Endpoint) scope(a *answer, m members) (scope string, given bool, err error) {
	if !m.present("scope") {
		return "", false, nil
	}
	var list []string
	strays := ""
	if json.Unmarshal(m["scope"], &scope) != nil {
		if json.Unmarshal(m["scope"], &list) != nil {
			return "", false, a.malformed("scope is not text (RFC 6749 §5.1)")
		}
		strays = "scope is not text but a list (RFC 6749 §5.1)"
	}
	scopes := append(strings.Fields(scope), list...)
	if byComma := atCommas(scopes); list == nil && byComma != nil {
		scopes, strays = byComma, "scopes are separated by commas, expected blanks (RFC 6749 §3.3)"
	}
	var kept []string
	for _, s := range scopes {
		switch {
		case s == "":
		case plain(s, '!') && !strings.ContainsAny(s, `"\`):
			kept = append(kept, s)
		default:
			strays = "scope holds characters that no scope may have (RFC 6749 §3.3)"
		}
	}
	if strays != "" {
		if err := e.stray(a, "token_scope", strays); err != nil {
			return "", false, err
		}
	}
	return strings.Join(kept, " "), true, nil
}

// atCommas cuts words that commas separate: all but the last end in one, or there is but one word. Of other words, nil.
func atCommas(words []string) []string {
	all := strings.Join(words, " ")
	switch {
	case !strings.Contains(all, ","):
		return nil
	case len(words) == 1:
		return strings.Split(all, ",")
	case strings.Contains(all, ", "):
		return strings.Fields(strings.ReplaceAll(all, ", ", " "))
	}
	return nil
}

// lifetime reads a number of seconds: a JSON number, or as Entra's first version has it, text. What is absent, no number, zero or negative
// says nothing about the token (Slack, Grafana): 0, unknown.
func (e Endpoint) lifetime(a *answer, m members, name string) (time.Duration, error) {
	if !m.present(name) {
		return 0, nil
	}
	word, strays := strings.TrimSpace(string(m[name])), ""
	if strings.HasPrefix(word, `"`) {
		word, strays = strings.TrimSpace(m.text(name)), name+" is text, expected a number (RFC 6749 §5.1)"
	}
	seconds, err := strconv.ParseFloat(word, 64)
	unknown := err != nil && !errors.Is(err, strconv.ErrRange) || math.IsNaN(seconds) // beyond the range it is infinite, with the right sign
	if unknown && strays == "" {
		strays = name + " is not a number (RFC 6749 §5.1)"
	}
	if strays != "" {
		if err := e.stray(a, "token_expires_in", strays); err != nil {
			return 0, err
		}
	}
	if unknown {
		return 0, nil
	}
	if seconds >= maxLifetime.Seconds() {
		return maxLifetime, nil
	}
	return max(0, time.Duration(seconds*float64(time.Second))), nil
}

// members are the members of a JSON object, by their exact names: encoding/json alone would take "Access_Token" for access_token.
type members map[string]json.RawMessage

// readMembers wants one object in which no name stands twice: two readers may take different values of a duplicate.
func readMembers(data []byte) (members, error) {
	data = []byte(strings.TrimPrefix(string(data), "\ufeff")) // RFC 8259 §8.1 allows to ignore it
	if err := httpx.UniqueFields(data); err != nil {
		return nil, err
	}
	var m members
	if json.Unmarshal(data, &m) != nil || m == nil {
		return nil, errors.New("it is no JSON object")
	}
	return m, nil
}

// present reports whether the member is there and not null.
func (m members) present(name string) bool { return m[name] != nil && string(m[name]) != "null" }

// text returns a member that is text, else "".
func (m members) text(name string) string {
	var s string
	if json.Unmarshal(m[name], &s) != nil {
		return ""
	}
	return s
}

// emptyText reports whether the member is "".
func (m members) emptyText(name string) bool { return string(m[name]) == `""` }

// object returns a member that is an object, else nil.
func (m members) object(name string) members {
	var o members
	json.Unmarshal(m[name], &o) // anything else leaves nil
	return o
}

// plain reports whether s is ASCII text without control characters, and without blanks when from is '!'.
func plain(s string, from rune) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < from || r > '~' })
}
