package unwell

import (
	"fmt"
	"strconv"
	"sync/atomic"
)

// Book counts how often each call arrives at any server. Calls are known by
// their keys, the numbers from 0 on.
type Book struct {
	counts   []atomic.Uint32
	arrivals atomic.Int64
}

// NewBook makes a book for a number of calls.
func NewBook(calls int) *Book { return &Book{counts: make([]atomic.Uint32, calls)} }

// Arrive counts a call and returns how often it has arrived by now.
func (b *Book) Arrive(key string) int {
	i, err := strconv.Atoi(key)
	if err != nil || i < 0 || i >= len(b.counts) {
		panic(fmt.Sprintf("a call arrived whose key %q is no number below %d", key, len(b.counts)))
	}
	b.arrivals.Add(1)
	return int(b.counts[i].Add(1))
}

// Arrivals is how many calls have arrived.
func (b *Book) Arrivals() int { return int(b.arrivals.Load()) }

// Of returns how often one call has arrived.
func (b *Book) Of(key int) int { return int(b.counts[key].Load()) }

// Twice is how many calls have arrived more than once, of those with keys from
// first up to end.
func (b *Book) Twice(first, end int) (n int) {
	for i := first; i < end; i++ {
		if b.counts[i].Load() > 1 {
			n++
		}
	}
	return n
}
