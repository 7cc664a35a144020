package httpx

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Mask replaces a secret that is shorter than window, in each of its forms, but does not replace a mere part of such a secret.
func TestMaskShort(t *testing.T) {
	const secret = `é&+"</s`
	for name, encode := range map[string]func(string) string{
		"raw": func(s string) string { return s }, "query": url.QueryEscape, "path": url.PathEscape, "html": html.EscapeString,
		"small escapes": func(s string) string { return strings.ReplaceAll(strings.ToLower(url.QueryEscape(s)), "%C3", "%c3") },
		"capitals":      func(s string) string { return strings.ToUpper(url.PathEscape(s)) },
		"hexadecimal":   func(s string) string { return fmt.Sprintf("%X", s) },
		"JSON":          func(s string) string { return strings.Trim(quoted(s), `"`) },
		"JSON in JSON":  func(s string) string { return strings.ReplaceAll(strings.Trim(quoted(s), `"`), `\`, `\\`) },
		"JSON of PHP, nested three times": func(s string) string {
			for range 3 {
				s = strings.ReplaceAll(strings.Trim(quoted(s), `"`), "/", `\/`)
			}
			return s
		},
		"JSON of .NET": func(s string) string {
			return strings.NewReplacer("+", `\u002B`, "é", `\u00E9`, "&", `\u0026`, `"`, `\u0022`, "<", `\u003C`).Replace(s)
		},
		"Go":     func(s string) string { return strings.Trim(strconv.Quote(s), `"`) },
		"base64": func(s string) string { return base64.RawStdEncoding.EncodeToString([]byte(s)) },
		"base64url, shifted": func(s string) string {
			return base64.RawURLEncoding.EncodeToString([]byte("1234567" + s + "12"))[10:20]
		},
	} {
		if got := maskAll("is "+encode(secret)+" known", secret); !strings.HasPrefix(got, "is [redacted]") || strings.Contains(got, encode(secret)) {
			t.Errorf("%s: %q became %q", name, encode(secret), got)
		}
	}
}

// maskAll replaces secrets and their parts.
func maskAll(text string, secrets ...string) string { return partFinder(secrets...).clean(text) }

func quoted(s string) string {
	data, _ := json.Marshal(s)
	return string(data)
}

// Text removes invisible characters, so a secret that contains them would be readable in a message.
func TestMaskOfInvisibleCharacters(t *testing.T) {
	const secret = "canary-Vb5uJ9pLd3Wy"
	for name, form := range map[string]string{
		"zero width space": strings.Join(strings.Split(secret, ""), "\u200b"), "soft hyphen": "can\u00adary-Vb5uJ9\u00adpLd3Wy", "control characters": "canary\x1b-Vb5uJ9\x7fpLd3Wy",
		"variation selector": "canary-Vb5\ufe0fuJ9pLd3Wy", "percent-encoding": "canary\u200b%\u200b2dVb5uJ9pLd3Wy",
	} {
		got := maskAll("is\n"+form+" known", secret)
		if Text(got, 200) != "is [redacted] known" {
			t.Errorf("%s: %q became %q", name, form, got)
		}
	}
	const harmless = "a\u200b b\x1b\nc"
	if got := maskAll(harmless, secret); got != harmless {
		t.Errorf("a text without a secret became %q", got)
	}
}

