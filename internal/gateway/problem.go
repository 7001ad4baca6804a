package gateway

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with the inputs, for people.
type Problem struct {
	// File is where it stands; empty if that is not known.
	File string `json:"file,omitempty"`
	// Line and Column count from 1; 0 is unknown.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Message says what was found, what was expected and what to do.
	Message string `json:"message"`
	// Warning: the rest is served all the same.
	Warning bool `json:"warning,omitempty"`
}

// String is "file:line:column: message", as far as the place is known.
func (p Problem) String() string {
	text := p.Message
	if p.Warning {
		text = "warning: " + text
	}
	switch {
	case p.File == "":
		return text
	case p.Line == 0:
		return p.File + ": " + text
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, max(1, p.Column), text)
}

// Problems is all that is wrong.
type Problems []Problem

// Error is one problem a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// Fatal returns the problems that are no warnings.
func (p Problems) Fatal() Problems {
	return slices.DeleteFunc(slices.Clone(p), func(p Problem) bool { return p.Warning })
}

// Warnings returns the others.
func (p Problems) Warnings() Problems {
	return slices.DeleteFunc(slices.Clone(p), func(p Problem) bool { return !p.Warning })
}

// sort orders problems by place and drops what is said twice.
func (p Problems) sort() Problems {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line, a.Column-b.Column)
	})
	return slices.Compact(p)
}
