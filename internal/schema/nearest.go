package schema

// nearest is the name that differs least from a text, or empty if none is near
// enough to be a slip of the finger.
func nearest(text string, names []string) string {
	return nearestOf([]string{text}, names)
}

// nearestOf is the name that differs least from any of the texts.
func nearestOf(texts, names []string) string {
	best, least := "", 0
	for _, text := range texts {
		limit := min(3, len(text)/4) + 1
		if best != "" {
			limit = min(limit, least)
		}
		for _, name := range names {
			if d := distance(text, name, limit); d > 0 && d < limit {
				best, least, limit = name, d, d
			}
		}
	}
	return best
}

// distance counts the letters to add, remove, replace or swap with the next to
// make one text of the other; anything from limit on is as good as limit.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		least := row[0]
		for j := range len(b) {
			replaced := above[j]
			if a[i] != b[j] {
				replaced++
			}
			row[j+1] = min(replaced, above[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
			least = min(least, row[j+1])
		}
		if least > limit {
			return limit
		}
		before, above, row = above, row, before
	}
	return min(above[len(b)], limit)
}
