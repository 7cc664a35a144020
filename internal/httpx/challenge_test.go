package httpx

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
)

func TestParseChallenges(t *testing.T) {
	bearer := func(params ...string) Challenge {
		c := Challenge{Scheme: "bearer", Params: map[string]string{}}
		for i := 0; i < len(params); i += 2 {
			c.Params[params[i]] = params[i+1]
		}
		return c
	}
	scheme := func(name string, params ...string) Challenge {
		c := bearer(params...)
		c.Scheme = name
		return c
	}
	for _, tt := range []struct {
		name  string
		lines []string
		want  []Challenge
	}{
		{"none", nil, nil},
		{"scheme alone", []string{"Bearer"}, []Challenge{bearer()}},
		{"parameters", []string{`Bearer resource_metadata="https://x/m", scope="a b"`}, []Challenge{bearer("resource_metadata", "https://x/m", "scope", "a b")}},
		{"token values and blanks round =", []string{`bearer error = invalid_token , scope=a`}, []Challenge{bearer("error", "invalid_token", "scope", "a")}},
		{"names and schemes in any case", []string{`BEARER Scope="a"`}, []Challenge{bearer("scope", "a")}},
		{"several challenges in one header", []string{`Basic realm="x", Bearer scope="a", DPoP algs="ES256"`},
			[]Challenge{scheme("basic", "realm", "x"), bearer("scope", "a"), scheme("dpop", "algs", "ES256")}},
		{"several headers", []string{`Basic realm="x"`, `Bearer scope="a"`}, []Challenge{scheme("basic", "realm", "x"), bearer("scope", "a")}},
		{"commas and equals in quotes", []string{`Bearer error_description="a, b=c", scope="d"`}, []Challenge{bearer("error_description", "a, b=c", "scope", "d")}},
		{"escaped quotes", []string{`Bearer error_description="say \"hi\"", scope="a"`}, []Challenge{bearer("error_description", `say "hi"`, "scope", "a")}},
		{"a string that ends in an escaped backslash", []string{`Basic realm="C:\\", Bearer scope="a"`}, []Challenge{scheme("basic", "realm", `C:\`), bearer("scope", "a")}},
		{"token68", []string{`Negotiate YIIa==, Bearer scope="a"`}, []Challenge{scheme("negotiate"), bearer("scope", "a")}},
		{"token68 alone", []string{`NTLM TlRMTVNT`}, []Challenge{scheme("ntlm")}},
		{"first of twice", []string{`Bearer scope="a", scope="b"`}, []Challenge{bearer("scope", "a")}},
		{"unquoted address", []string{`Bearer resource_metadata=https://x/m?a=b, scope=c`}, []Challenge{bearer("resource_metadata", "https://x/m?a=b", "scope", "c")}},
		{"unclosed quote", []string{`Bearer scope="a`}, []Challenge{bearer("scope", "a")}},
		{"empty elements", []string{`,, Bearer ,scope="a",,`}, []Challenge{bearer("scope", "a")}},
		{"junk", []string{`("), Bearer scope="a"`}, []Challenge{bearer("scope", "a")}},
		{"parameter without a scheme", []string{`scope="a"`}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := ParseChallenges(http.Header{"Www-Authenticate": tt.lines}); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestBearer(t *testing.T) {
	basic, dpop, bearer := Challenge{Scheme: "basic"}, Challenge{Scheme: "dpop"}, Challenge{Scheme: "bearer"}
	for _, tt := range []struct {
		in   []Challenge
		want string
	}{{nil, ""}, {[]Challenge{basic}, ""}, {[]Challenge{basic, dpop}, "dpop"}, {[]Challenge{dpop, bearer}, "bearer"}} {
		if got, ok := Bearer(tt.in); got.Scheme != tt.want || ok != (tt.want != "") {
			t.Errorf("Bearer(%v) = %v, %v", tt.in, got, ok)
		}
	}
}

// Every parsed parameter is the same after it is quoted and parsed again. A list without changed parameters stays the same byte for byte.
func FuzzChallenges(f *testing.F) {
	for _, s := range []string{`Bearer scope="a b", error=x`, `Basic realm="C:\\", Bearer a="\""`, `Negotiate YII=, DPoP`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if same := rewriteParameters(line, func(_, value string) string { return value }); same != line {
			t.Errorf("%q was rewritten as %q", line, same)
		}
		first := ParseChallenges(http.Header{"Www-Authenticate": {line}})
		var b strings.Builder
		for i, c := range first {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(c.Scheme)
			sep := " "
			for name, value := range c.Params {
				b.WriteString(sep + name + `="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`)
				sep = ", "
			}
		}
		if again := ParseChallenges(http.Header{"Www-Authenticate": {b.String()}}); !reflect.DeepEqual(again, first) {
			t.Errorf("%q reads %v, written again %q reads %v", line, first, b.String(), again)
		}
	})
}

func TestIsToken(t *testing.T) {
	for text, want := range map[string]bool{"X-Api_Key.1": true, "!#$%&'*+-.^_`|~": true, "": false, "a b": false, "a:": false, "a\n": false, "a\x00": false, "na\u00efve": false, "a\xff": false, "(a)": false, `"a"`: false} {
		if got := IsToken(text); got != want {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

// Only words that are scopes are requested or shown, because the other words of a challenge could fill a line of the terminal with blanks.
func TestChallengeScope(t *testing.T) {
	for in, want := range map[string]string{
		"notes:read notes:write":     "notes:read notes:write",
		" a \t b  ":                  "a b",
		"a\u2800\u2800mcpauth: b":    "b",
		"a\u2003b c":                 "c",
		"a\x1b[2J b":                 "b",
		`a\b "c" d`:                  "d",
		"\u00fc":                     "",
		"a --header=X:@f -b c-d":     "a c-d",
		"a key-[redacted] b":         "a b",
		"https://example.com/auth.x": "https://example.com/auth.x",
	} {
		if got := (Challenge{Params: map[string]string{"scope": in}}).Scope(); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
