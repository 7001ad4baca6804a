package webhook

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/transom-gateway/transom/events"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

const (
	// maxDocument and maxDocumentBytes bound a batch that is one document.
	maxDocument      = 100
	maxDocumentBytes = 512 << 10
	// maxInVain is after how many failures in a row a lane ends.
	maxInVain = 3
)

// Send sends the events. One that the server does not take holds up those of its key alone.
func (s *Sink) Send(ctx context.Context, batch []*events.Event, errs []error) {
	d := &delivery{sink: s, batch: batch, errs: errs, tried: make([]bool, len(batch))}
	err := s.gone()
	if err == nil {
		err = s.wait(ctx)
	}
	if err == nil {
		err = d.prepare()
	}
	if err != nil {
		for i := range errs {
			errs[i] = err
		}
		return
	}
	var lanes sync.WaitGroup
	for _, members := range d.lanes() {
		lanes.Go(func() { d.lane(ctx, members) })
	}
	lanes.Wait()
	d.age()
}

// delivery is one call of Send.
type delivery struct {
	sink    *Sink
	batch   []*events.Event
	errs    []error
	keys    [][]byte
	headers http.Header
	tried   []bool
	// stop is why no lane sends anything more; nil while they do.
	stop atomic.Pointer[error]
}

var seed = maphash.MakeSeed()

// lanes are the events, those of a key in one lane, in their order.
func (d *delivery) lanes() [][]int {
	all := make([][]int, d.sink.lanes)
	for i, e := range d.batch {
		n := i % len(all)
		if e.Key != "" {
			n = int(maphash.String(seed, e.Key) % uint64(len(all))) //nolint:gosec // below 64
		}
		all[n] = append(all[n], i)
	}
	return all
}

// lane sends events one after another.
func (d *delivery) lane(ctx context.Context, members []int) {
	held := map[string]error{} // keys with an event that was not taken
	inVain := 0
	for len(members) > 0 {
		n := d.next(members)
		part := members[:n]
		members = members[n:]
		if why := d.stop.Load(); why != nil {
			d.fail(part, *why)
			continue
		}
		if part = d.free(part, held); len(part) == 0 {
			continue
		}
		if err := d.deliver(ctx, part); err != nil {
			d.hold(part, held)
			if inVain++; inVain == maxInVain {
				d.fail(members, err)
				return
			}
			continue
		}
		inVain = 0
	}
}

// next is how many of the events make one request.
func (d *delivery) next(members []int) int {
	if d.sink.settings.Mode != transomv1.EventMode_BATCH {
		return 1
	}
	n, size := 0, 0
	for _, i := range members {
		if size += len(d.batch[i].Data) + 512; n > 0 && (size > maxDocumentBytes || n == maxDocument) {
			break
		}
		n++
	}
	return n
}

// free leaves out the events whose keys are held up.
func (d *delivery) free(part []int, held map[string]error) []int {
	if len(held) == 0 {
		return part
	}
	var free []int
	for _, i := range part {
		if why := held[d.batch[i].Key]; why != nil {
			d.errs[i] = why
			continue
		}
		free = append(free, i)
	}
	return free
}

// hold notes the keys of those that were not taken.
func (d *delivery) hold(part []int, held map[string]error) {
	for _, i := range part {
		if err, key := d.errs[i], d.batch[i].Key; err != nil && key != "" && !errors.Is(err, events.ErrRejected) {
			held[key] = fmt.Errorf("it waits for another of its key: %w", err)
		}
	}
}

// deliver sends events as one request, and returns the error of those that were not taken, but
// may be later. Where the server refuses several, it sends halves: one of them may be bad.
func (d *delivery) deliver(ctx context.Context, part []int) error {
	for _, i := range part {
		d.tried[i] = true
	}
	err := d.post(ctx, part)
	var refused *statusError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, events.ErrRejected):
		d.fail(part, err)
		return nil
	case len(part) > 1 && errors.As(err, &refused) && refused.ofContent():
		half := len(part) / 2
		if err := d.deliver(ctx, part[:half]); err != nil {
			d.fail(part[half:], err)
			return err
		}
		return d.deliver(ctx, part[half:])
	}
	d.fail(part, err)
	return err
}

func (d *delivery) fail(part []int, err error) {
	for _, i := range part {
		d.errs[i] = err
	}
}
