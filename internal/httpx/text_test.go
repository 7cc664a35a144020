package httpx

import (
	"encoding/json"
	"encoding/pem"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func pemOf(s *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

func TestText(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		max      int
		want     string
	}{
		{"plain", "invalid scope", 80, "invalid scope"},
		{"escape sequences", "\x1b[31mred\x1b[0m \x9b2J", 80, "[31mred[0m �2J"},
		{"lines fold", "a\r\n\tb  c\n", 80, "a b c"},
		{"bidi controls", "abc\u202edef\u2066", 80, "abcdef"},
		{"invalid UTF-8", "a\xffb", 80, "a�b"},
		{"cut", "abcdefgh", 5, "abcd…"},
		{"just fitting", "abcde", 5, "abcde"},
		{"cut at a blank", "abc defgh", 5, "abc…"},
		{"NUL", "a\x00b", 80, "ab"},
		{"blanks of Unicode", "a\u2003\u00a0\u3000\u2028b", 80, "a b"},
		{"letters and symbols that look like blanks", "\u3164a\u115f \u1160\uffa0\u2800\U0001d159\U00013441\U00013442b\u2800", 80, "a b"},
		{"invisible characters between blanks", "a \ufe0f \U00016fe4 \u034f \u0301 b", 80, "a b"},
		{"a mark after a letter", "e\u0301", 80, "e\u0301"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Text(tt.in, tt.max); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// A shell runs nothing of a quoted name.
func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"plain name":             `"plain name"`,
		"x\"$(id)`id`!":          `"x\"\u0024(id)\u0060id\u0060!"`,
		strings.Repeat("$", 300): `"` + strings.Repeat(`\u0024`, 199) + `…"`,
	} {
		if got := Quote(in, 200); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("a\x1b[0m\u202e", 5)
	f.Add("a \u3164\u0301 b", 5)
	f.Fuzz(func(t *testing.T, s string, max int) {
		if max < 1 || max > 1000 {
			return
		}
		got := Text(s, max)
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > max || strings.ContainsFunc(got, unicode.IsControl) ||
			strings.Contains(got, "  ") || strings.ContainsFunc(got, func(r rune) bool { return r != ' ' && IsBlank(r) }) {
			t.Errorf("Text(%q, %d) = %q", s, max, got)
		}
	})
}

// Each decoded value is the value of the member with exactly the field's name. DecodeMembers accepts only data that encoding/json also
// accepts, and that is one object without duplicate members.
func FuzzDecodeMembers(f *testing.F) {
	for _, s := range []string{`{"token":"a","Token":"b"}`, `{"token":"a"}{}`, `{"to\u212aen":"x"}`, `{"a":{"b":1,"b":2}}`, "null", `{"token":null}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v struct {
			Token *string `json:"token"`
		}
		if wrong, err := DecodeMembers(data, &v); err != nil || wrong != nil {
			return
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(data, &members); err != nil {
			t.Fatalf("%q was accepted: %v", data, err)
		}
		var want *string
		if err := json.Unmarshal(members["token"], &want); members["token"] != nil && err != nil {
			t.Fatalf("%q was accepted: %v", data, err)
		}
		if (v.Token == nil) != (want == nil) || want != nil && *v.Token != *want {
			t.Errorf("%q: read another member", data)
		}
	})
}
