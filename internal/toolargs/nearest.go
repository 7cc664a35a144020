package toolargs

import (
	"cmp"
	"slices"
	"strings"

	"github.com/xrash/smetrics"
)

// maxTyped is the length, in bytes, of the longest name that is compared. Nobody types longer names.
const maxTyped = 64

// Nearest returns up to three known names that are similar to a mistyped name, best first. The Jaro-Winkler distance gives more weight to
// the beginning of the names.
func Nearest(name string, known []string) []string {
	type candidate struct {
		name       string
		similarity float64 // from 0 to 1
	}
	var near []candidate
	for _, k := range known {
		if len(near) == 100 {
			break
		}
		if max(len(name), len(k)) > maxTyped {
			continue
		}
		if s := smetrics.JaroWinkler(strings.ToLower(name), strings.ToLower(k), 0.7, 4); s >= 0.85 {
			near = append(near, candidate{k, s})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return cmp.Compare(b.similarity, a.similarity) })
	var out []string
	for _, c := range near {
		if !slices.Contains(out, c.name) && len(out) < 3 {
			out = append(out, c.name)
		}
	}
	return out
}

// NearestOne returns the known name that is most similar to a mistyped name, or "" if no known name is similar.
func NearestOne(name string, known []string) string {
	for _, near := range Nearest(name, known) {
		return near
	}
	return ""
}
