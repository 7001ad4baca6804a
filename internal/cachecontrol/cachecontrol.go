// Package cachecontrol reads what requests and answers say about caching, as RFC 9111
// and RFC 5861 define it: the directives of Cache-Control, Age, Expires and Vary, and
// what follows of them, which are an answer's freshness lifetime and its current age.
//
//	var control cachecontrol.Control
//	for _, line := range header["Cache-Control"] {
//		control.Add(line)
//	}
//	lifetime, ok := cachecontrol.Lifetime(&control, expires, date)
//
// It decides nothing: what is stored, and what is answered from a store, is said by its
// callers.
package cachecontrol

import (
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Set is a set of directives.
type Set uint16

// The directives. Those of NoCache and Private that name fields count as those that
// name none, which RFC 9111 5.2.2.4 and 5.2.2.7 allow.
const (
	NoStore Set = 1 << iota
	NoCache
	NoTransform
	MustRevalidate
	ProxyRevalidate
	MustUnderstand
	Private
	Public
	OnlyIfCached
	MaxAge
	SharedMaxAge
	MaxStale
	MinFresh
	StaleWhileRevalidate
	StaleIfError
)

// Most is the longest time that a directive can say. Longer ones, and those that no
// integer holds, count as this one (RFC 9111 1.2.2).
const Most = (1 << 31) * time.Second

// maxLine bounds how much of a line is read, for a member of a long one could otherwise
// cost the more the longer it is. What is beyond counts as no-store.
const maxLine = 8 << 10

// Control is what Cache-Control says, of a request or of an answer. The zero value says
// nothing.
type Control struct {
	// Has are the directives that are present, those with broken values included.
	Has Set
	// The values of those that have one. A value that is no number of seconds counts as
	// 0, and so do several that differ: then the answer is stale (RFC 9111 4.2.1).
	MaxAge, SharedMaxAge               time.Duration
	MaxStale                           time.Duration // Most for a max-stale without a value
	MinFresh                           time.Duration
	StaleWhileRevalidate, StaleIfError time.Duration
}

// Parse reads all lines of one field.
func Parse(lines []string) Control {
	var c Control
	for _, line := range lines {
		c.Add(line)
	}
	return c
}

// Says reports whether any of the directives is present.
func (c *Control) Says(any Set) bool { return c.Has&any != 0 }

// Add reads one more line. It allocates nothing. What is no directive, or none that it
// knows, is passed over, but for the names in it of directives that forbid something: who
// writes "no-store; max-age=60" wants no answer kept.
func (c *Control) Add(line string) {
	if len(line) > maxLine {
		c.Has |= NoStore
		return
	}
	for more := true; more; {
		var member string
		if member, line, more = nextMember(line); member != "" {
			c.member(member)
		}
	}
}

// nextMember splits the first member of a list off, without the white space around it.
// A comma in a quoted string separates nothing. more reports whether another member
// follows, which may be empty.
func nextMember(line string) (member, rest string, more bool) {
	quoted := false
	for i := 0; i < len(line); i++ {
		switch b := line[i]; {
		case quoted && b == '\\':
			i++
		case b == '"':
			quoted = !quoted
		case b == ',' && !quoted:
			return strings.Trim(line[:i], " \t"), line[i+1:], true
		}
	}
	return strings.Trim(line, " \t"), "", false
}

// flags are the directives without a value. An argument that they do not have does not
// take their meaning away.
var flags = [...]struct {
	name string
	flag Set
}{
	{"no-store", NoStore},
	{"no-cache", NoCache},
	{"private", Private},
	{"public", Public},
	{"must-revalidate", MustRevalidate},
	{"proxy-revalidate", ProxyRevalidate},
	{"must-understand", MustUnderstand},
	{"no-transform", NoTransform},
	{"only-if-cached", OnlyIfCached},
}

func (c *Control) member(member string) {
	if !isDirective(member) {
		c.forbids(member)
	}
	name, value, hasValue := strings.Cut(member, "=")
	bare := strings.TrimRight(name, " \t")
	for i := range flags {
		if strings.EqualFold(bare, flags[i].name) {
			c.Has |= flags[i].flag
			return
		}
	}
	to, flag := c.timed(bare)
	if to == nil {
		return
	}
	seconds, ok := Seconds(unquoted(value))
	switch {
	case flag == MaxStale && !hasValue:
		seconds = Most
	case !ok || len(bare) != len(name):
		seconds = 0
	}
	if c.Has&flag != 0 && *to != seconds {
		seconds = 0
	}
	c.Has |= flag
	*to = seconds
}

// isDirective reports whether a member is a token, or a token with a value that is a token or
// a quoted string (RFC 9111 5.2). White space around the equals sign does no harm.
func isDirective(member string) bool {
	name, value, hasValue := strings.Cut(member, "=")
	if !isToken(strings.TrimRight(name, " \t")) {
		return false
	}
	value = strings.TrimLeft(value, " \t")
	return !hasValue || value == "" || isToken(value) || isQuoted(value)
}

func isToken(s string) bool {
	for i := range len(s) {
		if !httpguts.IsTokenRune(rune(s[i])) {
			return false
		}
	}
	return s != ""
}

// isQuoted reports whether all of s is one quoted string.
func isQuoted(s string) bool {
	if len(s) < 2 || s[0] != '"' {
		return false
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i == len(s)-1
		}
	}
	return false
}

// forbidding are the directives that hold wherever a broken member names them.
const forbidding = NoStore | NoCache | Private | MustRevalidate | ProxyRevalidate

// forbids notes the forbidding directives that a broken member names.
func (c *Control) forbids(member string) {
	for member != "" {
		n := 0
		for n < len(member) && httpguts.IsTokenRune(rune(member[n])) {
			n++
		}
		for i := range flags {
			if flags[i].flag&forbidding != 0 && strings.EqualFold(member[:n], flags[i].name) {
				c.Has |= flags[i].flag
			}
		}
		member = member[min(n+1, len(member)):]
	}
}

// timed is where the value of a directive that has a time goes; nil for others.
func (c *Control) timed(name string) (*time.Duration, Set) {
	switch {
	case strings.EqualFold(name, "max-age"):
		return &c.MaxAge, MaxAge
	case strings.EqualFold(name, "s-maxage"):
		return &c.SharedMaxAge, SharedMaxAge
	case strings.EqualFold(name, "max-stale"):
		return &c.MaxStale, MaxStale
	case strings.EqualFold(name, "min-fresh"):
		return &c.MinFresh, MinFresh
	case strings.EqualFold(name, "stale-while-revalidate"):
		return &c.StaleWhileRevalidate, StaleWhileRevalidate
	case strings.EqualFold(name, "stale-if-error"):
		return &c.StaleIfError, StaleIfError
	}
	return nil, 0
}

// unquoted takes the quotes of a quoted string away: recipients accept both forms
// (RFC 9111 5.2).
func unquoted(value string) string {
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		return value[1 : len(value)-1]
	}
	return value
}

// Seconds reads delta-seconds: digits and nothing else, Most for what is above.
func Seconds(s string) (time.Duration, bool) {
	if s == "" {
		return 0, false
	}
	var n time.Duration
	for i := range len(s) {
		digit := s[i] - '0'
		if digit > 9 {
			return 0, false
		}
		n = min(n*10+time.Duration(digit), Most/time.Second)
	}
	return n * time.Second, true
}