// A text contains a secret in an escape, and other escapes. The others stay, because the text may be quoted for a shell, and because Text may have
// made it safe.
func TestMaskKeepsOtherEscapes(t *testing.T) {
	const secret = "canary-Vb5uJ9pLd3Wy"
	for _, tt := range []struct{ name, in, want string }{
		{"percent-encoding", "'x:%27;%63anary-Vb5uJ9pLd3Wy;%27'", "'x:%27;[redacted];%27'"},
		{"blanks", "&#99;anary-Vb5uJ9pLd3Wy&#32;&#32;mcpauth: hint: …%20%20", "[redacted]&#32;&#32;mcpauth: hint: …%20%20"},
		{"quoted pairs", `'a\'b' \c\a\n\a\r\y\-Vb5uJ9pLd3Wy \'`, `'a\'b' [redacted] \'`},
		{"JSON", `"\u0063anary-Vb5uJ9pLd3Wy \u202e"`, `"[redacted] \u202e"`},
		{"Go", `\x63anary\t-Vb5uJ9pLd3Wy \x01canary-Vb\x015uJ9\x00pLd3W\U00000079 \x63`, `\x63anary\t-Vb5uJ9pLd3Wy \x01[redacted] \x63`},
		{"a pair of characters", "\u200b&eacute;canary%2dVb5uJ9pLd3Wy&eacute;", "\u200b&eacute;[redacted]&eacute;"},
		{"two escapes of one place", "&#37;63anary%2dVb5uJ9pLd3Wy canary&#45;Vb5uJ9pLd3Wy", "&#37;63anary%2dVb5uJ9pLd3Wy [redacted]"},
		{"the same in invisible characters", strings.ReplaceAll(secret, "u", "u&#x200b;") + " %63" + secret[1:] + " &shy;", "[redacted] [redacted] &shy;"},
		{"invisible characters in escapes", "%63ana%E2%80%8Bry-Vb5u%01J9pLd3Wy canary&#1;-Vb5uJ9&#8203;pLd3Wy can\\u0001ary-Vb5\\u200buJ9pLd3Wy", "[redacted] [redacted] [redacted]"},
		{"a secret beside its beginning in escapes", "%63anary-Vb5uJ9" + secret, "%63anary-Vb5uJ9[redacted]"},
	} {
		if got := (&finder{whole: newFormIndex(lowerForms(secret))}).clean(tt.in); got != tt.want {
			t.Errorf("%s: %q became %q, want %q", tt.name, tt.in, got, tt.want)
		}
	}
	long := strings.Repeat("a ", maxPlaces/2) + "%63" + secret[1:]
	if got := maskAll(long, secret); got != redacted {
		t.Errorf("a long text became %.100q …", got)
	}
}

// Text folds blanks, so a secret with blanks that a server repeats with more blanks would be readable in a message.
func TestMaskOfBlanks(t *testing.T) {
	const secret = "my two Pa55wd9"
	for _, form := range []string{"my  two \t Pa55wd9", "my \u0301two Pa55wd9", "my\u3000two\u00a0\u200bPa55wd9", "my%20%20two&#32;&nbsp;Pa55wd9", "my\ntwo\n\nPa55wd9"} {
		if got := maskAll("is  "+form+"  known", secret); got != "is  [redacted]  known" {
			t.Errorf("%q became %q", form, got)
		}
	}
}

