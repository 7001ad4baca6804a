package config

import (
	"fmt"
	"regexp"
	"strings"
)

// suspect is where a text that is no YAML probably goes wrong. The YAML parser says where it
// gave up, which is the line of another thing that began there, or one beside it.
type suspect struct {
	line, column int
	// hint is what to do; empty where the parser's own words say it.
	hint string
}

// findSuspect reads a text that is no YAML, as far as the first thing that cannot be right;
// nil where it finds none.
func findSuspect(data []byte) *suspect {
	s := suspects{scalar: -1}
	for n, text := range strings.Split(string(data), "\n") {
		s.line, s.text = n+1, strings.TrimSuffix(text, "\r")
		if s.readLine(); s.found != nil {
			return s.found
		}
	}
	if s.quote != 0 {
		return &s.quoted
	}
	if n := len(s.open); n > 0 {
		return s.open[n-1].unclosed()
	}
	return nil
}

// suspects reads lines of YAML: what nests, and nothing of what it says.
type suspects struct {
	line  int
	text  string
	found *suspect
	// open are the { and [ that are not closed yet, levels the indentations of the entries
	// above.
	open   []bracket
	levels []int
	// below: the line before has its value below it. bare is the line before where it has
	// no colon.
	below bool
	bare  *suspect
	// quote is that of a text that goes on, quoted where it began; 0 for none. scalar is the
	// indentation of what has a text of several lines below it; -1 for none.
	quote  byte
	quoted suspect
	scalar int
}

// bracket is a { or [.
type bracket struct {
	char                 byte
	line, column, indent int
	colon                bool // its entry has a colon already
}

func (b bracket) unclosed() *suspect {
	return &suspect{b.line, b.column, fmt.Sprintf("the %c here is not closed", b.char)}
}

func (s *suspects) suspect(at int, format string, args ...any) {
	s.found = &suspect{s.line, at + 1, fmt.Sprintf(format, args...)}
}

// entry is what begins an entry of a list or mapping.
var entry = regexp.MustCompile(`^(- |-$|["']?[\w./*-]+["']?:(\s|$))`)

func (s *suspects) readLine() {
	if s.quote != 0 {
		s.readQuotedLine()
		return
	}
	indent := len(s.text) - len(strings.TrimLeft(s.text, " "))
	body := s.text[indent:]
	switch {
	case strings.TrimSpace(body) == "" || body[0] == '#' || s.scalar >= 0 && indent > s.scalar:
		return
	case indent == 0 && (strings.HasPrefix(body, "---") || strings.HasPrefix(body, "...") || body[0] == '%'):
		s.levels, s.below, s.scalar = nil, false, -1
		return
	}
	s.scalar = -1
	switch {
	case len(s.open) > 0 && indent <= s.open[0].indent && entry.MatchString(body):
		s.found = s.open[len(s.open)-1].unclosed()
	case len(s.open) > 0:
		s.readFlow(indent)
	case body[0] == '\t':
		s.suspect(indent, "indent with spaces, not tabs")
	default:
		s.readEntry(indent)
	}
}

// readQuotedLine reads a line within a quoted text.
func (s *suspects) readQuotedLine() {
	at := s.endQuote(0)
	if s.quote != 0 {
		return
	}
	if rest := strings.TrimLeft(s.text[at:], " "); rest != "" && strings.IndexByte(",]}:#", rest[0]) < 0 {
		s.found = &s.quoted // it ends where another one was to begin
		return
	}
	if len(s.open) > 0 {
		s.readFlow(at)
	}
}

// readEntry reads a line of entries that stand below each other.
func (s *suspects) readEntry(indent int) {
	fewer := false
	for len(s.levels) > 0 && s.levels[len(s.levels)-1] > indent {
		s.levels, fewer = s.levels[:len(s.levels)-1], true
	}
	top := -1
	if len(s.levels) > 0 {
		top = s.levels[len(s.levels)-1]
	}
	switch {
	case top == indent && s.bare != nil && s.bare.column == indent+1:
		s.found = s.bare
		return
	case top == indent:
	case fewer:
		s.suspect(indent, "")
		return
	case top >= 0 && !s.below:
		if !entry.MatchString(s.text[indent:]) {
			return // more of a text
		}
		if s.suspect(indent, ""); s.bare != nil {
			s.found = s.bare
		}
		return
	default:
		s.levels = append(s.levels, indent)
	}
	s.bare, s.below = nil, false
	at := indent
	for at < len(s.text) && s.text[at] == '-' && (at+1 == len(s.text) || s.text[at+1] == ' ') {
		at = s.skip(at + 1)
		s.levels = append(s.levels, at)
	}
	s.readKey(at, at > indent)
}

// readKey reads "key: value", or the value of an entry of a list.
func (s *suspects) readKey(at int, listed bool) {
	rest := s.text[at:]
	switch key := entry.FindString(rest); {
	case rest == "" || rest[0] == '#':
		s.below = true
	case key != "":
		s.readValue(at + len(key))
	case strings.IndexByte("{[\"'&*!|>@`%", rest[0]) >= 0:
		s.readValue(at)
	case listed:
		s.bare = &suspect{s.line, at + 1, `a colon and a space are missing behind the name`}
	default:
		if i := strings.IndexByte(rest, ':'); i > 0 {
			s.suspect(at+i, "a space is missing behind the colon")
			return
		}
		s.suspect(at, "found %q, expected a name, a colon and a space", clipped(rest))
	}
}

