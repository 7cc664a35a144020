// This file finds what a mistyped word may have meant.

package main

import (
	"cmp"
	"slices"
	"strings"
)

// nearest returns the known words that a word may have meant, best first: few letters differ, or one begins with the other.
func nearest(word string, known []string) []string {
	type candidate struct {
		word     string
		distance int
	}
	var near []candidate
	for _, k := range known {
		d := distance(strings.ToLower(word), strings.ToLower(k))
		switch {
		case d <= max(1, min(len(word), len(k))/3):
			near = append(near, candidate{k, d})
		case len(word) >= 3 && strings.HasPrefix(strings.ToLower(k), strings.ToLower(word)):
			near = append(near, candidate{k, len(word) + d})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	var out []string
	for _, c := range near[:min(3, len(near))] {
		out = append(out, c.word)
	}
	return slices.Compact(out)
}

// distance counts the letters to insert, delete, replace or swap with their neighbour to make b of a (optimal string alignment).
func distance(a, b string) int {
	s, t := []rune(a), []rune(b)
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
