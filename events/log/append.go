package log

import (
	"context"
	"fmt"
)

// How much one batch takes, which is how much waits while another is written.
const (
	maxBatchBytes   = 4 * mebibyte
	maxBatchRecords = 8192
)

// batch are records that are written together.
type batch struct {
	records []byte // reserved
	n       int
	full    chan struct{} // closed when the next batch is filled; nil unless somebody waits for it

	done chan struct{} // closed when the rest is set
	// The records from first on are durable, good of them; the others failed with err.
	first uint64
	good  int
	err   error
}

func newBatch(buffer []byte) *batch {
	return &batch{records: buffer[:0], done: make(chan struct{})}
}

// Append makes a record durable and returns its offset. It waits while others are
// written, and for room in the queue. All that wait at a time are written and synced
// together.
//
// If ctx ends before, its error is returned; the record may be written all the same. No
// other error leaves that open, but for a failed disk: a record that could not be synced
// may be found when the log is opened anew. Body may be changed when Append has returned.
func (l *Log) Append(ctx context.Context, body []byte) (offset uint64, err error) {
	if err := l.checkSize(body); err != nil {
		return 0, err
	}
	b, index, _, err := l.enqueue(ctx, [][]byte{body})
	if err != nil {
		return 0, err
	}
	select {
	case <-b.done:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if index >= b.good {
		return 0, b.err
	}
	return b.first + uint64(index), nil //nolint:gosec // it is not negative
}

// AppendAll appends records as Append does, in their order, and returns how many of them are
// durable, counted from the first. None is written behind one that is not: what has no room in
// one batch waits until that batch is durable. Others' records may stand between them.
func (l *Log) AppendAll(ctx context.Context, bodies [][]byte) (n int, err error) {
	for i, body := range bodies {
		if err = l.checkSize(body); err != nil {
			bodies = bodies[:i]
			break
		}
	}
	for n < len(bodies) {
		b, index, taken, err := l.enqueue(ctx, bodies[n:])
		if err != nil {
			return n, err
		}
		select {
		case <-b.done:
		case <-ctx.Done():
			return n, ctx.Err()
		}
		if good := max(b.good-index, 0); good < taken {
			return n + good, b.err
		}
		n += taken
	}
	return n, err
}

func (l *Log) checkSize(body []byte) error {
	if len(body) > l.options.MaxRecordBytes {
		return fmt.Errorf("%w: it has %d bytes, %d are the most", ErrTooLarge, len(body), l.options.MaxRecordBytes)
	}
	return nil
}

// enqueue adds records to the batch that is filled, when that has room: the first, and as many
// behind it as have room, too.
func (l *Log) enqueue(ctx context.Context, bodies [][]byte) (b *batch, index, n int, err error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, 0, 0, err
		}
		b, index, n, full, err := l.tryEnqueue(bodies)
		if full == nil {
			return b, index, n, err
		}
		select {
		case <-full:
		case <-ctx.Done():
		}
	}
}

// tryEnqueue returns a channel to wait for if there is no room.
func (l *Log) tryEnqueue(bodies [][]byte) (b *batch, index, n int, full <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return nil, 0, 0, nil, ErrClosed
	}
	b = l.filling
	index = b.n
	for n < len(bodies) && b.hasRoom(bodies[n]) {
		b.records = reserve(b.records, bodies[n])
		b.n++
		n++
	}
	if n == 0 {
		if b.full == nil {
			b.full = make(chan struct{})
		}
		return nil, 0, 0, b.full, nil
	}
	if index == 0 {
		l.signal()
	}
	return b, index, n, nil, nil
}

func (b *batch) hasRoom(body []byte) bool {
	return b.n == 0 || b.n < maxBatchRecords && len(b.records)+recordSize(len(body)) <= maxBatchBytes
}

// take returns the batch that was filled, nil if it is empty, and begins another. last
// is true if there will be no more.
func (l *Log) take() (b *batch, last bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.filling.n == 0 {
		return nil, l.closing
	}
	b = l.filling
	l.filling, l.freed = newBatch(l.freed), nil
	if b.full != nil {
		close(b.full)
	}
	return b, l.closing
}

// finish tells those who wait, and keeps the buffer for another batch.
func (l *Log) finish(b *batch) {
	l.mu.Lock()
	l.freed, b.records = b.records, nil
	if b.err != nil && l.options.OnFull == DropNewest {
		l.stats.Dropped += uint64(b.n - b.good) //nolint:gosec // it is not negative
	}
	l.stats.Err = b.err
	l.mu.Unlock()
	close(b.done)
}
