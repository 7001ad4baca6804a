package jsonwire

import (
	"fmt"
	"io"
	"math"
	"sync"
	"unicode/utf8"
)

const (
	// convertedAtOnce is the longest JSON, in bytes, that [Plan.Convert] makes as a
	// whole.
	convertedAtOnce = 256 << 10
	// pieceSize is how much of longer JSON is written at once.
	pieceSize = 64 << 10
	// longText is the longest string that is converted without a look at how much
	// JSON there is.
	longText = 16 << 10
	// tailSize is what stays of JSON that is handed on: the encoder looks at what it
	// wrote last.
	tailSize = 8
)

// TooLargeError says that a message has more JSON than Output.MaxBytes.
type TooLargeError struct {
	// Max is how many bytes it may have.
	Max int
}

// Error implements error.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the message is larger than %d bytes as JSON", e.Max)
}

func isTooLarge(err error) bool {
	_, ok := err.(*TooLargeError) //nolint:errorlint // our own errors are never wrapped
	return ok
}

// text is where an encoder's JSON goes. It all stays in the memory that it is
// appended to, unless something else is to be done with each piece of it.
type text struct {
	start int // where it begins in the memory
	room  int // the length of the memory from which on overflow is called
	gone  int // how many bytes of it are no longer in the memory
	max   int // how many bytes there may be
	to    io.Writer
}

// keepAll makes overflow an error: of what is appended to dst all stays there.
func (t *text) keepAll(dst []byte, most int) {
	if most <= 0 {
		most = math.MaxInt
	}
	t.start, t.gone, t.max, t.room = len(dst), 0, most, min(math.MaxInt-len(dst), most)+len(dst)
}

// pass makes overflow hand pieces of about so many bytes to w, or drop them where w
// is nil.
func (t *text) pass(dst []byte, most, piece int, w io.Writer) {
	t.keepAll(dst, most)
	t.to = w
	t.room = min(t.room, len(dst)+piece)
}

// overflow makes room where the encoder has written beyond it.
func (t *text) overflow(dst []byte) ([]byte, error) {
	if err := t.check(dst); err != nil {
		return dst, err
	}
	end := len(dst) - tailSize
	if end <= t.start {
		return dst, nil
	}
	if t.to != nil {
		if _, err := t.to.Write(dst[t.start:end]); err != nil {
			return dst, err
		}
	}
	t.gone += end - t.start
	return append(dst[:t.start], dst[end:]...), nil
}

// check holds the JSON to its bound.
func (t *text) check(dst []byte) error {
	if t.gone+len(dst)-t.start > t.max {
		return &TooLargeError{Max: t.max}
	}
	return nil
}

// AppendJSON appends the message in wire format as JSON. On an error, of type
// *[Error] or *[TooLargeError], it returns dst as it was.
func (p *Plan) AppendJSON(dst, wire []byte, o Output) ([]byte, error) {
	return newEncoder(p.plans, wire, o).whole(dst, p)
}

// Convert is AppendJSON for a message of any length. JSON of more than 256 KiB is
// not made as a whole: the result is dst as it was and the JSON as a [Long], which
// knows its length and is made once more while it is written. Wire must stay as it
// is until then. An Any that the output says to take leniently is for short JSON.
func (p *Plan) Convert(dst, wire []byte, o Output) ([]byte, *Long, error) {
	return newEncoder(p.plans, wire, o).measured(dst, p)
}

// Check reports whether wire is the message in wire format, and what is wrong where
// it is not. What an Any holds is not looked at.
func (p *Plan) Check(wire []byte) error {
	e := newEncoder(p.plans, wire, Output{OmitDefaults: true, LenientAny: true, OpaqueAny: true})
	b := takePiece()
	e.pass(nil, 0, pieceSize, nil)
	out, err := e.top((*b)[:0], p)
	if err != nil {
		out, err = e.again(out[:0], p, err)
	}
	freePiece(b, out)
	e.free()
	return err
}

// whole frees the encoder when it is done.
func (e *encoder) whole(dst []byte, p *Plan) ([]byte, error) {
	e.keepAll(dst, e.MaxBytes)
	out, err := e.top(dst, p)
	if err != nil {
		out, err = e.again(out[:len(dst)], p, err) // in the memory there is by now
	}
	if err == nil && len(out) > e.room {
		err = e.check(out)
	}
	e.free()
	if err != nil {
		return dst, err
	}
	return out, nil
}

