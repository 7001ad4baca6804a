package bus

import (
	"log/slog"
	"sync"
	"time"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/internal/aside"
)

// tellAgain is how often the log is told of a sink that does not take events.
const tellAgain = time.Minute

// maxError is how long the log and the state of a sink tell an error, in bytes.
const maxError = 1 << 10

// health is how a sink has been of late.
type health struct {
	mu    sync.Mutex
	err   error     // of the last attempt; nil if that has worked
	since time.Time // when it began to fail
	told  time.Time
	last  time.Time // when an event was acknowledged last
	heard time.Time // when what is under way was begun, or something of it acknowledged last; zero where nothing is
	// refusal is why an event was rejected, if none was acknowledged since then.
	refusal     error
	refusals    int // that the log was not told of
	refusalTold time.Time
}

// hears notes that something is under way with the sink, or that it has acknowledged a part of that.
func (h *health) hears() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard = time.Now()
}

// answered notes that nothing is under way any more.
func (h *health) answered() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard = time.Time{}
}

// silence is after how long without an acknowledgement the state of a sink says so.
const silence = 5 * time.Second

// silent is since when nothing of what is under way was acknowledged; zero where that is no time to speak of. The caller holds mu.
func (h *health) silent() time.Time {
	if h.heard.IsZero() || time.Since(h.heard) < silence {
		return time.Time{}
	}
	return h.heard
}

// succeeded notes that an event was acknowledged.
func (h *health) succeeded() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last, h.refusal = time.Now(), nil
}

// refused notes that an event was rejected, and tells the log so at times: a sink may reject all.
func (h *health) refused(logger *slog.Logger, sink string, e *events.Event, why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	why = aside.Brief(why, maxError)
	h.refusal = why
	h.refusals++
	if now := time.Now(); now.Sub(h.refusalTold) >= tellAgain {
		logger.Warn("the sink has rejected an event, which is put aside", "sink", sink, "id", e.ID, "type", e.Type, "topic", e.Topic, "events", h.refusals, "error", why)
		h.refusals, h.refusalTold = 0, now
	}
}

// recovered notes that the sink has taken all that it was given.
func (h *health) recovered(logger *slog.Logger, sink string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err != nil && !h.told.IsZero() {
		logger.Info("the sink takes events again", "sink", sink, "after", time.Since(h.since).Round(time.Millisecond).String())
	}
	h.err, h.told = nil, time.Time{}
}

// failed notes that the sink did not take all events, and tells the log so at times.
func (h *health) failed(logger *slog.Logger, sink string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if h.err == nil {
		h.since = now
	}
	err = aside.Brief(err, maxError)
	h.err = err
	if now.Sub(h.told) < tellAgain {
		return
	}
	h.told = now
	logger.Warn("the sink does not take events, which wait", "sink", sink, "since", h.since.UTC().Format(time.RFC3339), "error", err)
}
