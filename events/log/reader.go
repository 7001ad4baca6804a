package log

import (
	"context"
	"errors"
	"sort"
	"sync/atomic"
)

// Reader reads records in the order of their offsets, also while others are appended. It
// has buffers of its own and keeps nobody from writing. One goroutine at a time may use it.
type Reader struct {
	l       *Log
	next    uint64
	segment *segment // nil before the first read and behind the last record of one
	scanner *scanner
	body    int  // of the record that was returned last
	held    bool // whether that is still to be passed
	closed  atomic.Bool
}

// Reader returns one that begins with the record of an offset, or the first one after it
// that is kept.
func (l *Log) Reader(from uint64) *Reader { return &Reader{l: l, next: from} }

// Next waits for the next record and returns it. Its body is valid until the next call.
// Offsets that it passes over are those of records that were dropped or damaged. It
// returns ErrClosed when the log is closed and everything was read, and the error of ctx.
// Any other error is one of opening a file; it can be called again.
func (r *Reader) Next(ctx context.Context) (Record, error) {
	if r.held {
		r.scanner.advance(r.body)
		r.held, r.next = false, r.scanner.next
	}
	for {
		if r.closed.Load() {
			return Record{}, ErrClosed
		}
		grown, limit, err := r.place()
		if absent(err) {
			r.next = max(r.next, limit) // it was dropped meanwhile, or somebody removed it
			continue
		}
		if err != nil {
			return Record{}, err
		}
		if grown == nil {
			if body, ok := r.read(limit); ok {
				r.body, r.held = len(body), true
				return Record{r.next, body}, nil
			}
			continue
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return Record{}, ctx.Err()
		}
	}
}

// Close frees what the reader holds.
func (r *Reader) Close() error {
	if r.closed.Swap(true) {
		return nil
	}
	return r.release()
}

func (r *Reader) release() error {
	if r.segment == nil {
		return nil
	}
	err := r.scanner.f.Close()
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	r.segment.readers--
	r.segment = nil
	return err
}

// place sees to the segment of the next record, and returns the offset where that one
// ends. If there is no such record yet, it returns a channel to wait for.
func (r *Reader) place() (grown <-chan struct{}, limit uint64, err error) {
	s, end, limit, grown, err := r.find()
	if s == nil {
		return grown, 0, err
	}
	if s != r.segment {
		if err := r.open(s); err != nil {
			return nil, limit, err
		}
	}
	r.scanner.end = end
	return nil, limit, nil
}

// find returns the segment of the next record, where its durable records end, and the
// offset behind it. It holds the segment for the reader if that has another one.
func (r *Reader) find() (s *segment, end int64, limit uint64, grown <-chan struct{}, err error) {
	l := r.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.next >= l.next {
		select {
		case <-l.done:
			return nil, 0, 0, nil, ErrClosed
		default:
			return nil, 0, 0, l.grown, nil
		}
	}
	i := sort.Search(len(l.segments), func(i int) bool { return l.segments[i].first > r.next }) - 1
	if i < 0 { // the records in between were dropped
		i = 0
		if len(l.segments) == 0 || l.segments[0].first >= l.next {
			r.next = l.next
			return nil, 0, 0, l.grown, nil
		}
		r.next = l.segments[0].first
	}
	s, limit = l.segments[i], l.next
	end = s.end
	if i+1 < len(l.segments) {
		limit = l.segments[i+1].first
	}
	if s != r.segment {
		s.readers++
	}
	return s, end, limit, nil, nil
}

// open begins with another segment, which find holds.
func (r *Reader) open(s *segment) error {
	err := r.release()
	f, openErr := r.l.fs.Open(r.l.path(s.name), false)
	if openErr != nil {
		r.l.mu.Lock()
		defer r.l.mu.Unlock()
		s.readers--
		return errors.Join(err, openErr)
	}
	r.segment, r.scanner = s, s.scan(f, 0)
	return err
}

// read returns the record at the reader's offset. Otherwise the reader has another
// offset afterwards, that of the next record that is whole.
func (r *Reader) read(limit uint64) ([]byte, bool) {
	for {
		body, ok := r.scanner.record()
		switch {
		case !ok:
			r.skip(limit)
			return nil, false
		case r.scanner.next >= r.next:
			return body, true
		}
		r.scanner.advance(len(body)) // it begins in the middle of a segment
	}
}

func (r *Reader) skip(limit uint64) {
	sc := r.scanner
	lost := damage{from: sc.pos, first: sc.next}
	if found, _ := sc.skip(limit); !found {
		lost.to, sc.next = sc.end, limit
	} else {
		lost.to = sc.pos
	}
	lost.next = sc.next
	r.next = max(r.next, sc.next)
	r.l.aside.keep(sc.f, r.segment, lost)
}
