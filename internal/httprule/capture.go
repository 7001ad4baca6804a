package httprule

import "strings"

// capture says where a variable's value stands in a path.
type capture struct {
	// constant is the value of a variable without wildcards; nothing else counts
	// then.
	constant string
	// first is how many segments come before the value.
	first int
	// last is how many segments come before the value's end; or after it, if
	// toEnd.
	last  int
	toEnd bool
	// keep are the characters that stay escaped.
	keep string
}

// captures works out where the values of a template's variables stand. As only
// literals follow "**", a value with wildcards begins at "**" or before it.
func captures(t *Template, keepReserved bool) []capture {
	all := make([]capture, len(t.Variables))
	for i, v := range t.Variables {
		c := capture{constant: v.Constant, keep: kept(v.Multi, keepReserved), first: v.First, last: v.Last + 1}
		if t.deep >= 0 && v.Last >= t.deep {
			c.last, c.toEnd = len(t.Segments)-v.Last-1, true
		}
		all[i] = c
	}
	return all
}

// capture appends the decoded values to values. They stand from left to right,
// so the path is walked once.
func (q *query[T]) capture(values []string, captures []capture) []string {
	segment, at := 0, q.start()
	for i := range captures {
		c := &captures[i]
		if c.constant != "" {
			values = append(values, c.constant)
			continue
		}
		begin := q.skip(at, c.first-segment)
		if c.toEnd {
			values = append(values, q.value(begin, q.cut(c.last), c.keep))
			continue
		}
		segment, at = c.last, q.skip(begin, c.last-c.first)
		values = append(values, q.value(begin, at-1, c.keep))
	}
	return values
}

// value decodes what is between two positions; nothing if they have crossed,
// as they do for a "**" of no segments.
func (q *query[T]) value(begin, end int, keep string) string {
	if begin >= end {
		return ""
	}
	if !q.escaped {
		return q.path[begin:end]
	}
	return decode(q.path[begin:end], keep)
}

// skip is the position n segments after at.
func (q *query[T]) skip(at, n int) int {
	for ; n > 0 && at <= len(q.path); n-- {
		i := strings.IndexByte(q.path[at:], '/')
		if i < 0 {
			return len(q.path) + 1
		}
		at += i + 1
	}
	return at
}

// cut is the end of the path without its last n segments.
func (q *query[T]) cut(n int) int {
	end := len(q.path)
	for ; n > 0 && end >= 0; n-- {
		end = strings.LastIndexByte(q.path[:end], '/')
	}
	return end
}
