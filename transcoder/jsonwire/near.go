package jsonwire

import "strconv"

// quote quotes hostile text for a person.
func quote(s string) string { return strconv.Quote(clip(s)) }

// near returns the JSON name of a field that is spelled much like name, or "".
func (p *Plan) near(name string) string {
	if len(name) > 64 {
		return ""
	}
	best, least := "", 1+len(name)/3
	for _, f := range p.fields {
		for _, known := range []string{f.desc.JSONName(), f.desc.TextName()} {
			if d := distance(name, known, least); d < least || d == least && best == "" && d > 0 && d <= 2 {
				best, least = f.desc.JSONName(), d
			}
		}
	}
	return best
}

// distance is the number of edits between two short names, at most limit+1.
func distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if lower(a[i]) != lower(b[j]) {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
