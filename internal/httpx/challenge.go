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

// ResourceMetadata returns the URL of the protected resource metadata (RFC 9728 §5.1), or "".
func (c Challenge) ResourceMetadata() string { return c.Params["resource_metadata"] }

// Scope returns the scope that the request needs (RFC 6750 §3), or "".
func (c Challenge) Scope() string { return c.Params["scope"] }

// Error returns the error code (RFC 6750 §3.1), or "".
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

// ParseChallenges returns all challenges of a response (RFC 9110 §11.6.1). It ignores malformed parts, because a challenge is only a hint,
// and every URL in it is checked before use.
func ParseChallenges(h http.Header) []Challenge {
	var all []Challenge
	for _, line := range h.Values("WWW-Authenticate") {
		p := challengeParser{rest: line}
		all = append(all, p.challenges()...)
	}
	return all
}

// challengeParser parses one header line from the left.
type challengeParser struct{ rest string }

// challenges reads a list in which commas separate both challenges and parameters. A token that is followed by "=" is a parameter of the
// previous challenge. Any other token starts a new challenge.
func (p *challengeParser) challenges() []Challenge {
	var all []Challenge
	for {
		p.skip(" \t,")
		if p.rest == "" {
			return all
		}
		word := p.token()
		if word == "" {
			p.rest = p.rest[1:] // malformed
			continue
		}
		if value, ok := p.value(); ok {
			if n := len(all); n > 0 {
				name := strings.ToLower(word)
				if _, twice := all[n-1].Params[name]; !twice {
					all[n-1].Params[name] = value
				}
			}
			continue
		}
		all = append(all, Challenge{Scheme: strings.ToLower(word), Params: map[string]string{}})
		p.token68()
	}
}

func (p *challengeParser) skip(chars string) { p.rest = strings.TrimLeft(p.rest, chars) }

// token reads an RFC 9110 §5.6.2 token.
func (p *challengeParser) token() string {
	end := strings.IndexFunc(p.rest, func(r rune) bool { return !tokenChar(r) })
	if end < 0 {
		end = len(p.rest)
	}
	word := p.rest[:end]
	p.rest = p.rest[end:]
	return word
}

func tokenChar(r rune) bool {
	return '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || r < 0x80 && strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}

// value reads "=" and a token or quoted string, if present.
func (p *challengeParser) value() (string, bool) {
	after := strings.TrimLeft(p.rest, " \t")
	if !strings.HasPrefix(after, "=") {
		return "", false
	}
	p.rest = strings.TrimLeft(after[1:], " \t")
	if strings.HasPrefix(p.rest, `"`) {
		return p.quoted(), true
	}
	// Servers send unquoted values with characters that a token may not contain, such as URLs.
	end := strings.IndexAny(p.rest, ", \t")
	if end < 0 {
		end = len(p.rest)
	}
	v := p.rest[:end]
	p.rest = p.rest[end:]
	return v, true
}

// quoted reads a quoted string (§5.6.4). An unterminated string ends at the end of the line.
func (p *challengeParser) quoted() string {
	var b strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			p.rest = p.rest[i+1:]
			return b.String()
		case c == '\\' && i+1 < len(p.rest):
			i++
			b.WriteByte(p.rest[i])
		default:
			b.WriteByte(c)
		}
	}
	p.rest = ""
	return b.String()
}

// token68 skips a token68 value after a scheme, as in `Negotiate YII=` (§11.2).
func (p *challengeParser) token68() {
	after := strings.TrimLeft(p.rest, " \t")
	end := strings.IndexAny(after, ", \t")
	if end < 0 {
		end = len(after)
	}
	word := after[:end]
	if bare := strings.TrimRight(word, "="); bare != "" && (bare != word || end == len(after) || after[end] == ',') && !strings.ContainsAny(bare, `="`) {
		p.rest = after[end:]
	}
}
