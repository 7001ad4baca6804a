package openapi

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode"
)

// ecmaPattern writes a regular expression of RE2 as one that ECMAScript reads in the same
// way; false where it has none.
func ecmaPattern(pattern string) (string, bool) {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return "", false
	}
	if sharedPattern.MatchString(pattern) && !nothingRepeated.MatchString(pattern) {
		return pattern, true
	}
	var b strings.Builder
	ok := appendECMA(&b, re)
	return b.String(), ok
}

// sharedPattern matches expressions of words that mean the same in both, which stay as their author wrote them, and
// nothingRepeated those that repeat what is no text, which ECMAScript refuses.
var (
	sharedPattern = regexp.MustCompile(`^(?:[A-Za-z0-9_/:,;@#%&=!~'"<> -]|\(\?:|[\^$|()]|[*+?]\??|\{[0-9]+(?:,[0-9]*)?\}\??|\\[dwDW.^$|()\[\]{}*+?/\\]|` +
		`\[\^?-?(?:[A-Za-z0-9]-[A-Za-z0-9]|[A-Za-z0-9_/:,;@#%&=!~'"<>.*+?()|{}$ ]|\\[dw.\-\[\]/^\\])+-?\])*$`)
	nothingRepeated = regexp.MustCompile(`(?:^|[\^$|])[*+?{]|\((?:[*+{]|\?[^:])`)
)

// appendECMA writes one node, and what stands below it.
func appendECMA(b *strings.Builder, re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			appendRune(b, r, re.Flags&syntax.FoldCase != 0)
		}
	case syntax.OpCharClass:
		return appendClass(b, re.Rune)
	case syntax.OpAnyCharNotNL:
		b.WriteString(`[^\n]`)
	case syntax.OpAnyChar:
		b.WriteString(`[\s\S]`)
	case syntax.OpBeginText:
		b.WriteByte('^')
	case syntax.OpEndText:
		b.WriteByte('$')
	case syntax.OpWordBoundary:
		b.WriteString(`\b`)
	case syntax.OpNoWordBoundary:
		b.WriteString(`\B`)
	case syntax.OpEmptyMatch:
		b.WriteString("(?:)")
	case syntax.OpCapture, syntax.OpConcat, syntax.OpAlternate:
		return appendGroup(b, re)
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		return appendRepeat(b, re)
	default: // lines, and what matches nothing
		return false
	}
	return true
}

func appendGroup(b *strings.Builder, re *syntax.Regexp) bool {
	b.WriteString("(?:")
	for i, sub := range re.Sub {
		if i > 0 && re.Op == syntax.OpAlternate {
			b.WriteByte('|')
		}
		if !appendECMA(b, sub) {
			return false
		}
	}
	b.WriteByte(')')
	return true
}

func appendRepeat(b *strings.Builder, re *syntax.Regexp) bool {
	b.WriteString("(?:")
	if !appendECMA(b, re.Sub[0]) {
		return false
	}
	b.WriteByte(')')
	switch re.Op {
	case syntax.OpStar:
		b.WriteByte('*')
	case syntax.OpPlus:
		b.WriteByte('+')
	case syntax.OpQuest:
		b.WriteByte('?')
	default:
		switch re.Max {
		case -1:
			fmt.Fprintf(b, "{%d,}", re.Min)
		case re.Min:
			fmt.Fprintf(b, "{%d}", re.Min)
		default:
			fmt.Fprintf(b, "{%d,%d}", re.Min, re.Max)
		}
	}
	return true
}

// appendClass writes a class of characters, given by ranges.
func appendClass(b *strings.Builder, ranges []rune) bool {
	if len(ranges) == 0 {
		return false
	}
	// What goes up to the last character is shorter the other way round.
	if ranges[0] == 0 && ranges[len(ranges)-1] == unicode.MaxRune && len(ranges) > 2 {
		b.WriteString("[^")
		for i := 1; i+1 < len(ranges); i += 2 {
			appendRange(b, ranges[i]+1, ranges[i+1]-1)
		}
		b.WriteByte(']')
		return true
	}
	b.WriteByte('[')
	for i := 0; i < len(ranges); i += 2 {
		if ranges[i] == 0 && ranges[i+1] == unicode.MaxRune {
			b.WriteString(`\s\S`)
			continue
		}
		appendRange(b, ranges[i], ranges[i+1])
	}
	b.WriteByte(']')
	return true
}

func appendRange(b *strings.Builder, from, to rune) {
	appendRune(b, from, false)
	if to > from {
		b.WriteByte('-')
		appendRune(b, to, false)
	}
}

// appendRune writes one character, or with fold all that differ in case alone.
func appendRune(b *strings.Builder, r rune, fold bool) {
	if fold && unicode.SimpleFold(r) != r {
		b.WriteByte('[')
		appendRune(b, r, false)
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			appendRune(b, other, false)
		}
		b.WriteByte(']')
		return
	}
	switch {
	case strings.ContainsRune(`\.+*?()|[]{}^$-/`, r):
		if r == '-' || r == '/' { // with the flag u only some characters may be escaped
			fmt.Fprintf(b, `\x%02x`, r)
			return
		}
		b.WriteByte('\\')
		b.WriteRune(r)
	case r < 0x20 || r == 0x7f:
		fmt.Fprintf(b, `\x%02x`, r)
	default:
		b.WriteRune(r)
	}
}

// quotePattern is a pattern that matches a text alone.
func quotePattern(text string) string {
	var b strings.Builder
	for _, r := range text {
		appendRune(&b, r, false)
	}
	return b.String()
}
