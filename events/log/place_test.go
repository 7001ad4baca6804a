package log

import (
	"fmt"
	"testing"
)

// TestPlaceAndSeek: Events 173 and 174: a reader that comes begins where it is told, one that is
// there goes on where it is told, and both are kept.
func TestPlaceAndSeek(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if _, err := l.Append(t.Context(), fmt.Appendf(nil, "record %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	next := func(want string) {
		t.Helper()
		s, err := l.Sink("sub-a")
		if err != nil {
			t.Fatal(err)
		}
		record, err := s.Next(t.Context())
		if err != nil || string(record.Body) != want {
			t.Errorf("it begins with %q, %v, want %s", record.Body, err, want)
		}
		s.Ack(record.Offset)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	first := l.Stats().First
	if made, err := l.Place("sub-a", 0); !made || err != nil {
		t.Fatal(made, err)
	}
	next("record 0")
	if made, err := l.Place("sub-a", first+3); made || err != nil {
		t.Error("its place was made twice", err)
	}
	next("record 1")
	if at, err := l.Seek("sub-a", first+4); err != nil || at != first+4 {
		t.Error(at, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = Open(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	next("record 4")
	if at, err := l.Seek("sub-a", first); err != nil || at != first {
		t.Error(at, err)
	}
	next("record 0")
	if at, err := l.Seek("sub-a", 1<<40); err != nil || at != l.Stats().Next {
		t.Error(at, err)
	}
	if _, err := l.Seek("sub-b", 0); err == nil {
		t.Error("a sink was moved that is not there")
	}
}
