package policy

import (
	"strconv"
	"strings"

	"github.com/transom-gateway/transom/internal/problem"
)

// Problem is one thing that is wrong with a policy.
type Problem = problem.Problem

// Problems is what stands in the way of a Set; empty is none. Test its length,
// not against a nil error.
type Problems = problem.List

// Index is the path of an element of a list.
func Index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// problemAt parses a place of the form "file:line:column".
func problemAt(where, message string) Problem {
	p := Problem{File: where, Message: message}
	rest, last, ok := cutNumber(where)
	if !ok {
		return p
	}
	if file, line, ok := cutNumber(rest); ok {
		p.File, p.Line, p.Column = file, line, last
		return p
	}
	p.File, p.Line = rest, last
	return p
}

func cutNumber(s string) (rest string, n int, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return s, 0, false
	}
	n, err := strconv.Atoi(s[i+1:])
	return s[:i], n, err == nil && n > 0
}