func clipped(text string) string {
	const most = 40
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// readValue reads what stands behind a key.
func (s *suspects) readValue(at int) {
	at = s.skip(at)
	if at == len(s.text) || s.text[at] == '#' {
		s.below = true
		return
	}
	switch c := s.text[at]; c {
	case '{', '[':
		s.readFlow(at)
	case '"', '\'':
		if at = s.endQuote(at); s.quote == 0 {
			s.readRest(at)
		}
	case '|', '>':
		s.scalar = 0
		if n := len(s.levels); n > 0 {
			s.scalar = s.levels[n-1]
		}
	case '&', '!':
		end := strings.IndexByte(s.text[at:], ' ')
		if end < 0 {
			s.below = true
			return
		}
		s.readValue(at + end)
	case '*', '@', '`', '%':
		s.refuseStart(at)
	default:
		text, _, _ := strings.Cut(s.text[at:], " #")
		if i := strings.Index(text+" ", ": "); i >= 0 {
			s.suspect(at+i, "") // the parser says that texts with a colon are quoted
		}
	}
}

// refuseStart suspects a text that begins with what no text does.
func (s *suspects) refuseStart(at int) {
	if s.text[at] == '*' && at+1 < len(s.text) && strings.IndexByte(" ,}]\"'.", s.text[at+1]) < 0 {
		return // an alias
	}
	s.suspect(at, "text that begins with %c must be quoted", s.text[at])
}

// readRest suspects what stands behind a value.
func (s *suspects) readRest(at int) {
	if at = s.skip(at); at < len(s.text) && s.text[at] != '#' && s.text[at] != ':' {
		s.suspect(at, "found %q behind the end of the value; is a quote or a bracket one too many?", clipped(s.text[at:]))
	}
}

// readFlow reads on within { } and [ ], from at.
func (s *suspects) readFlow(at int) {
	begun := -1 // where a text has begun
	indent := len(s.text) - len(strings.TrimLeft(s.text, " "))
	for ; at < len(s.text) && s.found == nil; at++ {
		switch c := s.text[at]; {
		case c == ' ' || c == '\t':
		case c == '#' && (at == 0 || s.text[at-1] == ' '):
			return
		case (c == '"' || c == '\'') && begun < 0:
			begun = at
			if at = s.endQuote(at) - 1; s.quote != 0 {
				return
			}
		case (c == '{' || c == '[') && begun >= 0:
			s.refuseBracket(at, begun)
		case c == '{' || c == '[':
			s.open = append(s.open, bracket{char: c, line: s.line, column: at + 1, indent: indent})
		case c == '}' || c == ']':
			if s.close(at); len(s.open) == 0 && s.found == nil {
				s.readRest(at + 1)
				return
			}
			begun = at
		case c == '?' && begun >= 0: // YAML 1.2 allows it, the parser does not
			s.suspect(begun, "text with ? in it must be quoted within { } and [ ]")
		case c == ',':
			s.open[len(s.open)-1].colon, begun = false, -1
		case c == ':' && s.endsKey(at):
			s.colon(at)
			begun = -1
		case begun < 0 && strings.IndexByte("*@`%|>", c) >= 0:
			s.refuseStart(at)
			begun = at
		case begun < 0:
			begun = at
		}
	}
}

// refuseBracket suspects a { or [ within a text that began before it.
func (s *suspects) refuseBracket(at, begun int) {
	if s.text[at-1] == ' ' {
		s.suspect(at, "a colon or a comma is missing before the %c", s.text[at])
		return
	}
	s.suspect(begun, "text with %c in it must be quoted, such as \"${NAME}\"", s.text[at])
}

// close closes the innermost bracket.
func (s *suspects) close(at int) {
	last := s.open[len(s.open)-1]
	if s.open = s.open[:len(s.open)-1]; s.text[at] != last.char+2 { // as ] and } are to [ and {
		s.suspect(at, "found %c, expected %c for the %c at %d:%d", s.text[at], last.char+2, last.char, last.line, last.column)
	}
}

// endsKey reports whether a colon within brackets ends a key.
func (s *suspects) endsKey(at int) bool {
	return at+1 == len(s.text) || strings.IndexByte(" ,{}[]", s.text[at+1]) >= 0 || at > 0 && s.text[at-1] == '"'
}

// colon notes a colon of the innermost bracket's entry.
func (s *suspects) colon(at int) {
	last := &s.open[len(s.open)-1]
	if last.colon && last.char == '{' {
		s.suspect(at, `a comma is missing before the name, or a text with ": " in it must be quoted`)
	}
	last.colon = true
}

// endQuote returns where the quoted text at a place ends, or that goes on there.
func (s *suspects) endQuote(at int) int {
	if s.quote == 0 {
		s.quote = s.text[at]
		s.quoted = suspect{s.line, at + 1, "the quote here is not closed"}
		at++
	}
	for ; at < len(s.text); at++ {
		switch c := s.text[at]; {
		case c == '\\' && s.quote == '"':
			at++
		case c != s.quote:
		case c == '\'' && strings.HasPrefix(s.text[at+1:], "'"):
			at++
		default:
			s.quote = 0
			return at + 1
		}
	}
	return len(s.text)
}

// skip returns the place of what follows the spaces at one.
func (s *suspects) skip(at int) int {
	for at < len(s.text) && s.text[at] == ' ' {
		at++
	}
	return at
}
