package http1head

import (
	"bytes"
	"net/http"
	"sync"
)

// state is what a Scanner expects next.
type state uint8

const (
	atPreface     state = iota // the connection's first bytes, which may be HTTP/2's preface
	atRequestLine              // a request line
	atFields                   // a field, or the end of the head
	inBody                     // bytes of a body of known length
	atChunk                    // a chunk's size
	inChunk                    // bytes of a chunk
	afterChunk                 // the line end behind a chunk
	atTrailer                  // a trailer's field, or the end of the body
	passing                    // another protocol: nothing is looked at
)

// preface is how HTTP/2 with prior knowledge begins (RFC 9113, 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// Bounds of what net/http reads of a chunked body's framing, in bytes.
const (
	maxChunkLine = 1 << 10
	maxTrailer   = 4 << 10 // its buffer
	maxExcess    = 16 << 10
)

// maxEmptyLines is how many empty lines before a request line are ignored: more than
// any client sends by mistake.
const maxEmptyLines = 8

// Scanner follows the requests of one connection. Its zero value refuses every head,
// as MaxHead is 0. It is not safe for concurrent use.
type Scanner struct {
	// MaxHead bounds a head, in bytes; beyond it is 431.
	MaxHead int

	state   state
	matched int     // of the preface
	size    int     // of the head or the trailers so far, in bytes
	remain  int64   // of the body or chunk
	excess  int64   // framing of chunks beyond what data excuses
	partial *[]byte // the beginning of a line whose end is still to come; nil for none
	empty   int     // empty lines before the request line
	halfway bool    // in one of them, between CR and LF

	head     head
	upgrades uint64
}

// NewScanner returns a Scanner for a connection. Where preface is false, HTTP/2 is
// refused.
func NewScanner(maxHead int, preface bool) Scanner {
	s := Scanner{MaxHead: maxHead, state: atRequestLine}
	if preface {
		s.state = atPreface
	}
	return s
}

// InHead reports whether the next byte is one of a head.
func (s *Scanner) InHead() bool { return s.state <= atFields }

// Begun reports whether a part of a head was read.
func (s *Scanner) Begun() bool {
	return s.InHead() && (s.size > 0 || s.matched > 0 || s.partial != nil)
}

// Passing reports whether the connection speaks another protocol.
func (s *Scanner) Passing() bool { return s.state == passing }

// Upgrades is how many heads that asked for another protocol were passed.
func (s *Scanner) Upgrades() uint64 { return s.upgrades }

// SkipEmptyLines returns how many bytes at the beginning of p are of empty lines before
// a request line, which a server ignores (RFC 9112, 2.2): Scan must not see them, and
// whoever reads the request neither. It returns 0 where no request begins.
func (s *Scanner) SkipEmptyLines(p []byte) (n int, fault *Fault) {
	if !s.Between() && (s.state != atPreface || s.matched > 0) {
		return 0, nil
	}
	for ; n < len(p); n++ {
		switch {
		case s.halfway && p[n] != '\n':
			return n, bad("a CR stands before the request line without its LF; expected a request line")
		case s.halfway:
			if s.empty++; s.empty > maxEmptyLines {
				return n, bad("more than %d empty lines stand before the request line", maxEmptyLines)
			}
			s.halfway = false
		case p[n] == '\r':
			s.halfway = true
			s.state = atRequestLine // of HTTP/1: a preface comes first or not at all
		default:
			return n, nil
		}
	}
	return n, nil
}

// Scan reads on. It returns how many bytes of p are sound. Without a fault these are
// all, up to the end of a request: what is behind it is to be scanned by itself. A
// fault of a head leaves out the whole head, as far as it is in p, and one of a body
// the line where it was found. After a fault the Scanner must not be used any more.
func (s *Scanner) Scan(p []byte) (sound int, fault *Fault) {
	for i := 0; i < len(p); {
		switch s.state {
		case passing:
			return len(p), nil
		case atPreface:
			n, fault := s.scanPreface(p[i:])
			if fault != nil {
				return 0, fault
			}
			i += n
		case inBody, inChunk:
			n := min(s.remain, int64(len(p)-i))
			i += int(n)
			if s.remain -= n; s.remain > 0 {
				break
			}
			if s.state == inChunk {
				s.state = afterChunk
			} else {
				s.end()
			}
		default:
			n, fault := s.scanLine(p[i:])
			if fault != nil {
				if !s.InHead() {
					return i, fault
				}
				s.glean(p[i+n:])
				return 0, fault
			}
			i += n
		}
		if i > 0 && s.Between() {
			return i, nil
		}
	}
	return len(p), nil
}

