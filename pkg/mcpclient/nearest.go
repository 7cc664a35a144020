package mcpclient

import "strings"

// nearest returns the known name that a mistyped one may have meant, "" if none is close: few letters differ, or one begins with the
// other.
func nearest(name string, known []string) string {
	best, least := "", 1<<30
	for _, k := range known {
		d := distance(strings.ToLower(name), strings.ToLower(k))
		switch {
		case d <= max(1, min(len(name), len(k))/3):
		case len(name) >= 3 && strings.HasPrefix(strings.ToLower(k), strings.ToLower(name)):
			d += len(k)
		default:
			continue
		}
		if d < least {
			best, least = k, d
		}
	}
	return best
}

// distance counts the letters to insert, delete or replace to make b of a (Levenshtein), two swapped neighbours counting as one. Names
// too long to be typed are far from everything.
func distance(a, b string) int {
	s, t := []rune(a), []rune(b)
	if len(s) > 200 || len(t) > 200 {
		return 1 << 20
	}
	rows := make([][]int, len(s)+1)
	for i := range rows {
		rows[i] = make([]int, len(t)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(s); i++ {
		for j := 1; j <= len(t); j++ {
			step := 1
			if s[i-1] == t[j-1] {
				step = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+step)
			if i > 1 && j > 1 && s[i-1] == t[j-2] && s[i-2] == t[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(s)][len(t)]
}
