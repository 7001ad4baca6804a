package openapi

import (
	"math"
	"regexp/syntax"
	"strconv"
	"strings"
	"unicode/utf8"
)

// exampleNumber is a number within the bounds of a schema; turn tells apart several.
func exampleNumber(s *object, whole bool, turn int) any {
	off := float64(turn)
	value, low, high := 1+off, math.Inf(-1), math.Inf(1)
	if f, ok := toFloat(s.get("minimum")); ok {
		low, value = f, max(value, math.Ceil(f)+off)
	}
	if f, ok := toFloat(s.get("exclusiveMinimum")); ok {
		low, value = f, max(value, math.Floor(f)+1+off)
	}
	if f, ok := toFloat(s.get("maximum")); ok {
		high, value = f, min(value, math.Floor(f)-off)
	}
	if f, ok := toFloat(s.get("exclusiveMaximum")); ok {
		high, value = f, min(value, math.Ceil(f)-1-off)
	}
	if step, ok := toFloat(s.get("multipleOf")); ok && step > 0 {
		value = math.Ceil(value/step) * step
	}
	if middle := low + (high-low)/2; !whole && (value <= low || value >= high) && !math.IsInf(middle, 0) && !math.IsNaN(middle) {
		value = middle
	}
	return number(strconv.FormatFloat(value, 'f', -1, 64))
}

// formats are values of the formats of strings.
var formats = map[string]string{
	"date-time": "2024-05-17T12:30:00Z", "email": "ada@example.com", "uuid": "6f1f9c6e-6a3c-4d3a-9a55-0d7b6c1f2e3d", "uri": "https://example.com/a", "uri-reference": "/a",
	"hostname": "example.com", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1", "date": "2024-05-17", "binary": "bytes", "byte": "Ynl0ZXM=",
}

// exampleText is a text of a schema: of its format or its pattern, or else the field's own name.
func exampleText(s *object, name string, turn int) (any, bool) {
	if s.get("contentEncoding") == "base64" {
		return "Ynl0ZXM=", true
	}
	format, _ := s.get("format").(string)
	if text := formats[format]; text != "" {
		return text, true
	}
	least, most := toInt(s.get("minLength"), 0), toInt(s.get("maxLength"), 1<<31)
	if pattern, ok := s.get("pattern").(string); ok {
		return exampleMatch(pattern, least, turn)
	}
	text := name
	if text == "" {
		text = "text"
	}
	if turn > 0 {
		text = strconv.Itoa(turn+1) + text // the end may be cut
	}
	return sized(text, least, most), true
}

// sized makes a text as long as it has to be, in characters.
func sized(text string, least, most int) string {
	if missing := min(least, 1000) - utf8.RuneCountInString(text); missing > 0 {
		text += strings.Repeat("x", missing)
	}
	n := 0
	for i := range text {
		if n == max(most, 0) {
			return text[:i]
		}
		n++
	}
	return text
}

// exampleMatch is a text that a pattern matches. Of several, all digits of one number differ.
func exampleMatch(pattern string, least, turn int) (any, bool) {
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, false
	}
	m := &matcher{turn: turn}
	m.match(tree.Simplify(), least)
	return m.String(), m.Len() < maxMatch
}

// maxMatch bounds the text of a pattern, whose repetitions may nest.
const maxMatch = 1000

// matcher writes a text that a pattern matches.
type matcher struct {
	strings.Builder
	turn int
}

// match writes a text about as long as it is to be at least; what it cannot, such as a word
// boundary, the check finds.
func (m *matcher) match(r *syntax.Regexp, least int) {
	switch r.Op {
	case syntax.OpLiteral:
		m.WriteString(string(r.Rune))
	case syntax.OpCharClass:
		m.WriteRune(classRune(r.Rune, m.turn))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		m.WriteByte('a')
	case syntax.OpStar:
		m.repeat(r.Sub[0], 0, -1, least)
	case syntax.OpQuest:
		m.repeat(r.Sub[0], 0, 1, least)
	case syntax.OpPlus:
		m.repeat(r.Sub[0], 1, -1, least)
	case syntax.OpRepeat:
		m.repeat(r.Sub[0], r.Min, r.Max, least)
	case syntax.OpAlternate:
		m.match(r.Sub[0], least)
	case syntax.OpConcat, syntax.OpCapture:
		for _, sub := range r.Sub {
			m.match(sub, least)
		}
	}
}

// repeat writes what is repeated as often as it must be there, or as the length asks for.
func (m *matcher) repeat(r *syntax.Regexp, low, high, least int) {
	for i := 0; (i < low || m.Len() < least && (high < 0 || i < high)) && m.Len() < maxMatch && i < maxMatch; i++ {
		m.match(r, 0)
	}
}

// classRune is a character of a class: a letter or a digit where there is one.
func classRune(ranges []rune, turn int) rune {
	var found []rune
	for _, c := range "a1AxZz023456789" {
		for i := 0; i+1 < len(ranges); i += 2 {
			if ranges[i] <= c && c <= ranges[i+1] {
				found = append(found, c)
			}
		}
	}
	switch {
	case len(found) > 0:
		return found[turn%len(found)]
	case len(ranges) == 0:
		return 'a'
	}
	return ranges[0]
}
