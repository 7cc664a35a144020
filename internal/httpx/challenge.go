package httpx

import (
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

// Scope returns the scope that the request needs, or "" (RFC 6750 §3).
func (c Challenge) Scope() string { return c.Params["scope"] }

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

// parseChallengeList reads a list in which commas separate both challenges and parameters. A token that is followed by "=" is a parameter
// of the previous challenge. Any other token starts a new challenge.
func parseChallengeList(rest string) []Challenge {
	var all []Challenge
	for rest = strings.TrimLeft(rest, " \t,"); rest != ""; rest = strings.TrimLeft(rest, " \t,") {
		if m := parameterElement().FindStringSubmatch(rest); m != nil {
			rest = rest[len(m[0]):]
			name, value := strings.ToLower(m[1]), escapedChar().ReplaceAllString(m[2], "$1")+m[3]
			if n := len(all); n > 0 && (name == "error_description" || !IsRedacted(value)) {
				if _, twice := all[n-1].Params[name]; !twice {
					all[n-1].Params[name] = value
				}
			}
		} else if m := schemeElement().FindStringSubmatch(rest); m != nil {
			rest = rest[len(m[0]):]
			all = append(all, Challenge{Scheme: strings.ToLower(m[1]), Params: map[string]string{}})
		} else {
			rest = rest[1:] // malformed
		}
	}
	return all
}
