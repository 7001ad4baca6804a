package counted_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/transom-gateway/transom/internal/counted"
)

// thing is a value that knows whether it has been ended.
type thing struct{ ended int }

func (s *thing) end() error {
	s.ended++
	return nil
}

func open() (*thing, error) { return new(thing), nil }

// get is Get, which must succeed.
func get(t *testing.T, p *counted.Pool[string, *thing], key string) *thing {
	t.Helper()
	got, err := p.Get(key, open)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestPoolEndsWithTheLastUser(t *testing.T) {
	p := counted.NewPool[string]((*thing).end)
	first, second, other := get(t, p, "a"), get(t, p, "a"), get(t, p, "b")
	if first != second || first == other || p.Len() != 2 {
		t.Fatalf("one key gives %p and %p, another %p; %d are kept", first, second, other, p.Len())
	}
	_ = p.Release("a")
	if first.ended != 0 {
		t.Error("ended while it is used")
	}
	_ = p.Release("a")
	if first.ended != 1 || other.ended != 0 || p.Len() != 1 {
		t.Errorf("ended %d times, the other %d times; %d are kept", first.ended, other.ended, p.Len())
	}
	if again := get(t, p, "a"); again == first {
		t.Error("what has ended is given out again")
	}
}

func TestPoolKeepsNothingThatFailed(t *testing.T) {
	p := counted.NewPool[string]((*thing).end)
	failure := errors.New("no")
	if _, err := p.Get("a", func() (*thing, error) { return nil, failure }); !errors.Is(err, failure) || p.Len() != 0 {
		t.Errorf("got %v, %d are kept", err, p.Len())
	}
	get(t, p, "a")
}

func TestPoolClose(t *testing.T) {
	failure := errors.New("no")
	p := counted.NewPool[string](func(s *thing) error { return errors.Join(s.end(), failure) })
	a, b := get(t, p, "a"), get(t, p, "b")
	if err := p.Close(); !errors.Is(err, failure) {
		t.Errorf("got %v, want the error of ending", err)
	}
	if err := p.Release("a"); err != nil || a.ended != 1 || b.ended != 1 {
		t.Errorf("released late: %v; ended %d and %d times", err, a.ended, b.ended)
	}
	if _, err := p.Get("a", open); !errors.Is(err, counted.ErrClosed) {
		t.Errorf("got %v after Close", err)
	}
}

func TestPoolOfManyUsers(t *testing.T) {
	p := counted.NewPool[string]((*thing).end)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				got, err := p.Get("a", open)
				if err != nil || got.ended != 0 {
					t.Errorf("got %v, %v", got, err)
				}
				_ = p.Release("a")
			}
		})
	}
	all.Wait()
	if p.Len() != 0 {
		t.Errorf("%d are kept", p.Len())
	}
}
