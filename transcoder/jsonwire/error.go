package jsonwire

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/transom-gateway/transom/internal/problem"
)

// Error says what is wrong with an input and where.
type Error struct {
	// Path leads to the value: JSON names as the client wrote them for JSON input
	// (shelf.books[3].price, labels["a"]), proto names for wire input. Empty for
	// the whole message.
	Path string
	// Offset is the byte of the input at which the problem was found; -1 where
	// no single byte is to blame.
	Offset int
	// Reason says what was found and what was expected.
	Reason string
}

// Error implements error.
func (e *Error) Error() string {
	s := e.Reason
	if e.Path != "" {
		s = e.Path + ": " + s
	}
	if e.Offset >= 0 {
		s += " (at byte " + strconv.Itoa(e.Offset) + ")"
	}
	return s
}

// errAgain says that the wire data is not what serialisers write: it must be
// normalised and converted again.
var errAgain = errors.New("jsonwire: wire data needs the exact way")

func newError(offset int, format string, args ...any) *Error {
	return &Error{Offset: offset, Reason: fmt.Sprintf(format, args...)}
}

// maxPath bounds the path of an error in hostile, deeply nested input.
const maxPath = 512

// below puts a name before the path of an error on its way up.
func below(err error, name string) error {
	e, ok := err.(*Error) //nolint:errorlint // our own errors are never wrapped
	if !ok || len(e.Path) > maxPath {
		return err
	}
	switch {
	case e.Path == "":
		e.Path = name
	case e.Path[0] == '[':
		e.Path = name + e.Path
	default:
		e.Path = name + "." + e.Path
	}
	return err
}

// below is the package's below for an error in the value of the field. Of a
// value that is nobody's business it tells the place alone: neither what was
// found nor the names and keys within.
func (f *fieldPlan) below(err error, name string) error {
	if f.hidden {
		err = hide(err)
	}
	return below(err, name)
}

// hide takes out of an error what it repeats of its input.
func hide(err error) error {
	if e, ok := err.(*Error); ok { //nolint:errorlint // our own errors are never wrapped
		e.Path, e.Reason = "", "the value is not valid"
	}
	return err
}

// belowIndex is below for an element of a list.
func belowIndex(err error, i int) error {
	return below(err, "["+strconv.Itoa(i)+"]")
}

// belowKey is below for an entry of a map.
func belowKey(err error, key string) error {
	return below(err, "["+strconv.Quote(clip(key))+"]")
}

// clip bounds what an error repeats of its input.
func clip(s string) string { return problem.Clip(s, 64) }
