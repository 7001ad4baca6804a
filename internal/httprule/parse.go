package httprule

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxTemplate is the longest template, in bytes. It bounds the depth of the
// tree and with it that of the search.
const maxTemplate = 8 << 10

// SyntaxError tells where a template is not one.
type SyntaxError struct {
	// Template is the whole text.
	Template string
	// Column is where the problem is, in bytes from 1.
	Column int
	// Found and Expected say what stands there and what should.
	Found, Expected string
}

// Error names the template, the column, what was found and what was expected.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("path template %q, column %d: found %s, expected %s", e.Template, e.Column, e.Found, e.Expected)
}

// Parse reads a template of google/api/http.proto:
//
//	Template  = "/" [ Segments ] [ ":" Literal ]
//	Segments  = Segment { "/" Segment }
//	Segment   = "*" | "**" | Literal | "{" FieldPath [ "=" Segments ] "}"
//	FieldPath = identifier { "." identifier }
//
// Variables do not nest and no field is bound twice. No wildcard follows "**".
// The error is a *SyntaxError.
func Parse(template string) (*Template, error) {
	p := &parser{text: template, template: &Template{text: template, deep: -1}}
	if len(template) > maxTemplate {
		return nil, p.fail(maxTemplate, fmt.Sprintf("a template of %d bytes", len(template)), fmt.Sprintf("at most %d", maxTemplate))
	}
	if err := p.parse(); err != nil {
		return nil, err
	}
	return p.template, nil
}

// parser reads one template. at is the offset of the next byte.
type parser struct {
	text     string
	at       int
	template *Template
}

func (p *parser) parse() error {
	if !p.take('/') {
		return p.unexpected("a slash")
	}
	if p.done() {
		return nil
	}
	if err := p.segments(false); err != nil {
		return err
	}
	if p.take(':') {
		verb, err := p.literal("a verb", func() bool { return true })
		if err != nil {
			return err
		}
		p.template.Verb = verb
	}
	if !p.done() {
		return p.unexpected("a slash, a verb or the end")
	}
	return nil
}

// segments reads one or more segments. Inside a variable, variables are refused
// and colons are text.
func (p *parser) segments(inside bool) error {
	for {
		if err := p.segment(inside); err != nil {
			return err
		}
		if !p.take('/') {
			return nil
		}
	}
}

func (p *parser) segment(inside bool) error {
	switch {
	case p.peek() == '*':
		return p.wildcard()
	case p.peek() == '{' && inside:
		return p.fail(p.at, "a variable within a variable", "a literal, * or **")
	case p.peek() == '{':
		return p.variable()
	}
	text, err := p.literal("a segment", func() bool { return !inside && p.verbColon() })
	if err != nil {
		return err
	}
	p.template.Segments = append(p.template.Segments, Segment{Kind: Literal, Text: text})
	return nil
}

// verbColon reports whether the colon at hand is the last of the last segment.
func (p *parser) verbColon() bool {
	return !strings.ContainsAny(p.text[p.at+1:], "/:")
}

func (p *parser) wildcard() error {
	start, kind := p.at, Single
	p.at++
	if p.take('*') {
		kind = Deep
	}
	if p.template.deep >= 0 {
		return p.fail(start, "a wildcard after **", "literals only")
	}
	if kind == Deep {
		p.template.deep = len(p.template.Segments)
	}
	p.template.Segments = append(p.template.Segments, Segment{Kind: kind})
	return nil
}

