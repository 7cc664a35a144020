package toolargs

import (
	"cmp"
	"slices"
	"strings"
)

// maxTyped is the length, in characters, of the longest name that is compared. Nobody types longer names.
const maxTyped = 64

// Nearest returns up to three known names that are similar to a mistyped name, best first. A name is similar if few letters differ, or if
// it begins with the mistyped name.
func Nearest(name string, known []string) []string {
	type candidate struct {
		name     string
		distance int
	}
	var near []candidate
	for _, k := range known {
		if len(near) == 100 {
			break
		}
		d := distance(strings.ToLower(name), strings.ToLower(k))
		switch {
		case d <= max(1, min(len(name), len(k))/3):
			near = append(near, candidate{k, d})
		case len(name) >= 3 && len(k) <= maxTyped && strings.HasPrefix(strings.ToLower(k), strings.ToLower(name)):
			near = append(near, candidate{k, len(name) + d})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
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

// distance counts the letters to insert, delete, replace or swap with a neighbour to turn a into b (optimal string alignment).
func distance(a, b string) int {
	s, t := []rune(a), []rune(b)
	if len(s) > maxTyped || len(t) > maxTyped {
		return 1 << 20
	}
	before, last, row := []int(nil), make([]int, len(t)+1), make([]int, len(t)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(s); i++ {
		row[0] = i
		for j := 1; j <= len(t); j++ {
			step := 1
			if s[i-1] == t[j-1] {
				step = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+step)
			if i > 1 && j > 1 && s[i-1] == t[j-2] && s[i-2] == t[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, make([]int, len(t)+1)
	}
	return last[len(t)]
}
