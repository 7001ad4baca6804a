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
	if len(body) > l.options.MaxRecordBytes {
		return 0, fmt.Errorf("%w: it has %d bytes, %d are the most", ErrTooLarge, len(body), l.options.MaxRecordBytes)
	}
	b, index, err := l.enqueue(ctx, body)
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
// durable, counted from the first. Others' records may stand between them.
func (l *Log) AppendAll(ctx context.Context, bodies [][]byte) (n int, err error) {
	type place struct {
		b     *batch
		index int
	}
	places := make([]place, 0, len(bodies))
	for _, body := range bodies {
		if len(body) > l.options.MaxRecordBytes {
			err = fmt.Errorf("%w: it has %d bytes, %d are the most", ErrTooLarge, len(body), l.options.MaxRecordBytes)
			break
		}
		b, index, failed := l.enqueue(ctx, body)
		if failed != nil {
			err = failed
			break
		}
		places = append(places, place{b, index})
	}
	for _, p := range places {
		select {
		case <-p.b.done:
		case <-ctx.Done():
			return n, ctx.Err()
		}
		if p.index >= p.b.good {
			return n, p.b.err
		}
		n++
	}
	return n, err
}

// enqueue adds a record to the batch that is filled, when that has room.
func (l *Log) enqueue(ctx context.Context, body []byte) (b *batch, index int, err error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		b, index, full, err := l.tryEnqueue(body)
		if full == nil {
			return b, index, err
		}
		select {
		case <-full:
		case <-ctx.Done():
		}
	}
}

// tryEnqueue returns a channel to wait for if there is no room.
func (l *Log) tryEnqueue(body []byte) (b *batch, index int, full <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return nil, 0, nil, ErrClosed
	}
	b = l.filling
	if b.n > 0 && len(b.records)+recordSize(len(body)) > maxBatchBytes || b.n >= maxBatchRecords {
		if b.full == nil {
			b.full = make(chan struct{})
		}
		return nil, 0, b.full, nil
	}
	index = b.n
	b.records = reserve(b.records, body)
	b.n++
	if index == 0 {
		l.signal()
	}
	return b, index, nil, nil
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
