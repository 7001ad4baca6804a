package httprule

import (
	"fmt"
	"slices"
	"strings"
)

// Selector names a method, a service or whatever else has a dotted full name,
// or all below one: "pkg.Service.Method", "pkg.Service.*", "pkg.*", "*".
type Selector struct {
	text string
	// prefix is what the names below it begin with, the dot included; "" for "*".
	prefix string
	below  bool
}

// SelectorError tells where a selector is not one.
type SelectorError struct {
	// Selector is the whole text.
	Selector string
	// Column is where the problem is, in bytes from 1.
	Column int
	// Found and Expected say what stands there and what should.
	Found, Expected string
}

// Error names the selector, the column, what was found and what was expected.
func (e *SelectorError) Error() string {
	return fmt.Sprintf("selector %q, column %d: found %s, expected %s", e.Selector, e.Column, e.Found, e.Expected)
}

// ParseSelector reads a selector. An asterisk stands for itself alone or as the
// whole last component. The error is a *SelectorError.
func ParseSelector(text string) (Selector, error) {
	at := 0
	for {
		name, rest, more := strings.Cut(text[at:], ".")
		if name == "*" && !more {
			return Selector{text: text, prefix: text[:at], below: true}, nil
		}
		if i, found, expected := badName(name); found != "" {
			if more && i == len(name) {
				found = `"."`
			}
			return Selector{}, &SelectorError{Selector: text, Column: at + i + 1, Found: found, Expected: expected}
		}
		if !more {
			return Selector{text: text}, nil
		}
		at = len(text) - len(rest)
	}
}

// badName tells where name is no identifier, what stands there, "" for
// nothing wrong, and what should.
func badName(name string) (at int, found, expected string) {
	for i, r := range name {
		switch {
		case r == '*':
			return i, `"*"`, "an asterisk as the whole last component only"
		case r < 0x80 && (identifierStart(byte(r)) || i > 0 && isDigit(byte(r))):
		case i == 0:
			return i, fmt.Sprintf("%q", r), "a name"
		default:
			return i, fmt.Sprintf("%q", r), `a letter, a digit, "_" or "."`
		}
	}
	if name == "" {
		return 0, "the end", `a name or "*"`
	}
	return 0, "", ""
}

// String is the selector as it was written.
func (s Selector) String() string { return s.text }

// Match reports whether the selector names fullName.
func (s Selector) Match(fullName string) bool {
	if !s.below {
		return fullName == s.text
	}
	return len(fullName) > len(s.prefix) && strings.HasPrefix(fullName, s.prefix)
}

// Specificity grows with the number of names the selector spells out. Of two
// selectors that match one name, the higher one has the last word; only equal
// selectors are equal then.
func (s Selector) Specificity() int {
	if s.below {
		return strings.Count(s.prefix, ".")
	}
	return strings.Count(s.text, ".") + 1
}

// Exact reports whether the selector spells out the whole name.
func (s Selector) Exact() bool { return !s.below }

// Selectors are those of a list of rules, in its order. The zero Selector stands
// for a rule without one: it names nothing.
type Selectors []Selector

// Matching lists the selectors that name fullName, by their index, the least
// specific first; of equal ones the later has the last word.
func (s Selectors) Matching(fullName string) []int {
	var found []int
	for i := range s {
		if s[i].Match(fullName) {
			found = append(found, i)
		}
	}
	slices.SortStableFunc(found, func(a, b int) int { return s[a].Specificity() - s[b].Specificity() })
	return found
}
