package nats

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/transom-gateway/transom/events/subscription"
)

// receiver gives what a consumer has to a partition.
type receiver struct {
	source    *Source
	ctx       context.Context //nolint:containedctx // that of Run, for which it lives; it ends with the connection
	link      link
	work      *subscription.Work
	partition *subscription.Partition
	held      *held
	queue     chan jetstream.Msg
	queued    sync.WaitGroup
	before    before
}

// turn fetches messages, but while later ones wait for those that were under way before.
func (r *receiver) turn(consumer jetstream.Consumer) error {
	late, again := r.before.isLate(time.Now()), len(r.before.again)
	if !late && r.before.full() {
		r.before.pause(r.ctx)
	} else if err := r.fetch(consumer); err != nil {
		return err
	}
	if len(r.before.kept) == 0 {
		return nil
	}
	settled := late && len(r.before.again) == again // the server gives what comes again before all else: there is no more of it
	if !settled {
		var err error
		if settled, err = r.before.settled(r.ctx, consumer, len(r.held.list())); err != nil {
			return err
		}
	}
	if settled && !r.link.lost() {
		r.release()
	}
	return nil
}

// release gives what was kept.
func (r *receiver) release() {
	for _, m := range r.before.release() {
		r.give(m)
	}
	r.queued.Wait()
}

// give has a message taken.
func (r *receiver) give(m jetstream.Msg) {
	r.queued.Add(1)
	r.queue <- m
}

// fetch asks for messages once, and returns when the partition has taken them: nothing is held by the
// client of which the server is not told that it is under way.
func (r *receiver) fetch(consumer jetstream.Consumer) error {
	ctx, cancel := context.WithTimeout(r.ctx, fetchWait)
	defer cancel()
	batch, err := consumer.Fetch(fetchMost, jetstream.FetchContext(ctx))
	if err != nil {
		return err
	}
	return r.takeBatch(batch)
}

// takeBatch takes what was fetched.
func (r *receiver) takeBatch(batch jetstream.MessageBatch) error {
	for m := range batch.Messages() {
		if r.held.hold(m); !r.link.lost() && !r.before.keeps(m) {
			r.give(m)
		}
	}
	r.queued.Wait()
	switch err := batch.Error(); {
	case errors.Is(err, context.DeadlineExceeded): // it may have sent messages that nobody waited for anymore
		return errors.New("the server has not said that a request for messages has ended")
	case !errors.Is(err, context.Canceled):
		return err
	}
	return nil
}

// take gives messages to the partition. What comes when Run shall end is given back.
func (r *receiver) take() {
	n := int64(0)
	for raw := range r.queue {
		if r.ctx.Err() == nil {
			r.takeOne(n, raw)
			n++
		}
		r.queued.Done()
	}
}

func (r *receiver) takeOne(n int64, raw jetstream.Msg) {
	m := r.source.message(n, raw)
	if m.Unreadable == "" && !r.work.Takes(m.Event.Type) {
		r.partition.Pass(n)
		r.held.end(raw, "")
		return
	}
	m.Done = func(how string) { r.held.end(raw, how) }
	_ = r.partition.Take(r.ctx, m)
}
