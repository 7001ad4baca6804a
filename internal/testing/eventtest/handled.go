package eventtest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/events/subscription"
)

// Handled is what a method has done with messages, whichever member called it. The data of those
// of one key are {"N":0}, {"N":1} and so on. The zero Handled is ready.
type Handled struct {
	// Answer is what a call ends with, where that is not OK; nil for OK.
	Answer func(m *subscription.Message, attempt int) subscription.Result

	mu    sync.Mutex
	next  map[string]int // by keys: the number that comes next
	calls []*subscription.Message
	wrong []string
}

// Call is subscription.Options.Call.
func (h *Handled) Call(ctx context.Context, m *subscription.Message, attempt int) subscription.Result {
	if h.Answer != nil {
		if r := h.Answer(m, attempt); r.Code != codes.OK || r.Reason != "" {
			return r
		}
	}
	if ctx.Err() != nil {
		return subscription.Result{Code: codes.Canceled}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, m)
	var data struct{ N int }
	_ = json.Unmarshal(m.Event.Data, &data) // what is none counts as 0
	if h.next == nil {
		h.next = map[string]int{}
	}
	if n := h.next[m.Key]; data.N > n {
		h.wrong = append(h.wrong, fmt.Sprintf("%s: %d where %d should be", m.Key, data.N, n))
	} else if data.N == n {
		h.next[m.Key]++
	}
	return subscription.Result{}
}

// Done is how many messages had their first effect, in order, and how many calls there were.
func (h *Handled) Done() (n, calls int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, next := range h.next {
		n += next
	}
	return n, len(h.calls)
}

// All are the messages of all calls, in their order.
func (h *Handled) All() []*subscription.Message {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.calls)
}

// Wrong are the first effects that came before others of their key.
func (h *Handled) Wrong() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.wrong)
}
