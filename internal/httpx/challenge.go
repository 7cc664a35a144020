package httpx

import (
	"iter"
	"net/http"
	"strings"
)

// Challenge is one challenge of a WWW-Authenticate header (RFC 6750 §3, RFC 9728 §5.1). Scheme and parameter names are in lower case. If a
// parameter appears twice, the first one counts.
type Challenge struct {
	Scheme string
	Params map[string]string
}

// ResourceMetadata returns the URL of the protected resource metadata, or "" (RFC 9728 §5.1).
func (c Challenge) ResourceMetadata() string { return c.Params["resource_metadata"] }

// Scope returns the scopes that the request needs, separated by single spaces, or "" (RFC 6750 §3). Scope leaves out words that are not scopes.
func (c Challenge) Scope() string {
	scopes, _ := SplitScopes(c.Params["scope"])
	return strings.Join(scopes, " ")
}

// SplitScopes splits a text at its blanks, and returns the words that are scopes and the other words.
func SplitScopes(text string) (scopes, others []string) {
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\r\n", r) }) {
		if IsScope(word) {
			scopes = append(scopes, word)
		} else {
			others = append(others, word)
		}
	}
	return scopes, others
}

// IsScope reports whether a word contains only characters that are allowed in a scope (RFC 6749 §3.3). All of them are visible. A word that
// begins with - is no scope for mcpauth, although the RFC allows it: a script that passes on the scopes of a login would pass on a flag. A word
// from which a secret was removed is no scope either.
func IsScope(word string) bool {
	isForbidden := func(r rune) bool { return r < '!' || r > '~' || r == '"' || r == '\\' }
	return word != "" && word[0] != '-' && !strings.ContainsFunc(word, isForbidden) && !IsRedacted(word)
}

// Error returns the error code, or "" (RFC 6750 §3.1).
func (c Challenge) Error() string { return c.Params["error"] }

// ErrorDescription returns the server's error text, which is not safe to print.
func (c Challenge) ErrorDescription() string { return c.Params["error_description"] }

// Bearer returns the challenge to use: the first Bearer challenge, or else the first DPoP challenge (RFC 9449 §7.1).
func Bearer(cs []Challenge) (Challenge, bool) {
	for _, scheme := range []string{"bearer", "dpop"} {
		for _, c := range cs {
			if c.Scheme == scheme {
				return c, true
			}
		}
	}
	return Challenge{}, false
}

// ParseChallenges returns all challenges of a response (RFC 9110 §11.6.1). Malformed parts are ignored, because a challenge is only a hint,
// and every URL in it is checked before use. A parameter from which a secret was removed is ignored too, except error_description.
func ParseChallenges(h http.Header) []Challenge {
	var all []Challenge
	for _, line := range h.Values("WWW-Authenticate") {
		all = append(all, parseChallengeList(line)...)
	}
	return all
}

// These expressions match the elements of a challenge list (RFC 9110 §11.2, §5.6.4). The value of a parameter is a quoted string or has no
// quotes. A value without quotes may contain characters that the RFC does not allow in a token, because some servers send URLs without
// quotes. An unterminated string ends at the end of the line. A scheme may be followed by a token68 value, as in `Negotiate YII=`.
var (
	parameterElement = compiled("(?s)^(" + tokenChars + "+)[ \t]*=[ \t]*(?:\"((?:[^\"\\\\]|\\\\.)*\\\\?)(?:\"|$)|([^, \t]*))")
	schemeElement    = compiled("^(" + tokenChars + "+)(?:[ \t]+[^, \t=\"]+(?:=+(?:[, \t]|$)|,|$))?")
	escapedChar      = compiled(`(?s)\\(.)`)
)

// tokenChars matches a character of a token (RFC 9110 §5.6.2).
const tokenChars = "[!#$%&'*+.^_`|~0-9A-Za-z-]"

var wholeToken = compiled("^" + tokenChars + "+$")

// IsToken reports whether a text is a token, such as the name of a header (RFC 9110 §5.1).
func IsToken(s string) bool { return wholeToken().MatchString(s) }

// An element is a part of a challenge list: a parameter, the start of a challenge, or a malformed character.
type element struct {
	before, text string // the separators before the element, and the element itself, as in the list
	scheme       string // in lower case; empty: no challenge starts here
	name, value  string // of a parameter; the name is in lower case and is empty if the element is no parameter
}

// The function elements returns the elements of a list in which commas separate both challenges and parameters.
func elements(list string) iter.Seq[element] {
	return func(yield func(element) bool) {
		for list != "" {
			rest := strings.TrimLeft(list, " \t,")
			e := element{before: list[:len(list)-len(rest)]}
			if m := parameterElement().FindStringSubmatch(rest); m != nil {
				e.text, e.name, e.value = m[0], strings.ToLower(m[1]), escapedChar().ReplaceAllString(m[2], "$1")+m[3]
			} else if m := schemeElement().FindStringSubmatch(rest); m != nil {
				e.text, e.scheme = m[0], strings.ToLower(m[1])
			} else {
				e.text = rest[:min(1, len(rest))] // malformed
			}
			list = rest[len(e.text):]
			if !yield(e) {
				return
			}
		}
	}
}

// parseChallengeList reads a list of challenges. A token that is followed by "=" is a parameter of the previous challenge. Any other token
// starts a new challenge.
func parseChallengeList(list string) []Challenge {
	var all []Challenge
	for e := range elements(list) {
		n := len(all)
		switch {
		case e.scheme != "":
			all = append(all, Challenge{Scheme: e.scheme, Params: map[string]string{}})
		case e.name != "" && n > 0 && (e.name == "error_description" || !IsRedacted(e.value)):
			if _, twice := all[n-1].Params[e.name]; !twice {
				all[n-1].Params[e.name] = e.value
			}
		}
	}
	return all
}

// rewriteParameters replaces the value of each parameter in a challenge list by the result of change.
func rewriteParameters(list string, change func(name, value string) string) string {
	var b strings.Builder
	for e := range elements(list) {
		b.WriteString(e.before)
		if value := change(e.name, e.value); value != e.value {
			b.WriteString(e.name + `="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`)
		} else {
			b.WriteString(e.text)
		}
	}
	return b.String()
}
