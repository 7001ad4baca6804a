package transport

import (
	"sync/atomic"

	"golang.org/x/net/http2"
)

// table holds the streams of a connection and how many more the server takes.
// Conn.mu guards it; active and full can be read without.
type table struct {
	active atomic.Int32 // streams that are open or promised
	full   atomic.Bool  // there are as many as the server allows
	busy   atomic.Bool  // there are nearly as many

	onBusy func() // called when it is; nil for nothing

	streams  map[uint32]*Stream
	next     uint32          // number of a stream
	promised int             // streams that are kept for calls that waited
	asides   int             // streams that are no load
	load     int64           // what this connection adds to loads
	limit    uint32          // of the server
	allowed  atomic.Uint32   // limit, to be read without Conn.mu
	loads    []*atomic.Int64 // of several connections, this one's streams included
}

// add gives a stream its number. It reports whether that was the last one.
func (t *table) add(s *Stream) (last bool) {
	s.id = t.next
	t.next += 2
	t.streams[s.id] = s
	if s.aside {
		t.asides++
	}
	t.count()
	return t.next > lastStreamID
}

// has reports whether the stream has not ended.
func (t *table) has(s *Stream) bool { return t.streams[s.id] == s }

// find returns the stream of a number, nil for one that has ended, and an error for
// one that never was.
func (t *table) find(id uint32) (*Stream, error) {
	if s := t.streams[id]; s != nil {
		return s, nil
	}
	if id%2 == 0 || id >= t.next {
		return nil, http2.ConnectionError(http2.ErrCodeProtocol)
	}
	return nil, nil
}

// remove takes a stream off.
func (t *table) remove(s *Stream) {
	if s.aside && t.has(s) {
		t.asides--
	}
	delete(t.streams, s.id)
	t.count()
}

// takeAll takes all streams off. The connection is closed: what is active is of no
// interest any more.
func (t *table) takeAll() map[uint32]*Stream {
	all := t.streams
	t.streams = map[uint32]*Stream{}
	t.spread(-t.load)
	t.loads = nil
	return all
}

// after returns the streams with numbers above one.
func (t *table) after(id uint32) (unseen []*Stream) {
	for number, s := range t.streams {
		if number > id {
			unseen = append(unseen, s)
		}
	}
	return unseen
}

// promise keeps n streams more.
func (t *table) promise(n int) {
	t.promised += n
	t.count()
}

// allow has the server take so many streams.
func (t *table) allow(limit uint32) {
	t.limit = limit
	t.allowed.Store(limit)
	t.count()
}

// count keeps active and full up to date.
func (t *table) count() {
	active := len(t.streams) + t.promised
	load := int64(active - t.asides)
	t.spread(load - t.load)
	t.load = load
	t.active.Store(int32(active))
	if full := uint64(active) >= uint64(t.limit); full != t.full.Load() {
		t.full.Store(full)
	}
	if busy := Busy(active, t.limit); busy != t.busy.Load() {
		if t.busy.Store(busy); busy && t.onBusy != nil {
			t.onBusy()
		}
	}
}

// Busy reports whether so many streams are 80 % of those that a server allows.
func Busy(streams int, limit uint32) bool {
	return limit > 0 && uint64(streams)*5 >= uint64(limit)*4
}

// spread adds n streams to the loads that this connection is a part of.
func (t *table) spread(n int64) {
	for _, load := range t.loads {
		load.Add(n)
	}
}
