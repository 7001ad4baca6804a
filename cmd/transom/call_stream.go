package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
)

// contentTypeStream is how `transom call` speaks with methods that stream: by Connect,
// which gives unary calls and streams one form of messages and errors.
const contentTypeStream = "application/connect+json"

// Each message of a Connect stream stands behind a byte of flags and four bytes of length.
const (
	envelopeHead = 5
	flagEnd      = 2 // the last one, which is no message
)

// envelopes reads JSON values, one after the other or the elements of one array, and
// is read as the messages of a Connect stream.
type envelopes struct {
	in     io.Reader
	values *json.Decoder // nil before the first value
	one    bool          // no value at all stands for one without fields
	array  bool
	unread []byte // of the message that was last made
	err    error  // what comes behind it
}

// Read implements io.Reader.
func (e *envelopes) Read(p []byte) (int, error) {
	if len(e.unread) == 0 {
		if e.err != nil {
			return 0, e.err
		}
		if e.err = e.next(); len(e.unread) == 0 {
			return 0, e.err
		}
	}
	n := copy(p, e.unread)
	e.unread = e.unread[n:]
	return n, nil
}

// next makes a message of the next value. What is no JSON goes to the gateway, which
// says what is wrong with it.
func (e *envelopes) next() error {
	value, err := e.value()
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF):
		if !e.one {
			return err
		}
		value = json.RawMessage("{}")
	case errors.As(err, &syntax), errors.Is(err, io.ErrUnexpectedEOF):
		rest, _ := io.ReadAll(e.values.Buffered()) // reading a buffer never fails
		value, err = rest, io.EOF
	case err != nil:
		return err
	}
	e.one = false
	e.unread = append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(value))), value...) //nolint:gosec // a value of more than 4 GiB is refused as invalid
	return err
}

// value reads the next value; io.EOF is behind the last.
func (e *envelopes) value() (json.RawMessage, error) {
	if e.values == nil {
		if err := e.begin(); err != nil {
			return nil, err
		}
	}
	if e.array && !e.values.More() {
		_, err := e.values.Token()
		switch {
		case errors.Is(err, io.EOF):
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		}
		e.array = false
	}
	var value json.RawMessage
	err := e.values.Decode(&value)
	return value, err
}

// begin looks at the first byte that is no white space: it tells whether an array comes.
func (e *envelopes) begin() error {
	var first [1]byte
	for {
		if _, err := io.ReadFull(e.in, first[:]); err != nil {
			return err
		}
		if bytes.IndexByte([]byte(" \t\r\n"), first[0]) < 0 {
			break
		}
	}
	e.values = json.NewDecoder(io.MultiReader(bytes.NewReader(first[:]), e.in))
	if e.array = first[0] == '['; !e.array {
		return nil
	}
	_, err := e.values.Token()
	return err
}

// takeEnvelopes prints the messages of a Connect stream, and keeps the error of its end.
func (t *terminal) takeEnvelopes(p []byte) error {
	t.pending = append(t.pending, p...)
	for len(t.pending) >= envelopeHead {
		rest, length := t.pending[envelopeHead:], binary.BigEndian.Uint32(t.pending[1:])
		if uint64(len(rest)) < uint64(length) {
			return nil
		}
		message, flags := rest[:length], t.pending[0]
		if flags&flagEnd != 0 {
			t.takeEnd(message)
			return nil
		}
		if err := t.print(append(bytes.Clone(message), '\n')); err != nil {
			return err
		}
		t.pending = append(t.pending[:0], rest[length:]...)
	}
	return nil
}

// takeEnd keeps the error of the end; an end that is none is as if it did not come.
func (t *terminal) takeEnd(message []byte) {
	var end struct {
		Error json.RawMessage `json:"error"`
	}
	t.ended = json.Unmarshal(message, &end) == nil
	_, _ = t.failed.Write(end.Error) // it never fails
}
