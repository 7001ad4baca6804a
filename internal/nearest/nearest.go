// Package nearest guesses which of the names that there are somebody meant who
// wrote another. It does not know what the names are of.
//
//	if near := nearest.Of(fields, "nam"); near != "" { … "did you mean %q?" … }
package nearest

const (
	// maxEdits is how many slips of the finger are one name still.
	maxEdits = 3
	// maxLength bounds the texts that anything is near to, in bytes: they may come
	// from anywhere.
	maxLength = 200
)

// Of returns the name that differs least from any of the texts, the first of
// equal ones; "" if none is near enough to be meant, and for a text that is one
// of the names. A letter too many, too few or another, or two that changed
// places, make one difference; case makes one only between names that are equal
// otherwise. There may be one in each three letters of a name, three in all.
func Of(names []string, texts ...string) string {
	var m meter
	best, least := "", maxEdits+1
	for _, text := range texts {
		if len(text) > maxLength {
			continue
		}
		for _, name := range names {
			limit := min(least, allowed(name)) + 1
			d := m.distance(text, name, limit, lower)
			if d >= limit || text == name || d == least && !m.closer(text, name, best) {
				continue
			}
			best, least = name, d
		}
	}
	return best
}

// allowed is how many differences a name may have and still be meant.
func allowed(name string) int {
	return min(maxEdits, max(1, len(name)/3), len(name)-1)
}

// meter measures; its memory is kept between measurements.
type meter struct{ before, above, row []int }

// closer reports whether case makes one name nearer to a text than another.
func (m *meter) closer(text, name, other string) bool {
	limit := len(text) + 1
	return m.distance(text, name, limit, same) < m.distance(text, other, limit, same)
}

// distance counts differences in bytes, as they are after fold; anything from
// limit on is as good as limit.
func (m *meter) distance(a, b string, limit int, fold func(byte) byte) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	if len(m.row) <= len(b) {
		memory := make([]int, 3*(len(b)+1))
		m.before, m.above, m.row = memory[:len(b)+1], memory[len(b)+1:2*len(b)+2], memory[2*len(b)+2:]
	}
	for j := range len(b) + 1 {
		m.above[j] = j
	}
	for i := range len(a) {
		m.row[0] = i + 1
		least := m.row[0]
		for j := range len(b) {
			replaced := m.above[j]
			if fold(a[i]) != fold(b[j]) {
				replaced++
			}
			m.row[j+1] = min(replaced, m.above[j+1]+1, m.row[j]+1)
			if i > 0 && j > 0 && fold(a[i]) == fold(b[j-1]) && fold(a[i-1]) == fold(b[j]) {
				m.row[j+1] = min(m.row[j+1], m.before[j-1]+1)
			}
			least = min(least, m.row[j+1])
		}
		if least > limit {
			return limit
		}
		m.before, m.above, m.row = m.above, m.row, m.before
	}
	return min(m.above[len(b)], limit)
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func same(c byte) byte { return c }
