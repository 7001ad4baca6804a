package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"time"
)

// terminal is an http.ResponseWriter that prints the answer, the messages of a
// stream one a line.
type terminal struct {
	out     io.Writer
	header  http.Header
	status  int
	failed  bytes.Buffer // the body of an error
	last    byte
	unblock func() error

	stream  bool   // the answer is a Connect stream
	pending []byte // the part of its next message that has come
	ended   bool   // its end has come
	broken  bool   // the answer broke off
}

// serve has the call answered here.
func (t *terminal) serve(h http.Handler, r *http.Request) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			t.broken = true
		default:
			panic(p)
		}
	}()
	h.ServeHTTP(t, r)
}

// Header implements http.ResponseWriter.
func (t *terminal) Header() http.Header { return t.header }

// WriteHeader implements http.ResponseWriter.
func (t *terminal) WriteHeader(status int) {
	if t.status == 0 {
		t.status = status
		t.stream = t.header.Get("Content-Type") == contentTypeStream
	}
}

// Write implements http.ResponseWriter.
func (t *terminal) Write(p []byte) (int, error) {
	t.WriteHeader(http.StatusOK)
	switch {
	case t.status >= http.StatusBadRequest:
		return t.failed.Write(p)
	case t.stream:
		return len(p), t.takeEnvelopes(p)
	}
	return len(p), t.print(p)
}

func (t *terminal) print(p []byte) error {
	if len(p) > 0 {
		t.last = p[len(p)-1]
	}
	_, err := t.out.Write(p)
	return err
}

// Flush implements http.Flusher; nothing is held back.
func (t *terminal) Flush() {}

// SetReadDeadline is how http.ResponseController ends a read of the request.
func (t *terminal) SetReadDeadline(time.Time) error { return t.unblock() }

// finish ends the line and returns the error of the call.
func (t *terminal) finish() error {
	if t.last != '\n' && t.last != 0 {
		if _, err := io.WriteString(t.out, "\n"); err != nil {
			return err
		}
	}
	switch {
	case t.failed.Len() > 0 || t.status >= http.StatusBadRequest:
		return errors.New(t.failed.String())
	case t.broken, t.stream && !t.ended:
		return errors.New("the answer broke off: the call failed after a part of it")
	}
	return nil
}