// scanPreface tells HTTP/2 from HTTP/1 by the first bytes.
func (s *Scanner) scanPreface(p []byte) (n int, fault *Fault) {
	for n < len(p) && p[n] == preface[s.matched] {
		n++
		if s.matched++; s.matched == len(preface) {
			s.state = passing
			return n, nil
		}
	}
	if n == len(p) {
		return n, nil
	}
	// It is HTTP/1, of which the preface's beginning is a part.
	matched := s.matched
	s.state, s.matched = atRequestLine, 0
	for i := 0; i < matched; {
		n, fault := s.scanLine([]byte(preface[i:matched]))
		if fault != nil {
			return 0, fault
		}
		i += n
	}
	return n, nil
}

// scanLine takes one line, or the beginning of one.
func (s *Scanner) scanLine(p []byte) (n int, fault *Fault) {
	limit, known := s.MaxHead, bytes.IndexByte(p, '\n')
	switch s.state {
	case atChunk, afterChunk:
		limit = maxChunkLine
	case atTrailer:
		limit = maxTrailer
	}
	n = known + 1
	if known < 0 {
		n = len(p)
	}
	if s.size += n; s.size > limit {
		return n, s.tooLarge(limit)
	}
	if known < 0 {
		s.keep(p)
		return n, nil
	}
	line := p[:known]
	if s.partial != nil {
		s.keep(line)
		line = *s.partial
		defer s.drop()
	}
	if len(line) == 0 || line[len(line)-1] != '\r' {
		return n, bad("a line ends with a bare LF; expected CR and LF")
	}
	return n, s.line(line[:len(line)-1])
}

func (s *Scanner) tooLarge(limit int) *Fault {
	switch s.state {
	case atChunk, afterChunk:
		return bad("the line of a chunk's size is longer than %d bytes", limit)
	case atTrailer:
		return bad("the trailers are larger than %d bytes", limit)
	}
	return &Fault{http.StatusRequestHeaderFieldsTooLarge, "the request line and the header fields are larger than " + kilobytes(limit)}
}

// line takes a whole line, without its end.
func (s *Scanner) line(line []byte) *Fault {
	switch s.state {
	case atRequestLine:
		s.head.begin()
		s.state, s.empty = atFields, 0
		return s.head.requestLine(line)
	case atFields:
		if len(line) == 0 {
			return s.endOfHead()
		}
		return s.head.field(line)
	case atChunk:
		return s.chunk(line)
	case afterChunk:
		if len(line) > 0 {
			return bad("a chunk is longer than its size says")
		}
		s.state, s.size = atChunk, 0
	case atTrailer:
		if len(line) == 0 {
			s.end()
			return nil
		}
		return trailerField(line)
	}
	return nil
}

// endOfHead decides where the body ends.
func (s *Scanner) endOfHead() *Fault {
	if fault := s.head.whole(); fault != nil {
		return fault
	}
	s.size, s.excess = 0, 0
	if s.head.upgrade {
		s.upgrades++
	}
	switch {
	case s.head.chunked:
		s.state = atChunk
	case s.head.length > 0:
		s.state, s.remain = inBody, s.head.length
	default:
		s.end()
	}
	return nil
}

// end is the end of a request.
func (s *Scanner) end() {
	s.state, s.size = atRequestLine, 0
}

// chunk reads the line that begins a chunk: its size, and extensions, of which only
// the characters are looked at. net/http takes no whitespace around the size.
func (s *Scanner) chunk(line []byte) *Fault {
	var size int64
	i := 0
	for ; i < len(line); i++ {
		digit := hexValue[line[i]]
		if digit < 0 {
			break
		}
		if size >= 1<<56 || i == 16 {
			return bad("the size of a chunk is %s, more than can be", quoted(line))
		}
		size = size<<4 | int64(digit)
	}
	if i == 0 || i < len(line) && line[i] != ';' {
		return bad("the size of a chunk is %s; expected hexadecimal digits", quoted(line))
	}
	if !validValue(line[i:]) {
		return bad("a chunk's extension has a control character")
	}
	// As net/http counts it: some framing is free, the more data the more.
	s.excess = max(0, s.excess+int64(len(line))+2-16-2*size)
	if s.excess > maxExcess {
		return bad("the chunks are more framing than data")
	}
	s.size, s.remain, s.state = 0, size, inChunk
	if size == 0 {
		s.state = atTrailer
	}
	return nil
}

var partials = sync.Pool{New: func() any { b := make([]byte, 0, 256); return &b }}

// keep keeps a part of a line until the rest comes.
func (s *Scanner) keep(p []byte) {
	if s.partial == nil {
		b, ok := partials.Get().(*[]byte)
		if !ok {
			b = new([]byte)
		}
		s.partial = b
	}
	*s.partial = append(*s.partial, p...)
}

// drop gives back what was kept.
func (s *Scanner) drop() {
	if cap(*s.partial) <= maxTrailer {
		*s.partial = (*s.partial)[:0]
		partials.Put(s.partial)
	}
	s.partial = nil
}

// Between reports whether nothing of the next request was read.
func (s *Scanner) Between() bool { return s.state == atRequestLine && s.size == 0 }
