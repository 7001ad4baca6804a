package policy

import (
	"errors"
	"io"
	"log/slog"
	"testing"
)

func TestStateCountsItsUsers(t *testing.T) {
	s := NewState(StateOptions{Log: slog.New(slog.DiscardHandler)})
	type key struct{ name string }
	thing, opened := &closer{}, 0
	open := func() (io.Closer, error) { opened++; return thing, nil }
	one, err := s.acquire(key{"a"}, open)
	if err != nil {
		t.Fatal(err)
	}
	two, err := s.acquire(key{"a"}, open)
	if err != nil || one != two || opened != 1 {
		t.Fatalf("the second user got another thing (opened %d times, %v)", opened, err)
	}
	s.release(key{"a"})
	if thing.closed != 0 {
		t.Error("closed while in use")
	}
	s.release(key{"a"})
	if thing.closed != 1 {
		t.Errorf("closed %d times, want once", thing.closed)
	}
	failing := errors.New("no")
	if _, err := s.acquire(key{"b"}, func() (io.Closer, error) { return nil, failing }); !errors.Is(err, failing) {
		t.Errorf("got %v", err)
	}
	left := &closer{err: failing}
	if _, err := s.acquire(key{"c"}, func() (io.Closer, error) { return left, nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); !errors.Is(err, failing) || left.closed != 1 {
		t.Errorf("Close: %v, closed %d times", err, left.closed)
	}
	if _, err := s.acquire(key{"a"}, open); err == nil {
		t.Error("a closed state gives things out")
	}
}

// closer counts how often it is closed.
type closer struct {
	closed int
	err    error
}

func (c *closer) Close() error { c.closed++; return c.err }