func (p *parser) variable() error {
	p.at++ // the brace
	v := Variable{Column: p.at + 1, First: len(p.template.Segments)}
	var err error
	if v.FieldPath, err = p.fieldPath(); err != nil {
		return err
	}
	for _, other := range p.template.Variables {
		if other.FieldPath == v.FieldPath {
			return p.fail(v.Column-1, fmt.Sprintf("a second variable %q", v.FieldPath), "each field once")
		}
	}
	valueAt := p.at + 1
	switch {
	case p.take('='):
		err = p.segments(true)
	case p.template.deep >= 0:
		err = p.fail(v.Column-1, "a wildcard after **", "literals only")
	default:
		p.template.Segments = append(p.template.Segments, Segment{Kind: Single})
	}
	if err != nil {
		return err
	}
	value := p.text[min(valueAt, p.at):p.at]
	if !p.take('}') {
		return p.unexpected("a closing brace")
	}
	v.Last = len(p.template.Segments) - 1
	p.bind(v, value)
	return nil
}

// bind adds v, whose sub-template is value.
func (p *parser) bind(v Variable, value string) {
	constant := true
	for _, s := range p.template.Segments[v.First:] {
		v.Multi = v.Multi || s.Kind == Deep
		constant = constant && s.Kind == Literal
	}
	v.Multi = v.Multi || v.Last > v.First
	if constant {
		v.Constant = decode(value, kept(v.Multi, false))
	}
	p.template.Variables = append(p.template.Variables, v)
}

func (p *parser) fieldPath() (string, error) {
	start := p.at
	for {
		if !identifierStart(p.peek()) {
			return "", p.unexpected("a field name")
		}
		for identifierStart(p.peek()) || isDigit(p.peek()) {
			p.at++
		}
		switch p.peek() {
		case '.':
			p.at++
		case '=', '}':
			return p.text[start:p.at], nil
		default:
			return "", p.unexpected(`".", "=" or "}"`)
		}
	}
}

// literal reads text up to a slash, a brace, the end, or a colon that ends it.
func (p *parser) literal(what string, colonEnds func() bool) (string, error) {
	start := p.at
	for !p.done() {
		c := p.peek()
		if c == '/' || c == '}' || c == ':' && colonEnds() {
			break
		}
		if err := p.literalByte(c); err != nil {
			return "", err
		}
	}
	if p.at == start {
		return "", p.unexpected(what)
	}
	return decode(p.text[start:p.at], ""), nil
}

// literalByte passes one byte of a literal, or one escape.
func (p *parser) literalByte(c byte) error {
	switch {
	case c == '%':
		if _, ok := unescape(p.text, p.at); !ok {
			return p.fail(p.at, "an incomplete escape", "% and two hexadecimal digits")
		}
		p.at += 3
	case c >= utf8.RuneSelf:
		if r, n := utf8.DecodeRuneInString(p.text[p.at:]); r != utf8.RuneError || n > 1 {
			p.at += n
			return nil
		}
		return p.fail(p.at, "a byte that is not UTF-8", "UTF-8")
	case isPathByte(c):
		p.at++
	default:
		return p.unexpected("a character of a path; others are written as %XX")
	}
	return nil
}

func (p *parser) done() bool { return p.at == len(p.text) }

// peek is the next byte, or 0 at the end.
func (p *parser) peek() byte {
	if p.done() {
		return 0
	}
	return p.text[p.at]
}

func (p *parser) take(c byte) bool {
	if p.done() || p.text[p.at] != c {
		return false
	}
	p.at++
	return true
}

func (p *parser) unexpected(expected string) error {
	found := "the end"
	if !p.done() {
		r, _ := utf8.DecodeRuneInString(p.text[p.at:])
		found = fmt.Sprintf("%q", string(r))
	}
	return p.fail(p.at, found, expected)
}

func (p *parser) fail(at int, found, expected string) error {
	return &SyntaxError{Template: p.text, Column: at + 1, Found: found, Expected: expected}
}

func identifierStart(c byte) bool {
	return c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// isPathByte reports whether c stands for itself in a segment of a path (pchar of
// RFC 3986, 3.3). The asterisk is left out: in a template it is a wildcard.
func isPathByte(c byte) bool {
	return identifierStart(c) || isDigit(c) || strings.IndexByte("-.~!$&'()+,;=:@", c) >= 0
}
