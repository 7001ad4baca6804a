package config

import "strings"

// nearest is the name that was probably meant by text, or "": the one that
// takes the fewest insertions, deletions and replacements, if these are at most
// a third of its length. Case does not count.
func nearest(text string, names []string) string {
	best, least := "", 0
	if len(text) > 100 {
		return best
	}
	for _, name := range names {
		d := distance(strings.ToLower(text), strings.ToLower(name))
		if d <= max(1, len(name)/3) && (best == "" || d < least) {
			best, least = name, d
		}
	}
	return best
}

// distance is the Levenshtein distance in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
