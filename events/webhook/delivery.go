package webhook

import (
	"context"
	"errors"
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
	// maxInVain is after how many failures in a row a worker ends.
	maxInVain = 3
)

// Send sends the events. One that the server does not take holds up those of its key alone.
func (s *Sink) Send(ctx context.Context, batch []*events.Event, errs []error) {
	s.SendTelling(ctx, batch, errs, func(int) {})
}

// SendTelling is Send, and tells of each event that the server takes at once.
func (s *Sink) SendTelling(ctx context.Context, batch []*events.Event, errs []error, taken func(i int)) {
	d := &delivery{sink: s, batch: batch, errs: errs, taken: taken, tried: make([]string, len(batch))}
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
	d.line = newLine(batch, s.troubles)
	var workers sync.WaitGroup
	for range min(s.lanes, len(batch)) {
		workers.Go(func() { d.work(ctx) })
	}
	workers.Wait()
	d.line.rest(errs)
	d.age()
}

// delivery is one call of Send.
type delivery struct {
	sink    *Sink
	batch   []*events.Event
	errs    []error
	taken   func(i int)
	line    *line
	secrets [][]byte
	headers http.Header
	tried   []string // the webhook-id with which an event was sent last; "" for none
	// stop is why nothing more is sent; nil while it is.
	stop atomic.Pointer[error]
}

// work sends events until there are none, or several were sent in vain.
func (d *delivery) work(ctx context.Context) {
	for inVain := 0; inVain < maxInVain; {
		part := d.take()
		if len(part) == 0 {
			return
		}
		inVain++
		if d.deliver(ctx, part) == nil {
			inVain = 0
		}
		d.line.release(part, d.errs)
	}
}

// take takes the events of the next request.
func (d *delivery) take() []int {
	most, mostBytes := 1, 0
	if d.sink.settings.Mode == transomv1.EventMode_BATCH {
		most, mostBytes = maxDocument, maxDocumentBytes
	}
	now := d.sink.now()
	return d.line.take(most, mostBytes, d.errs, func(i int) error {
		if why := d.stop.Load(); why != nil {
			return *why
		}
		if tr, ok := d.sink.troubles[d.batch[i].ID]; ok && tr.others && now.Before(tr.due) {
			return tr.err
		}
		return nil
	})
}

// deliver sends events as one request, and returns the error of those that were not taken, but
// may be later. Where the server refuses several, it sends halves: one of them may be bad.
func (d *delivery) deliver(ctx context.Context, part []int) error {
	id := identity(d.events(part))
	for _, i := range part {
		d.tried[i] = id
	}
	err := d.post(ctx, id, part)
	var refused *statusError
	switch {
	case err == nil:
		for _, i := range part {
			d.taken(i)
		}
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
