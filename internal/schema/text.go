package schema

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// This file looks at the text of a .proto file before the compiler sees it: the
// compiler refuses text that protoc accepts, and takes time quadratic in the
// depth of brackets, the length of a line and the length of a number.

// The bounds of one text. protoc itself allows messages 32 deep, literals of
// options 100 deep.
const (
	maxTextDepth    = 256
	maxLineBytes    = 64 << 10
	maxNumberBytes  = 1 << 10
	badByteRune     = string(utf8.RuneError)
	hintSaveAsUTF8  = "save the file as UTF-8"
	hintSplitTheRow = "break it into several lines"
)

// textScanner goes through a text once.
type textScanner struct {
	file      string
	text      string
	at        int // in bytes
	line      int // from 1
	lineStart int // in bytes
	open      []int
	problems  Problems
	bad       []int // places of bytes in comments that are not UTF-8
	stopped   bool
}

// scanText checks a text within the bounds, in one pass. Bytes in comments that
// are not UTF-8 are replaced, one character for one byte, so that places stay;
// protoc accepts them. With an error the text must not be compiled.
func scanText(file, text string) (string, Problems) {
	if len(text) >= 2 && (text[0] == 0 || text[1] == 0 || text[:2] == "\xfe\xff" || text[:2] == "\xff\xfe") {
		return text, nil // UTF-16: the compiler says so
	}
	s := &textScanner{file: file, text: text, line: 1}
	for s.at < len(s.text) && !s.stopped {
		s.token()
	}
	if !s.stopped {
		s.checkLine(len(s.text))
	}
	if len(s.bad) == 0 || s.stopped {
		return text, s.problems
	}
	return s.repaired(), s.problems
}

// token goes over the next token, comment or white space.
func (s *textScanner) token() {
	rest := s.text[s.at:]
	switch c := rest[0]; {
	case c == '\n':
		s.newLine()
	case strings.HasPrefix(rest, "//"):
		s.lineComment()
	case strings.HasPrefix(rest, "/*"):
		s.blockComment()
	case c == '"' || c == '\'':
		s.literal(c)
	case c >= '0' && c <= '9':
		s.number()
	case isWordByte(c):
		for s.at < len(s.text) && isWordByte(s.text[s.at]) {
			s.at++
		}
	case strings.IndexByte("{[(<", c) >= 0:
		if s.open = append(s.open, s.at); len(s.open) > maxTextDepth {
			s.stop(s.at, "brackets are nested more than %d deep", maxTextDepth)
		}
		s.at++
	case strings.IndexByte("}])>", c) >= 0:
		s.open = s.open[:max(0, len(s.open)-1)]
		s.at++
	case c < utf8.RuneSelf:
		s.at++
	default:
		s.character("outside of a comment")
	}
}

// character goes over one character that must be UTF-8.
func (s *textScanner) character(where string) {
	r, size := utf8.DecodeRuneInString(s.text[s.at:])
	if r == utf8.RuneError && size <= 1 {
		s.stop(s.at, "the byte 0x%02X %s is not UTF-8: %s", s.text[s.at], where, hintSaveAsUTF8)
	}
	s.at += size
}

func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

func (s *textScanner) newLine() {
	s.checkLine(s.at)
	s.at++
	s.line++
	s.lineStart = s.at
}

// checkLine bounds the line that ends before a byte: the compiler counts its
// columns anew for each token.
func (s *textScanner) checkLine(end int) {
	if end-s.lineStart > maxLineBytes {
		s.stop(s.lineStart+maxLineBytes, "the line is longer than %d bytes: %s", maxLineBytes, hintSplitTheRow)
	}
}

func (s *textScanner) lineComment() {
	for s.at < len(s.text) && s.text[s.at] != '\n' {
		s.commentCharacter()
	}
}

func (s *textScanner) blockComment() {
	start, line, lineStart := s.at, s.line, s.lineStart
	for s.at += 2; s.at < len(s.text) && !s.stopped; {
		rest := s.text[s.at:]
		switch {
		case strings.HasPrefix(rest, "*/"):
			s.at += 2
			return
		case strings.HasPrefix(rest, "/*"):
			s.stop(s.at, `"/*" inside a block comment: block comments cannot be nested`)
		case rest[0] == '\n':
			s.newLine()
		default:
			s.commentCharacter()
		}
	}
	if !s.stopped {
		s.line, s.lineStart = line, lineStart
		s.stop(start, "the block comment is not closed: expected */")
	}
}

func (s *textScanner) commentCharacter() {
	r, size := utf8.DecodeRuneInString(s.text[s.at:])
	if r == utf8.RuneError && size <= 1 {
		if len(s.bad) == 0 {
			s.problem(s.at, "the byte 0x%02X in a comment is not UTF-8 and is shown as %s: %s", s.text[s.at], badByteRune, hintSaveAsUTF8)
			s.problems[len(s.problems)-1].Warning = true
		}
		s.bad = append(s.bad, s.at)
	}
	s.at += size
}

// literal goes over a string literal, which ends on its line; the compiler says so
// where it does not.
func (s *textScanner) literal(quote byte) {
	for s.at++; s.at < len(s.text) && !s.stopped; {
		switch c := s.text[s.at]; {
		case c == '\n':
			return
		case c == quote:
			s.at++
			return
		case c == '\\' && s.at+1 < len(s.text) && s.text[s.at+1] != '\n' && s.text[s.at+1] < utf8.RuneSelf:
			s.at += 2
		case c < utf8.RuneSelf:
			s.at++
		default:
			s.character(fmt.Sprintf(`in a string literal (as an escape it is \x%02x)`, c))
		}
	}
}

func (s *textScanner) number() {
	start := s.at
	for s.at < len(s.text) && (isWordByte(s.text[s.at]) || s.text[s.at] == '.') {
		s.at++
	}
	if s.at-start > maxNumberBytes {
		s.stop(start, "the number is longer than %d characters", maxNumberBytes)
	}
}

// stop is a problem with which the text is not compiled.
func (s *textScanner) stop(at int, format string, args ...any) {
	if s.stopped {
		return
	}
	s.problem(at, format, args...)
	s.stopped = true
}

func (s *textScanner) problem(at int, format string, args ...any) {
	s.problems = append(s.problems, Problem{
		File:    s.file,
		Line:    s.line,
		Column:  utf8.RuneCountInString(s.text[s.lineStart:min(at, len(s.text))]) + 1,
		Message: fmt.Sprintf(format, args...),
	})
}

// repaired is the text with a character in the place of each bad byte.
func (s *textScanner) repaired() string {
	var b strings.Builder
	b.Grow(len(s.text) + 2*len(s.bad))
	from := 0
	for _, at := range s.bad {
		b.WriteString(s.text[from:at])
		b.WriteString(badByteRune)
		from = at + 1
	}
	b.WriteString(s.text[from:])
	return b.String()
}
