package httpx

import (
	"fmt"
	"math/rand"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// The method find marks the same places as a search that compares every form at every place of the text.
func TestFindComparesEveryForm(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	letters := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteString([]string{"a", "b", "a", "b", "a", "%", "…", " "}[random.Intn(8)])
		}
		return b.String()
	}
	for range 20_000 {
		var forms []string
		for range 1 + random.Intn(6) {
			if form := letters(4 + random.Intn(20)); random.Intn(2) == 0 {
				forms = append(forms, form)
			} else {
				forms = append(forms, strings.Repeat(form[:1], 4)+form, strings.Repeat(form[:4], 4))
			}
		}
		begins := forms[:random.Intn(len(forms)+1)]
		f := &finder{whole: newFormIndex(forms), begins: newFormIndex(begins), cut: random.Intn(2) == 0}
		text := letters(random.Intn(10))
		for _, form := range forms {
			text += form[:random.Intn(len(form)+1)] + letters(random.Intn(3))
		}
		text = strings.ToValidUTF8(text, "")
		got := make([]bool, len(text))
		for _, s := range f.find(text) {
			mark(got[s.start:s.end])
		}
		if want := plainFind(f, text, forms, begins); !slices.Equal(got, want) {
			t.Fatalf("%q, beginnings of %q, cut %v, in %q:\ngot  %v\nwant %v", forms, begins, f.cut, text, got, want)
		}
	}
}

func mark(places []bool) {
	for i := range places {
		places[i] = true
	}
}

func plainFind(f *finder, text string, forms, begins []string) []bool {
	marked := make([]bool, len(text))
	for i := range text {
		common, complete := 0, false
		for _, form := range forms {
			n := commonLength(form, text[i:])
			common, complete = max(common, n), complete || n == len(form)
		}
		if complete {
			mark(marked[i : i+common])
		}
		for _, form := range begins {
			for n := partLength; n <= commonLength(form, text[i:]); n++ {
				if rest := text[i+n:]; (rest == "" || utf8.RuneStart(rest[0])) && f.isCut(rest) {
					mark(marked[i : i+n])
				}
			}
		}
	}
	return marked
}

// The time of a search does not depend on how a server chooses its text and its tokens.
func TestSearchIsBounded(t *testing.T) {
	const size = 128 << 10
	letters, words := strings.Repeat("a", MaxSecret-1), strings.Repeat("the server says ", 40)
	var many, nested, alike []string
	for i := range maxLearned {
		many = append(many, strings.Repeat(fmt.Sprintf("token %d<&\"'>é", i), 180))
		nested = append(nested, letters[:40+100*i])
		alike = append(alike, words+fmt.Sprint(i))
	}
	for name, secrets := range map[string][]string{"letters": {letters, letters + "b"}, "many secrets": many, "secrets that begin with another": nested, "secrets with the same beginning": alike} {
		var k Secrets
		k.Learn(secrets...)
		within(t, name, func() { k.Clean("") })
		for _, what := range []string{"a", "aaaaaaaaaaaaaaaaaaaaaaaaab", "aaaaaaaaaaaaa…", "…", "%", "&", `\`, "%61", "&#97;", `\u0061`, `\a`, words + "…", words, many[0], `"aaaa",`} {
			text := strings.Repeat(what, size/len(what))
			within(t, fmt.Sprintf("%s in repeated %.20q", name, what), func() {
				k.CleanRefusal([]byte(text))
				k.CleanJSON([]byte("[" + strings.TrimSuffix(text, ",") + "]"))
				k.MayStore(text)
			})
		}
	}
}

// within fails if a function takes more than five seconds three times. Without the race detector, a fraction of a second is enough.
func within(t *testing.T, what string, do func()) {
	t.Helper()
	const limit = 5 * time.Second
	for range 3 {
		start := time.Now()
		if do(); time.Since(start) < limit {
			return
		}
	}
	t.Errorf("%s: more than %v", what, limit)
}

// A header of many challenges takes no more time than one challenge of this length.
func TestManyDescriptions(t *testing.T) {
	var k Secrets
	for i := range maxLearned {
		k.Learn(fmt.Sprintf("canary-%d-%s", i, strings.Repeat("token", 200)))
	}
	for _, challenge := range []string{`Bearer error_description="canary-1-token", `, `Bearer error_description="canary\-1-token", `, `a="canary-1-token", `, `a=,`, `=`, `"`, `a `, `\`} {
		h := http.Header{"Www-Authenticate": {strings.Repeat(challenge, maxHeader/len(challenge))}}
		within(t, challenge, func() { h = k.CleanHeader(h) })
		if value := h.Get("Www-Authenticate"); strings.Contains(challenge, "description") && (strings.Contains(value, "canary") || !strings.Contains(value, redacted)) {
			t.Errorf("%s became %.100s", challenge, value)
		}
	}
}

// A server cannot fill the list of secrets with the parts of one token.
func TestTokenOfParameters(t *testing.T) {
	var b strings.Builder
	for i := 0; b.Len() < MaxSecret; i++ {
		fmt.Fprintf(&b, "key=%06d,", i)
	}
	var k Secrets
	req := httptest.NewRequest("POST", "/mcp", nil)
	req.Header.Set("Authorization", "Bearer "+b.String())
	k.learnRequest(req, false)
	if n := len(k.credentials); n > maxParameters+1 || k.Clean(b.String()) != redacted {
		t.Errorf("%d secrets; the token became %.100s", n, k.Clean(b.String()))
	}
}
