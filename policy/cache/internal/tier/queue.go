package tier

import (
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// maxQueued and maxQueuedBytes bound what waits to be written.
	maxQueued      = 1024
	maxQueuedBytes = 16 << 20
	// maxBatch bounds what is written in one round trip, as the whole of it has the time of
	// one command.
	maxBatch = 16
	// maxWait is how long an answer may have waited that is written.
	maxWait = 2 * time.Second
)

// Item is an answer on its way to Redis.
type Item struct {
	Key    Key
	Record *Record
	// Stamps are those of the moment before the backend was asked, and More is what only the
	// answer names.
	Stamps *Stamps
	More   []Digest
	// Lost is called where the answer could not be written, by another goroutine.
	Lost func()

	queued time.Time
}

func (i *Item) size() int64 { return int64(len(i.Record.Message)) + 1024 }

// Keep has an answer written behind the client's back, and reports false where too many wait
// already. The Record's times are those of the moment; it is the Tier's from then on.
func (t *Tier) Keep(i *Item) bool {
	i.queued = t.now()
	if t.queued.Add(i.size()) <= maxQueuedBytes {
		select {
		case t.queue <- i:
			return true
		default:
		}
	}
	t.queued.Add(-i.size())
	return false
}

// write writes what is in the queue until the Tier is closed.
func (t *Tier) write() {
	for {
		select {
		case first := <-t.queue:
			t.writeAll(t.batch(first))
		case <-t.ctx.Done():
			return
		}
	}
}

// batch takes what waits behind the first.
func (t *Tier) batch(first *Item) []*Item {
	all := []*Item{first}
	for len(all) < maxBatch {
		select {
		case next := <-t.queue:
			all = append(all, next)
		default:
			return all
		}
	}
	return all
}

func (t *Tier) writeAll(items []*Item) {
	ctx, cancel := t.redis.Bound(t.ctx)
	defer cancel()
	p := t.redis.Client.Pipeline()
	answers := make([]*redis.StatusCmd, len(items))
	for n, i := range items {
		t.queued.Add(-i.size())
		answers[n] = t.add(ctx, p, i)
	}
	if p.Len() > 0 {
		_, _ = p.Exec(ctx) // each command has its own error
	}
	for n, i := range items {
		if answers[n] == nil {
			continue
		}
		if err := answers[n].Err(); err != nil && t.failed(t.ctx, err) != nil {
			i.Lost()
		}
	}
}

// add appends the commands that write an answer; nil where it is not to be written.
func (t *Tier) add(ctx context.Context, p redis.Pipeliner, i *Item) *redis.StatusCmd {
	r, now := i.Record, t.now()
	r.life, r.written = min(max(r.Fresh, r.WhileRevalidate, r.IfError), MaxLife), i.queued
	left := r.life - now.Sub(i.queued)
	if left < time.Millisecond {
		return nil
	}
	if now.Sub(i.queued) > maxWait || !t.redis.Health.Ask() {
		i.Lost()
		return nil
	}
	stamps, ok, err := t.extend(ctx, i.Stamps, i.More)
	if err != nil {
		if t.failed(t.ctx, err) != nil {
			i.Lost()
		}
		return nil
	}
	if !ok {
		return nil // it was dropped meanwhile
	}
	r.stamps = slices.Clone(stamps.all)
	if len(r.stamps) > maxStamps {
		return nil
	}
	raw := r.marshal(i.Key)
	if len(raw) > maxRecord {
		return nil
	}
	answer := p.Set(ctx, t.answerKey(i.Key), raw, left)
	for n := range r.stamps { // a generation lives longer than the answers with it
		p.Expire(ctx, t.generationKey(r.stamps[n].of), generationLife)
	}
	return answer
}
