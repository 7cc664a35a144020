package token

import (
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

// maxLifetime limits expires_in, because a large value would overflow a time.Duration.
const maxLifetime = 10 * 365 * 24 * time.Hour

// parseToken reads the response of the token endpoint to a grant (RFC 6749 §5).
func (e Endpoint) parseToken(a *formResponse) (Token, error) {
	m, err := e.readObject(a)
	if err != nil {
		return Token{}, err
	}
	if inner := m.objectMember("authed_user"); m["access_token"] == nil && inner["access_token"] != nil {
		// Slack puts the user's token into authed_user if the app has no bot.
		if err := e.reportDeviation(a, "token_nested", "the answer has an access_token only in authed_user (RFC 6749 §5.1)"); err != nil {
			return Token{}, err
		}
		m = inner
	}
	t := Token{AccessToken: Secret(m.stringMember("access_token")), RefreshToken: Secret(m.stringMember("refresh_token"))}
	switch {
	case t.AccessToken == "":
		return Token{}, a.malformedError("the answer has no access_token (RFC 6749 §5.1)")
	case !isPrintable(string(t.AccessToken), '!'):
		// The token becomes part of a header, where a line break would start another header.
		return Token{}, a.malformedError("the access token contains characters that are not allowed in a header (RFC 6750 §2.1)")
	case len(t.AccessToken) > httpx.MaxSecret || len(t.RefreshToken) > httpx.MaxSecret:
		return Token{}, a.malformedError(fmt.Sprintf("a token is longer than %d kB", httpx.MaxSecret>>10))
	case !isPrintable(string(t.RefreshToken), ' ') || m.hasMember("refresh_token") && t.RefreshToken == "" && !m.isEmptyString("refresh_token"):
		return Token{}, a.malformedError("the refresh token is not printable text (RFC 6749 §A.17)")
	}
	if id := m.stringMember("id_token"); isPrintable(id, '!') {
		t.IDToken = Secret(id)
	}
	if err := e.checkIssued(a, m); err != nil {
		return Token{}, err
	}
	if t.TokenType, err = e.readTokenType(a, m); err != nil {
		return Token{}, err
	}
	if t.Scope, t.ScopeGiven, err = e.readScope(a, m); err != nil {
		return Token{}, err
	}
	if t.Lifetime, err = e.readSeconds(a, m, "expires_in"); err != nil {
		return Token{}, err
	}
	if t.Lifetime > 0 {
		t.Expiry = a.sent.Add(t.Lifetime).UTC().Round(0)
	}
	return t, nil
}

// expectedStatus maps each endpoint to the status of a successful response, and to the section that requires this status.
var expectedStatus = map[string]struct {
	status  int
	section string
}{
	atToken:  {http.StatusOK, "RFC 6749 §5.1"},
	atDevice: {http.StatusOK, "RFC 8628 §3.2"},
	atPAR:    {http.StatusCreated, "RFC 9126 §2.2"},
}

// readObject returns the JSON object in a successful response. For an error response, a redirect, or a response that is not a JSON object,
// readObject returns an error.
func (e Endpoint) readObject(a *formResponse) (jsonObject, error) {
	m, err := decodeObject(a.Body)
	want := expectedStatus[a.stage]
	switch {
	case a.StatusCode/100 != 2:
		return nil, a.refusalError(e.now())
	case err != nil:
		return nil, a.notAnObject(err, e.now())
	case m.isRefusal():
		return nil, a.refusalError(e.now())
	}
	if a.StatusCode != want.status {
		if err := e.reportDeviation(a, "token_status", fmt.Sprintf("answered %d, expected %d (%s)", a.StatusCode, want.status, want.section)); err != nil {
			return nil, err
		}
	}
	if kind, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type")); kind != "application/json" {
		return m, e.reportDeviation(a, "token_content_type", fmt.Sprintf("answered with %s, expected application/json (%s)", quotedMediaType(kind), want.section))
	}
	return m, nil
}

// quotedMediaType returns a usual media type in quotes. Another media type is not shown, because it could repeat a secret.
func quotedMediaType(kind string) string {
	switch kind {
	case "", "text/html", "text/plain", "text/json", "text/javascript", "text/xml", "application/xml", "application/json", "application/octet-stream", "application/x-www-form-urlencoded":
		return strconv.Quote(kind)
	}
	return "another media type"
}

// notAnObject returns the error for a response that is not a JSON object. GitHub sends a refusal as a form with status 200.
func (a *formResponse) notAnObject(err error, now time.Time) error {
	kind, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type"))
	r := httpx.ReadRefusal(&a.Response, now)
	if r.Code != "" {
		return a.refusalError(now)
	}
	reason := fmt.Sprintf("answered %d with %s, expected a JSON object (%s): %v", a.StatusCode, quotedMediaType(kind), expectedStatus[a.stage].section, err)
	if r.Text != "" && kind == "text/html" { // show only the title of an HTML page, because other text may contain the token
		reason += fmt.Sprintf("; its title is %q", r.Text)
	}
	return a.malformedError(reason)
}

