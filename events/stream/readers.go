package stream

import (
	"context"
	"errors"
	"sync"

	"github.com/transom-gateway/transom/events/log"
)

// maxReaders is how many clients read the log at once.
const maxReaders = 8

// maxIdle is how many readers are kept for clients that go on.
const maxIdle = 64

// readers read the log for clients that want what is not in memory.
type readers struct {
	log   *log.Log
	turns chan struct{}

	mu   sync.Mutex
	idle []idle
}

// idle is a reader that stands before the record of an offset.
type idle struct {
	next uint64
	r    *log.Reader
}

func (p *readers) init(l *log.Log) { p.log, p.turns = l, make(chan struct{}, maxReaders) }

func (p *readers) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, i := range p.idle {
		errs = append(errs, i.r.Close())
	}
	p.idle = nil
	return errors.Join(errs...)
}

// Bounds of one turn.
const (
	turnRecords = 4096
	turnEvents  = 256
	turnBytes   = 1 << 20
)

// read calls each with records from an offset on, while it reports true, up to the offset end and the
// bounds of a turn. next is the offset behind the last.
func (p *readers) read(ctx context.Context, from, end uint64, each func(log.Record) bool) (next uint64, err error) {
	select {
	case p.turns <- struct{}{}:
		defer func() { <-p.turns }()
	case <-ctx.Done():
		return from, ctx.Err()
	}
	r := p.take(from)
	next = from
	for range turnRecords {
		if next >= end {
			break
		}
		record, err := r.Next(ended)
		if err != nil && !errors.Is(err, context.Canceled) {
			return next, errors.Join(err, r.Close())
		}
		if err != nil || record.Offset >= end { // what was between is lost or dropped
			_ = r.Close() // it was only read
			return end, nil
		}
		next = record.Offset + 1
		if !each(record) {
			break
		}
	}
	return next, p.give(r, next)
}

// take is a reader at an offset.
func (p *readers) take(from uint64) *log.Reader {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.idle {
		if p.idle[i].next == from {
			r := p.idle[i].r
			p.idle = append(p.idle[:i], p.idle[i+1:]...)
			return r
		}
	}
	return p.log.Reader(from)
}

// give keeps a reader for whoever goes on there, and closes the one that is idle longest.
func (p *readers) give(r *log.Reader, next uint64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, idle{next, r})
	if len(p.idle) <= maxIdle {
		return nil
	}
	oldest := p.idle[0].r
	p.idle = append(p.idle[:0], p.idle[1:]...)
	return oldest.Close()
}
