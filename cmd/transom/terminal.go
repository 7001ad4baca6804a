package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"time"
)

// contentTypeEvents is how `transom call` asks for streams: of the forms they
// have, this one tells an error that comes after messages from a message.
const contentTypeEvents = "text/event-stream"

// terminal is an http.ResponseWriter that prints the answer, the messages of a
// stream one a line.
type terminal struct {
	out     io.Writer
	header  http.Header
	status  int
	failed  bytes.Buffer // the body of an error
	last    byte
	unblock func() error

	events bool   // the answer is a stream of events
	line   []byte // of them, as far as it has come
	event  string // the name of the one that comes, "" for a message
	broken bool   // the answer broke off
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
		t.events = t.header.Get("Content-Type") == contentTypeEvents
	}
}

// Write implements http.ResponseWriter.
func (t *terminal) Write(p []byte) (int, error) {
	t.WriteHeader(http.StatusOK)
	switch {
	case t.status >= http.StatusBadRequest:
		return t.failed.Write(p)
	case t.events:
		return len(p), t.takeEvents(p)
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

// takeEvents prints the data of messages and keeps that of an error.
func (t *terminal) takeEvents(p []byte) error {
	for len(p) > 0 {
		line, rest, whole := bytes.Cut(p, []byte{'\n'})
		t.line, p = append(t.line, line...), rest
		if !whole {
			return nil
		}
		err := t.takeLine(t.line)
		if t.line = t.line[:0]; err != nil {
			return err
		}
	}
	return nil
}

func (t *terminal) takeLine(line []byte) error {
	if name, ok := bytes.CutPrefix(line, []byte("event: ")); ok {
		t.event = string(name)
		return nil
	}
	data, ok := bytes.CutPrefix(line, []byte("data: "))
	switch {
	case !ok: // an id, a heartbeat, the end of an event
		if len(line) == 0 {
			t.event = ""
		}
	case t.event == "":
		return t.print(append(data, '\n')) // in place of the line's own end
	case t.event == "error":
		_, _ = t.failed.Write(data) // it never fails
	}
	return nil
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
	case t.broken:
		return errors.New("the answer broke off: the call failed after a part of it")
	}
	return nil
}
