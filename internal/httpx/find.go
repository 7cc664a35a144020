// The search for secrets in a text. Servers choose texts and tokens, so the time of a search grows only with the length of the text, whatever
// the number and the length of the secrets are.

package httpx

import (
	"hash/maphash"
	"slices"
	"strings"
)

// maxSteps limits how many bytes of secrets a search compares, for each byte of the text. Only a text that repeats the beginning of a secret
// over and over, such as a text of one letter, exceeds the limit. The text then counts as one secret.
const maxSteps = 100

// A finder searches texts for secrets.
type finder struct {
	whole formIndex // forms of secrets
	parts *partSet  // parts of secrets; nil: only complete secrets count

	// begins contains the forms in whole of which a beginning of at least partLength bytes counts before "…", where a text was cut. If cut is
	// true, the beginning counts at the end of the text too.
	begins formIndex
	cut    bool

	// If marks is true, the quotation marks in a secret stay. The secret may be in a text of the program, beside a name in quotes, and a project's file
	// can contain a value that begins with the mark of the name.
	marks bool
}

// A span is the place of a secret in a text.
type span struct{ start, end int }

// partFinder returns a finder of secrets and their parts.
func partFinder(secrets ...string) *finder {
	var forms []string
	for _, secret := range secrets {
		forms = append(forms, lowerForms(secret)...)
	}
	return &finder{whole: newFormIndex(forms), parts: newPartSet(forms)}
}

// A partSet contains the parts of forms of partLength bytes, as sorted hashes. A map of the parts would need many times the time and memory.
type partSet struct {
	seed   maphash.Seed
	hashes []uint64
}

func newPartSet(forms []string) *partSet {
	size := 0
	for _, form := range forms {
		size += len(form)
	}
	p := &partSet{maphash.MakeSeed(), make([]uint64, 0, size)}
	for _, form := range forms {
		for i := 0; i+partLength <= len(form); i++ {
			p.hashes = append(p.hashes, maphash.String(p.seed, form[i:i+partLength]))
		}
	}
	slices.Sort(p.hashes)
	return p
}

func (p *partSet) has(part string) bool {
	_, found := slices.BinarySearch(p.hashes, maphash.String(p.seed, part))
	return found
}

// A formIndex contains forms of secrets by their first minSecret bytes. The forms with the same first bytes are sorted.
type formIndex map[string][]form

// A form is a form of a secret. shortest is the length of the shortest form in the index with which the text begins.
type form struct {
	text     string
	shortest int
}

func newFormIndex(forms []string) formIndex {
	index := formIndex{}
	for _, text := range slices.Sorted(slices.Values(forms)) {
		first := text[:minSecret]
		group, f := index[first], form{text, len(text)}
		if n := len(group); n > 0 && strings.HasPrefix(text, group[n-1].text[:group[n-1].shortest]) { // forms with the same beginning are neighbours
			f.shortest = group[n-1].shortest
		}
		index[first] = append(group, f)
	}
	return index
}

// The method match returns the length of the longest beginning that a text and a form have in common, and reports whether the text begins
// with a complete form.
func (x formIndex) match(text string) (common int, complete bool) {
	group := x[text[:minSecret]]
	if group == nil {
		return 0, false
	}
	after, _ := slices.BinarySearchFunc(group, text, func(f form, text string) int { return strings.Compare(f.text, text) })
	for _, f := range group[max(after-1, 0):min(after+1, len(group))] { // of all sorted forms, these two have the most in common with the text
		n := commonLength(f.text, text)
		common, complete = max(common, n), complete || n >= f.shortest
	}
	return common, complete
}

// commonLength returns the length of the longest beginning that two texts have in common.
func commonLength(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// The method find returns the places of complete secrets, and of beginnings of secrets that are cut off, in a text in lower case. After a
// complete secret, what the text has in common with a longer one belongs to the place.
func (f *finder) find(text string) (spans []span) {
	cuts := f.cuts(text)
	steps := maxSteps * len(text)
	for i := 0; i+minSecret <= len(text); i++ {
		length, found := f.whole.match(text[i:])
		steps -= length
		if !found && len(cuts) > 0 {
			begun, _ := f.begins.match(text[i:])
			steps -= begun
			length = lastUpTo(cuts, i+begun) - i
			found = length >= partLength
		}
		if steps < 0 {
			return []span{{0, len(text)}}
		}
		if found {
			spans = addSpan(spans, span{i, i + length})
		}
	}
	return spans
}

// findParts returns the places of parts of secrets in a text in lower case.
func (f *finder) findParts(text string) (spans []span) {
	for i := 0; i+partLength <= len(text); i++ {
		if f.parts.has(text[i : i+partLength]) {
			spans = addSpan(spans, span{i, i + partLength})
		}
	}
	return spans
}

// addSpan adds a span that does not start before the others. Spans that overlap or touch become one.
func addSpan(spans []span, s span) []span {
	if n := len(spans); n > 0 && s.start <= spans[n-1].end {
		spans[n-1].end = max(spans[n-1].end, s.end)
		return spans
	}
	return append(spans, s)
}

// The method cuts returns the places before which a text was cut, in ascending order.
func (f *finder) cuts(text string) (places []int) {
	if len(f.begins) == 0 || !f.cut && !strings.Contains(text, "…") {
		return nil
	}
	for i, r := range text {
		if strings.ContainsRune("…%&\\\ufffd", r) && f.isCut(text[i:]) {
			places = append(places, i)
		}
	}
	if f.cut {
		places = append(places, len(text))
	}
	return places
}

// isCut reports whether a text was cut before rest, possibly within an escape.
func (f *finder) isCut(rest string) bool {
	const longestEscape = 100
	short := rest[:min(len(rest), longestEscape)]
	before, _, found := strings.Cut(short, "…")
	if !found && (!f.cut || len(short) < len(rest)) {
		return false
	}
	return before == "" || strings.IndexAny(before, "%&\\\ufffd") == 0 && !strings.ContainsAny(before, " ;")
}

// lastUpTo returns the last of the ascending places that is not after limit, or 0.
func lastUpTo(places []int, limit int) int {
	n, _ := slices.BinarySearch(places, limit+1)
	if n == 0 {
		return 0
	}
	return places[n-1]
}