// measured frees the encoder when it is done.
func (e *encoder) measured(dst []byte, p *Plan) ([]byte, *Long, error) {
	if e.LenientAny {
		out, err := e.whole(dst, p)
		return out, nil, err
	}
	e.pass(dst, e.MaxBytes, convertedAtOnce, nil)
	out, err := e.top(dst, p)
	if err != nil {
		out, err = e.again(out[:len(dst)], p, err) // in the memory there is by now
	}
	if err == nil {
		err = e.check(out)
	}
	var long *Long
	if err == nil && e.gone > 0 {
		long = &Long{
			plan: p, field: e.field, wire: e.wire, output: e.Output, exact: e.exact, early: e.early,
			size: e.gone + len(out) - e.start,
		}
		out = dst // what it grew to is not held while the JSON is written
	}
	e.free()
	if err != nil {
		return dst, nil, err
	}
	return out, long, nil
}

// Long is JSON that is made while it is written.
type Long struct {
	plan   *Plan
	field  *Field
	wire   []byte
	output Output
	exact  bool
	early  int
	size   int
}

// Len returns how many bytes WriteTo writes.
func (l *Long) Len() int { return l.size }

// WriteTo implements io.WriterTo. It holds no more than a piece of the JSON.
func (l *Long) WriteTo(w io.Writer) (int64, error) {
	e := newEncoder(l.plan.plans, l.wire, l.output)
	e.field, e.exact, e.early = l.field, l.exact, l.early
	b := takePiece()
	e.pass(nil, 0, pieceSize, w)
	out, err := e.top((*b)[:0], l.plan)
	written := int64(e.gone)
	if err == nil {
		var n int
		n, err = w.Write(out)
		written += int64(n)
	}
	freePiece(b, out)
	e.free()
	return written, err
}

var pieces = sync.Pool{New: func() any {
	b := make([]byte, 0, pieceSize+longText)
	return &b
}}

func takePiece() *[]byte {
	b, ok := pieces.Get().(*[]byte)
	if !ok {
		panic("jsonwire: the pool of pieces holds something else") // its New is above
	}
	return b
}

// freePiece gives a piece back that was appended to, unless it has grown large.
func freePiece(b *[]byte, out []byte) {
	if *b = out[:0]; cap(out) <= 4*pieceSize {
		pieces.Put(b)
	}
}

// again converts what the fast way failed on: with the fields that are not set at
// the end, and then the exact way. An error of the fast way counts only where the
// exact way has one too: what is wrong may be a value that a later one replaces.
func (e *encoder) again(dst []byte, p *Plan, fast error) ([]byte, error) {
	if fast == errAgain && e.unset != unsetOmitted {
		e.restart()
		e.early = unsetOmitted
		var out []byte
		if out, fast = e.top(dst, p); fast == nil {
			return out, nil
		}
		dst = out[:len(dst)]
	}
	if isTooLarge(fast) {
		return dst, fast
	}
	e.restart()
	e.exact, e.early = true, e.unset
	out := dst
	normal, err := normalise(p, e.wire)
	if err == nil {
		e.wire = normal
		out, err = e.top(dst, p)
	}
	if err != nil && fast != errAgain && !isTooLarge(err) {
		err = fast
	}
	return out, err
}

// restart forgets what was written.
func (e *encoder) restart() {
	e.depth, e.partial, e.scanned, e.gone = 0, false, 0, 0
	e.sets.open, e.words = 0, e.words[:0]
}

// top appends the whole message, or the one field that is asked for.
func (e *encoder) top(dst []byte, p *Plan) ([]byte, error) {
	if e.field == nil {
		return e.message(dst, p, e.wire)
	}
	out, _, err := e.fields(dst, p, e.wire, 0)
	switch {
	case err != nil:
		return out, err
	case e.gone == 0 && len(out) == len(dst):
		return e.field.appendUnset(dst, e.Output), nil
	}
	return out[:len(out)-1], nil // without the comma
}

// longText appends a long string, without quotes.
func (e *encoder) longText(dst, s []byte) ([]byte, error) {
	for rest := s; len(rest) > 0; {
		n := min(len(rest), longText)
		for i := 0; n < len(rest) && i < utf8.UTFMax && !utf8.RuneStart(rest[n]); i++ {
			n-- // between characters
		}
		var ok bool
		if dst, ok = appendText(dst, rest[:n]); !ok {
			return dst, e.notUTF8(s)
		}
		if rest = rest[n:]; len(dst) > e.room {
			var err error
			if dst, err = e.overflow(dst); err != nil {
				return dst, err
			}
		}
	}
	return dst, nil
}

// base64 appends bytes in base64.
func (e *encoder) base64(dst, s []byte) ([]byte, error) {
	const most = longText / 3 * 3 // so that there is padding at the end alone
	for ; len(s) > most; s = s[most:] {
		dst = appendBase64(dst, s[:most])
		if len(dst) > e.room {
			var err error
			if dst, err = e.overflow(dst); err != nil {
				return dst, err
			}
		}
	}
	return appendBase64(dst, s), nil
}