// A value of the user, or of a project's file, begins or ends with the quotation mark of a name beside it. The mark stays.
func TestMaskKeepsMarks(t *testing.T) {
	for _, row := range []struct{ secret, line, want string }{
		{"'aaaaaaaaaaaaaaaa", "'aaaaaaaaaaaaaaaa;touch x;#'", "'[redacted];touch x;#'"},
		{"aaaaaaaaaaaaaaaa;touch x;#'", "'aaaaaaaaaaaaaaaa;touch x;#'", "'[redacted]'"},
		{`x'\''y "0123456789`, `'x'\''y "0123456789'`, `'[redacted]'\''[redacted]"[redacted]'`},
		{`\aaaaaaaaaaaaaaaa'`, `'\aaaaaaaaaaaaaaaa'\'';touch x;#'`, `'\[redacted]'\'';touch x;#'`}, // fish reads \' as an escape
		{`aaaaaaaaaaaaaaaa'\`, `'aaaaaaaaaaaaaaaa'\'';touch x;#'`, `'[redacted]'\'';touch x;#'`},
	} {
		var s Secrets
		s.AddHeader("X-Api-Key", row.secret)
		if got := s.MaskValues(row.line); got != row.want {
			t.Errorf("%s: %s became %s, want %s", row.secret, row.line, got, row.want)
		}
	}
}

// A value ends with the backslash that protects an apostrophe in a name, or begins with the apostrophe. Both stay together.
func TestMaskKeepsEscapedMarks(t *testing.T) {
	const line = `''aaaaaaaaaaaaaaaa'\''bbbbbbbbbbbbbbbb;touch x;#'`
	for secret, want := range map[string]string{
		`aaaaaaaaaaaaaaaa'\`: `''[redacted]'\''bbbbbbbbbbbbbbbb;touch x;#'`,
		"'bbbbbbbbbbbbbbbb":  `''aaaaaaaaaaaaaaaa'\''[redacted];touch x;#'`,
	} {
		var s Secrets
		s.AddHeader("X-Api-Key", secret)
		if got := s.MaskValues(line); got != want {
			t.Errorf("%s: %s became %s, want %s", secret, line, got, want)
		}
	}
}

// Masking replaces places of a text, and changes nothing else.
func FuzzMask(f *testing.F) {
	const secret = "canary-Vb5uJ9pLd3Wy"
	f.Add("'x:%27;%63anary-Vb5uJ9pLd3Wy;%27'")
	f.Add("&#99;anary\u200b-Vb5uJ9pLd3Wy \\u0063anary-Vb5uJ9pLd3Wy \\\\u0063anary-Vb5uJ9pLd3Wy")
	f.Add(`a\ud83d\u12`)
	f.Add(`\ud83d\ude00\ud83d\u00zzzz\ud83d\ud83d\ude00\U0001f60`)
	f.Add("%c3%a9&ampcanary-Vb5uJ9pLd3Wy…&notin;\\c\\anary-Vb5uJ9pLd3Wy")
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ReplaceAll(strings.ToValidUTF8(text, "?"), "�", "?") // a span may end within a character
		rest := text
		for part := range strings.SplitSeq(maskAll(text, secret), redacted) {
			_, after, found := strings.Cut(rest, strings.Trim(part, "�"))
			if !found {
				t.Fatalf("%q became %q", text, maskAll(text, secret))
			}
			rest = after
		}
		for d := range decodings(text) {
			if len(d.places) != len(d.text)+1 || !slices.IsSorted(d.places) || d.places[len(d.text)] != len(text) {
				t.Fatalf("%q: places of %q: %v", text, d.text, d.places)
			}
		}
	})
}

func TestMask(t *testing.T) {
	const long = "abcdefghijklmnopqrstuvwxyz"
	for _, tt := range []struct{ name, in, want string }{
		{"nothing", "", ""},
		{"no secret", "some words", "some words"},
		{"several", long + " and " + long, "[redacted] and [redacted]"},
		{"a part as long as window", "x " + long[3:15] + " y", "x [redacted] y"},
		{"a shorter part stays", "x " + long[3:14] + " y", "x " + long[3:14] + " y"},
		{"overlapping", "ababab ababa", "[redacted] [redacted]a"},
		{"too short to tell", "the cat", "the cat"},
	} {
		if got := maskAll(tt.in, long, "abab", "the", ""); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// A server may send an error of hundreds of megabytes. The memory that Mask needs for the search does not grow with the length of the text.
func TestMaskOfHugeText(t *testing.T) {
	huge := strings.Repeat("0123456789abcdefghij", 50_000)
	if n := testing.AllocsPerRun(1, func() { maskAll(huge, "canary-token-canary-token") }); n > 200 {
		t.Errorf("%.0f allocations for a text of %d bytes", n, len(huge))
	}
}

// A secret may contain blanks and letters of any language. Other programs leave other characters unencoded than Go does.
func TestMaskOfWords(t *testing.T) {
	const secret = "Zürich-Pässwört (one two)!"
	for name, form := range map[string]string{
		"capitals":                    "ZÜRICH-PÄSSWÖRT (ONE TWO)!",
		"encodeURIComponent":          "Z%C3%BCrich-P%C3%A4ssw%C3%B6rt%20(one%20two)!",
		"capitals in encodeURI":       "Z%C3%9CRICH-P%C3%84SSW%C3%96RT%20(ONE%20TWO)!",
		"a form of another program":   "Z%C3%BCrich-P%c3%a4sswört+(one+two)!",
		"only the blanks are encoded": "Zürich-Pässwört%20(one%20two)!",
	} {
		if got := maskAll("is "+form+" known", secret); got != "is [redacted] known" {
			t.Errorf("%s: %q", name, got)
		}
	}
	const controls = "%0a%C2%85%E2%80%AE%E2%80%A8%ff%EF%BF%BD%"
	if got := maskAll(controls+"one%20two%20three", "one two three"); got != controls+"[redacted]" {
		t.Errorf("control characters became %q", got)
	}
}
