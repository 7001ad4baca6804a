package security

import "testing"

// TestEarlyTickets: Traffic 189: a ticket is good for early data once, for as long as it is known whether it
// was, and at the process that issued it.
func TestEarlyTickets(t *testing.T) {
	e, err := newEarly()
	if err != nil {
		t.Fatal(err)
	}
	other, err := newEarly()
	if err != nil {
		t.Fatal(err)
	}
	oldest := e.issue()
	take := func(what string, want bool, said ...[]byte) {
		t.Helper()
		if got := e.take(said); got != want {
			t.Errorf("%s: %v", what, got)
		}
	}
	first, second := e.issue(), e.issue()
	take("nothing", false)
	take("something else", false, []byte("quic-go"), nil)
	take("a ticket", true, []byte("quic-go"), first)
	take("the same", false, first)
	take("the next", true, second)
	take("another process's", false, other.issue())
	take("one that was not issued", false, append(e.origin[:len(e.origin):len(e.origin)], 0, 0, 0, 0, 0, 0, 1, 0))
	take("none", false, append(e.origin[:len(e.origin):len(e.origin)], 0, 0, 0, 0, 0, 0, 0, 0))
	take("a part", false, first[:len(first)-1])
	for range ticketsKnown {
		last := e.issue()
		take("a new one in an old one's place", true, last)
		take("the same", false, last)
	}
	take("one that is too old", false, oldest)
	take("a used one that is too old", false, first)
}