// readTokenType returns the token type. If token_type is missing or "user", the token counts as a bearer token. Slack sends "user".
func (e Endpoint) readTokenType(a *formResponse, m jsonObject) (string, error) {
	got := m.stringMember("token_type")
	is := func(name string) bool { return strings.EqualFold(got, name) }
	switch {
	case is("DPoP") && e.DPoP != nil:
		return "DPoP", nil
	case a.exchange && is("N_A"):
		return "N_A", nil
	case e.DPoP != nil:
		// RFC 9449 §5: if token_type is not DPoP, the token is not bound to the key, and anyone who steals the token can use it.
		return "", a.spentError(ErrDowngrade, fmt.Sprintf("token_type is %s, expected \"DPoP\" (RFC 9449 §5)", quoted(got)))
	case is("DPoP"), is("PoP"), is("mac"), is("hmac"):
		// RFC 6749 §7.1: a client must not use a token whose type the client does not understand. These are not bearer tokens, and without a key,
		// mcpauth cannot use a token of the type DPoP.
		return "", a.malformedError(fmt.Sprintf("token_type is %s, expected \"Bearer\" (RFC 6749 §7.1)", quoted(got)))
	case !is("Bearer"):
		return "Bearer", e.reportDeviation(a, "token_type", fmt.Sprintf("token_type is %s, expected \"Bearer\" (RFC 6749 §7.1)", quoted(got)))
	}
	return "Bearer", nil
}

// maxScope is the maximum length of the granted scopes, in bytes. Longer scopes are not stored, because every command would read them.
const maxScope = 16 << 10

// readScope returns the granted scopes, separated by single spaces. Slack separates scopes by commas, but a comma can also be part of a
// scope. splitAtCommas decides between the two.
func (e Endpoint) readScope(a *formResponse, m jsonObject) (scope string, given bool, err error) {
	if !m.hasMember("scope") {
		return "", false, nil
	}
	var list []string
	reason := ""
	if json.Unmarshal(m["scope"], &scope) != nil {
		if json.Unmarshal(m["scope"], &list) != nil {
			return "", false, a.malformedError("scope is not a string (RFC 6749 §5.1)")
		}
		reason = "scope is a list, expected a string (RFC 6749 §5.1)"
	}
	scopes := append(strings.Fields(scope), list...)
	if byComma := splitAtCommas(scopes); list == nil && byComma != nil {
		scopes, reason = byComma, "scopes are separated by commas, expected spaces (RFC 6749 §3.3)"
	}
	var kept []string
	for _, s := range scopes {
		switch {
		case s == "":
		case httpx.IsScope(s):
			kept = append(kept, s)
		default:
			reason = "scope contains a word that begins with -, contains a secret, or has characters that are not allowed in a scope (RFC 6749 §3.3)"
		}
	}
	joined := strings.Join(kept, " ")
	if len(joined) > maxScope {
		reason = fmt.Sprintf("scope has %d bytes, and is ignored", len(joined))
	}
	if reason != "" {
		if err := e.reportDeviation(a, "token_scope", reason); err != nil {
			return "", false, err
		}
	}
	if len(joined) > maxScope {
		return "", false, nil
	}
	return joined, true, nil
}

// splitAtCommas splits a single word at every comma, and several words at each comma before a space. If nothing is split, splitAtCommas
// returns nil.
func splitAtCommas(words []string) []string {
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

// readSeconds reads a number of seconds from a JSON number or a JSON string. Entra v1 sends a string. If the value is absent, zero,
// negative or not a number, readSeconds returns 0, which means unknown. Slack and Grafana send such values.
func (e Endpoint) readSeconds(a *formResponse, m jsonObject, name string) (time.Duration, error) {
	if !m.hasMember(name) {
		return 0, nil
	}
	number, reason := strings.TrimSpace(string(m[name])), ""
	if strings.HasPrefix(number, `"`) {
		number, reason = strings.TrimSpace(m.stringMember(name)), name+" is a string, expected a number (RFC 6749 §5.1)"
	}
	seconds, err := strconv.ParseFloat(number, 64)
	unknown := err != nil && !errors.Is(err, strconv.ErrRange) || math.IsNaN(seconds) // for a number out of range, ParseFloat returns an infinity with the right sign
	if unknown && reason == "" {
		reason = name + " is not a number (RFC 6749 §5.1)"
	}
	if reason != "" {
		if err := e.reportDeviation(a, "token_expires_in", reason); err != nil {
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

// jsonObject maps the names in a JSON object to their values. Unlike decoding into a struct, decoding into a map does not accept the name
// "Access_Token" for access_token.
type jsonObject map[string]json.RawMessage

// decodeObject decodes a JSON object. Duplicate names are refused, because another JSON parser could use the other value.
func decodeObject(data []byte) (jsonObject, error) {
	data = []byte(strings.TrimPrefix(string(data), "\ufeff")) // RFC 8259 §8.1 allows parsers to ignore a byte order mark
	if err := httpx.UniqueFields(data); err != nil {
		return nil, err
	}
	var m jsonObject
	if json.Unmarshal(data, &m) != nil || m == nil {
		return nil, errors.New("it is not a JSON object")
	}
	return m, nil
}

// hasMember reports whether the object has the member and its value is not null.
func (m jsonObject) hasMember(name string) bool { return m[name] != nil && string(m[name]) != "null" }

// stringMember returns the value of a string member, or "" if there is none.
func (m jsonObject) stringMember(name string) string {
	var s string
	if json.Unmarshal(m[name], &s) != nil {
		return ""
	}
	return s
}

func (m jsonObject) isEmptyString(name string) bool { return string(m[name]) == `""` }

// objectMember returns the value of an object member, or nil if there is none.
func (m jsonObject) objectMember(name string) jsonObject {
	var o jsonObject
	json.Unmarshal(m[name], &o) // if the member is not an object, o stays nil
	return o
}

// isPrintable reports whether s contains only printable ASCII characters. The caller passes ' ' as lowest to allow spaces, or '!' to refuse
// spaces.
func isPrintable(s string, lowest rune) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < lowest || r > '~' })
}
