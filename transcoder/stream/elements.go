package stream

import (
	"errors"
	"io"

	"github.com/transom-gateway/transom/transcoder/exchange"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// elements splits the body of a client stream into JSON values: one a line,
// one after the other, or the elements of one array, told apart by the first
// byte (Semantics 36). It finds where values end; whether they are valid is for
// their decoder to say.
type elements struct {
	r   io.Reader
	max int64

	buf        []byte
	start, end int   // the unread part of buf
	err        error // what r ended with
	array      bool  // inside an array
	begun      bool
	done       bool // behind the array
	count      int
}

const elementsBuffer = 4 << 10

func newElements(r io.Reader, maxBytes int64) *elements {
	return &elements{r: r, max: maxBytes, buf: make([]byte, elementsBuffer)}
}

// next returns the next value, valid until the next call; io.EOF is the end.
func (e *elements) next() ([]byte, error) {
	c, err := e.peek()
	if err == nil && !e.begun {
		e.begun = true
		if c == '[' {
			e.array = true
			e.start++
			c, err = e.peek()
			if err == nil && c == ']' {
				e.closeArray()
				c, err = e.peek()
			}
		}
	} else if err == nil && e.array {
		if c, err = e.separator(c); err == io.EOF {
			return nil, e.atEnd()
		}
	}
	switch {
	case err == io.EOF:
		return nil, e.atEnd()
	case err != nil:
		return nil, err
	case e.done:
		return nil, rpcerror.BadRequest("element %d: the body goes on after the array", e.count)
	}
	value, err := e.value(c)
	if err == nil {
		e.count++
	}
	return value, err
}

func (e *elements) closeArray() {
	e.start++
	e.array, e.done = false, true
}

// separator takes the comma or the bracket behind an element.
func (e *elements) separator(c byte) (byte, error) {
	switch c {
	case ']':
		e.closeArray()
	case ',':
		e.start++
		next, err := e.peek()
		if err == nil && next == ']' {
			return 0, rpcerror.BadRequest("element %d: found ], expected a value after the comma", e.count)
		}
		return next, err
	default:
		return 0, rpcerror.BadRequest("element %d: found %q, expected a comma or ] after the element before", e.count, rune(c))
	}
	return e.peek()
}

// atEnd is the error of a body that is over.
func (e *elements) atEnd() error {
	if e.array {
		return rpcerror.BadRequest("element %d: the body ended inside the array", e.count)
	}
	return io.EOF
}

// peek skips white space and returns the next byte.
func (e *elements) peek() (byte, error) {
	for {
		for e.start < e.end {
			switch c := e.buf[e.start]; c {
			case ' ', '\t', '\r', '\n':
				e.start++
			default:
				return c, nil
			}
		}
		if err := e.fill(); err != nil {
			return 0, err
		}
	}
}

// fill reads more behind the unread part; the error is r's.
func (e *elements) fill() error {
	if e.err != nil {
		return e.err
	}
	if e.start > 0 {
		e.end = copy(e.buf, e.buf[e.start:e.end])
		e.start = 0
	}
	if e.end == len(e.buf) {
		if int64(e.end) >= e.max {
			return e.tooLarge()
		}
		bigger := make([]byte, min(int64(len(e.buf))*2, e.max+1))
		copy(bigger, e.buf)
		e.buf = bigger
	}
	n, err := e.r.Read(e.buf[e.end:])
	e.end += n
	if err != nil {
		e.err = err
	}
	if n > 0 {
		return nil
	}
	return e.err
}

func (e *elements) tooLarge() error {
	err := exchange.TooLarge(e.max)
	var status *rpcerror.StatusError
	if errors.As(err, &status) {
		return rpcerror.New(status.HTTP, status.Status.Code(), "element %d: the message is larger than %d bytes", e.count, e.max)
	}
	return err
}

// value returns the value that begins with c at the front of the unread part.
func (e *elements) value(c byte) ([]byte, error) {
	scan := valueScan{}
	if c != '{' && c != '[' && c != '"' {
		scan.bare = true
	}
	for at := 0; ; {
		for ; e.start+at < e.end; at++ {
			if int64(at) >= e.max {
				return nil, e.tooLarge()
			}
			ended, included := scan.step(e.buf[e.start+at])
			if !ended {
				continue
			}
			if included {
				at++
			}
			if at == 0 {
				return nil, rpcerror.BadRequest("element %d: found %q, expected a value", e.count, rune(c))
			}
			return e.take(at), nil
		}
		err := e.fill()
		if err == io.EOF && scan.bare {
			return e.take(at), nil
		}
		if err == io.EOF {
			return nil, rpcerror.BadRequest("element %d: the body ended inside the value", e.count)
		}
		if err != nil {
			return nil, err
		}
	}
}

func (e *elements) take(n int) []byte {
	value := e.buf[e.start : e.start+n]
	e.start += n
	return value
}

// valueScan finds the end of one JSON value.
type valueScan struct {
	depth            int
	inString, escape bool
	bare             bool // a number, true, false, null
}

// step takes one byte; ended tells that the value is over, included whether the
// byte still belongs to it.
func (s *valueScan) step(c byte) (ended, included bool) {
	switch {
	case s.escape:
		s.escape = false
	case s.inString:
		switch c {
		case '\\':
			s.escape = true
		case '"':
			s.inString = false
			return s.depth == 0, true
		}
	case s.bare:
		switch c {
		case ' ', '\t', '\r', '\n', ',', ']', '}', '{', '[', '"':
			return true, false
		}
	case c == '"':
		s.inString = true
	case c == '{' || c == '[':
		s.depth++
	case c == '}' || c == ']':
		s.depth--
		return s.depth <= 0, true
	}
	return false, false
}
