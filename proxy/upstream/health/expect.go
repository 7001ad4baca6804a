package health

import (
	"fmt"
	"strconv"
	"strings"
)

// Statuses are ranges of HTTP statuses.
type Statuses []span

type span struct{ from, to int }

// maxSpans bounds the ranges of one list.
const maxSpans = 20

// ParseExpect reads a list such as "200,204", "2xx" or "200-399". All of them are from
// 200 to 399: others do not say that a server is well.
func ParseExpect(text string) (Statuses, error) {
	var all Statuses
	for part := range strings.SplitSeq(text, ",") {
		s, ok := parseSpan(strings.TrimSpace(part))
		if !ok || len(all) == maxSpans {
			return nil, fmt.Errorf(`found %q, expected statuses from 200 to 399, such as "200", "2xx", "200-399" or "200,204"`, text)
		}
		all = append(all, s)
	}
	return all, nil
}

func parseSpan(text string) (span, bool) {
	if text == "2xx" || text == "3xx" {
		from := int(text[0]-'0') * 100
		return span{from, from + 99}, true
	}
	first, last, ranged := strings.Cut(text, "-")
	if !ranged {
		last = first
	}
	from, err := strconv.Atoi(first)
	to, other := strconv.Atoi(last)
	return span{from, to}, err == nil && other == nil && from >= 200 && to <= 399 && from <= to
}

// Has reports whether a status is one of them.
func (s Statuses) Has(status int) bool {
	for _, r := range s {
		if r.from <= status && status <= r.to {
			return true
		}
	}
	return false
}
