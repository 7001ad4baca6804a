package schema

import (
	"sort"
	"strings"
)

// statement is where a statement of a .proto file stands, in bytes, its body and its
// end included.
type statement struct{ start, end int }

// statementsOf finds the statements of a text, also within the bodies of others, in the
// order of their ends. It knows brackets, semicolons, strings and comments, and nothing of what they mean.
func statementsOf(text string) []statement {
	s := statementScanner{text: text, open: []level{{start: -1}}}
	for s.at < len(text) {
		s.token()
	}
	for len(s.open) > 0 {
		s.end(len(text))
		s.open = s.open[:len(s.open)-1]
	}
	return s.found
}

// innermost is the shortest of the statements that an offset is in; the zero one for
// none. The statements are in the order of their ends, as statementsOf gives them.
func innermost(statements []statement, at int) statement {
	first := sort.Search(len(statements), func(i int) bool { return statements[i].end > at })
	for _, s := range statements[first:] {
		if s.start <= at {
			return s
		}
	}
	return statement{}
}

// level is one body of statements.
type level struct {
	start    int // of the statement that is being read; -1 for none
	brackets int // "(" and "[" that are open in it
}

type statementScanner struct {
	text  string
	at    int
	open  []level
	found []statement
}

// token goes over the next token, comment or white space.
func (s *statementScanner) token() {
	rest := s.text[s.at:]
	switch c := rest[0]; {
	case c == ' ' || c == '\t' || c == '\r' || c == '\n':
		s.at++
	case strings.HasPrefix(rest, "//"):
		s.skip("\n", 2)
	case strings.HasPrefix(rest, "/*"):
		s.skip("*/", 2)
	case c == '}':
		s.close()
	default:
		top := &s.open[len(s.open)-1]
		if top.start < 0 {
			top.start = s.at
		}
		s.inStatement(top, c)
	}
}

func (s *statementScanner) inStatement(top *level, c byte) {
	switch c {
	case '"', '\'':
		s.literal(c)
		return
	case '(', '[':
		top.brackets++
	case ')', ']':
		top.brackets = max(0, top.brackets-1)
	case ';':
		s.at++
		s.end(s.at)
		return
	case '{':
		s.open = append(s.open, level{start: -1})
	}
	s.at++
}

// close ends a body, and the statement that has it unless more follows.
func (s *statementScanner) close() {
	s.end(s.at)
	s.at++
	if len(s.open) == 1 {
		return // one too many
	}
	s.open = s.open[:len(s.open)-1]
	if s.open[len(s.open)-1].brackets > 0 {
		return
	}
	if rest := strings.TrimLeft(s.text[s.at:], " \t\r\n"); strings.HasPrefix(rest, ";") {
		s.at = len(s.text) - len(rest) + 1
	}
	s.end(s.at)
}

// end ends the statement that is being read, if one is.
func (s *statementScanner) end(at int) {
	top := &s.open[len(s.open)-1]
	if top.start >= 0 {
		s.found = append(s.found, statement{top.start, at})
	}
	*top = level{start: -1}
}

// skip goes behind the next end, which is not before the offset.
func (s *statementScanner) skip(end string, offset int) {
	from := min(len(s.text), s.at+offset)
	i := strings.Index(s.text[from:], end)
	if i < 0 {
		s.at = len(s.text)
		return
	}
	s.at = from + i + len(end)
}

// literal goes over a string, which ends at the line's end at the latest.
func (s *statementScanner) literal(quote byte) {
	for s.at++; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case '\\':
			s.at++
		case quote:
			s.at++
			return
		case '\n':
			return
		}
	}
	s.at = min(s.at, len(s.text))
}
