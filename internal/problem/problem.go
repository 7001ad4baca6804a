// Package problem is what is wrong with the gateway's inputs, at the place where
// a person can put it right. It does not know what the inputs are.
//
//	found := problem.List{{File: "transom.yaml", Line: 3, Column: 7, Message: "…"}}
//	return found.Sorted().Err()
package problem

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Problem is one thing that is wrong, for people. It never holds a secret.
type Problem struct {
	// File is the path as the user would type it, or the name of a source when the
	// problem belongs to no one file; empty if that is not known.
	File string `json:"file,omitempty"`
	// Line and Column count from 1; 0 is unknown. In proto files columns count
	// characters, in configuration bytes.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Message says what was found, what was expected and what to do.
	Message string `json:"message"`
	// Warning marks a problem that costs only the part that Message names, if
	// anything: the rest is served all the same.
	Warning bool `json:"warning,omitempty"`
	// More is how many problems this one stands for, which are not listed; 0 for one
	// that stands for itself.
	More int `json:"more,omitempty"`
}

// At is a problem at a place of the form "file:line:column", "file:line" or "file".
func At(where, message string) Problem {
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

// String is "file:line:column: message", without the parts that are unknown.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.File != "" && p.Line > 0 {
		b.WriteString(":" + strconv.Itoa(p.Line))
		if p.Column > 0 {
			b.WriteString(":" + strconv.Itoa(p.Column))
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

// List is what one load found; empty is nothing. It is an error, but use
// [List.Err] where an error is wanted.
type List []Problem

var _ error = List(nil)

// Error is one problem a line.
func (l List) Error() string {
	lines := make([]string, len(l))
	for i := range l {
		lines[i] = l[i].String()
	}
	return strings.Join(lines, "\n")
}

// Err returns the problems that are no warnings, or nil if there are none.
func (l List) Err() error {
	if fatal := l.Fatal(); len(fatal) > 0 {
		return fatal
	}
	return nil
}

// Fatal returns the problems that are no warnings.
func (l List) Fatal() List {
	return slices.DeleteFunc(slices.Clone(l), func(p Problem) bool { return p.Warning })
}

// maxListed bounds how much one load has to say: nobody reads on.
const maxListed = 1000

// Sorted returns the problems by file, line, column and message, each once. What
// is too much to read is counted.
func (l List) Sorted() List {
	l = slices.Clone(l)
	slices.SortStableFunc(l, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(a.More, b.More),
			strings.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
			strings.Compare(a.Message, b.Message),
		)
	})
	l = slices.Compact(l)
	listed := min(maxListed, len(l))
	for listed > 0 && l[listed-1].More > 0 {
		listed-- // of a list that was too long already
	}
	rest := l[listed:]
	if len(rest) == 0 {
		return l
	}
	more := 0
	for _, p := range rest {
		more += max(1, p.More)
	}
	return append(l[:listed:listed], Problem{
		File:    rest[0].File,
		Message: fmt.Sprintf("and %d more problems, here and in the files after it", more),
		Warning: rest.Err() == nil,
		More:    more,
	})
}

// Clip cuts what an error repeats of its input to at most so many bytes, not within a
// character.
func Clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
