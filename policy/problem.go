package policy

import (
	"fmt"
	"strconv"
	"strings"
)

// Problem is one thing that is wrong with a policy, for people.
type Problem struct {
	// File is where it stands; empty if that is not known.
	File string
	// Line and Column count from 1; 0 is unknown. Columns are in bytes.
	Line, Column int
	// Message says what was found, what was expected and what to do.
	Message string
}

// String is "file:line:column: message", as far as the place is known.
func (p Problem) String() string {
	switch {
	case p.File == "":
		return p.Message
	case p.Line == 0:
		return p.File + ": " + p.Message
	case p.Column == 0:
		return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Message)
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
}

// Problems is what stands in the way of a Set; empty is none. Test its length,
// not against a nil error.
type Problems []Problem

// Error is one problem a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// problemAt takes a place of the form "file:line:column" apart.
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
