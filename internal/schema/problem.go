package schema

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing wrong with a schema, at the place where a person can
// put it right.
type Problem struct {
	// File is the path as the user would type it; the name of a source when the
	// problem belongs to no one file, with the file behind a colon when the
	// source is not a folder.
	File string

	// Line and Column count from 1; 0 stands for unknown. Columns count
	// characters as an editor shows them.
	Line, Column int

	// Message says what was found, what was expected and what to do.
	Message string

	// Warning marks a problem that costs nothing of what the schema offers, or
	// only the part that Message names.
	Warning bool
}

// String returns "file:line:col: message", without the parts that are unknown.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
		if p.Column > 0 {
			fmt.Fprintf(&b, ":%d", p.Column)
		}
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	if p.Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// Problems is what one load found, sorted by file, line and column. It is an
// error, but use [Problems.Err] where an error is wanted: it leaves out a list
// of nothing but warnings.
type Problems []Problem

var _ error = Problems(nil)

// Error returns one problem a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Err returns the problems that are no warnings, or nil if there are none.
func (ps Problems) Err() error {
	var real Problems
	for _, p := range ps {
		if !p.Warning {
			real = append(real, p)
		}
	}
	if len(real) == 0 {
		return nil
	}
	return real
}

// maxProblems bounds how much one load has to say.
const maxProblems = 1000

// sorted puts the problems in order, drops those said twice and counts those that
// are too many to read.
func (ps Problems) sorted() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(
			strings.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
			strings.Compare(a.Message, b.Message),
		)
	})
	ps = slices.Compact(ps)
	if len(ps) <= maxProblems {
		return ps
	}
	rest := ps[maxProblems:]
	return append(ps[:maxProblems:maxProblems], Problem{
		File:    rest[0].File,
		Message: fmt.Sprintf("and %d more problems, here and in the files after it", len(rest)),
		Warning: rest.Err() == nil,
	})
}
