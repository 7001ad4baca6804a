package webhook

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/events"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestSlowEvent: Events 144 and 154: an event for which the server takes its time keeps the others of its key alone, and that those are taken
// is told at once.
func TestSlowEvent(t *testing.T) {
	const all = 200
	var told sync.WaitGroup
	told.Add(all)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Ce-Partitionkey") == "slow" {
			told.Wait()
		}
	}))
	defer receiver.Close()
	s, _ := open(t, &transomv1.WebhookSink{Concurrency: 2, Timeout: durationpb.New(time.Minute)}, receiver.URL)
	batch := []*events.Event{event("slow", 0), event("slow", 1)}
	for n := range all {
		batch = append(batch, event(fmt.Sprint("key-", n%7), n))
	}
	errs := make([]error, len(batch))
	var slow atomic.Int32
	s.SendTelling(t.Context(), batch, errs, func(i int) {
		if i < 2 {
			slow.Add(1)
			return
		}
		if slow.Load() > 0 {
			t.Errorf("%d was taken behind the slow one", i)
		}
		told.Done()
	})
	if err := errors.Join(errs...); err != nil || slow.Load() != 2 {
		t.Errorf("got %v, and %d of the slow ones", err, slow.Load())
	}
}

// TestSameDocument: Events 126: a document that was sent in vain, and may have arrived all the same, is sent again as it was and under its
// id, whatever has come meanwhile.
func TestSameDocument(t *testing.T) {
	status := http.StatusBadGateway
	receiver := serve(t, func(received) int { return status })
	s, _ := open(t, &transomv1.WebhookSink{Mode: transomv1.EventMode_BATCH, Concurrency: 1}, receiver.URL)
	one, two, three := event("ann", 1), event("bob", 2), event("ann", 3)
	if errs := sendAll(t, s, one, two); errs[0] == nil || errs[1] == nil {
		t.Fatalf("got %v", errs)
	}
	status = http.StatusOK
	if err := errors.Join(sendAll(t, s, one, two, three)...); err != nil {
		t.Fatal(err)
	}
	got := receiver.all()
	if len(got) != 3 || got[1].body != got[0].body || got[1].header.Get("Webhook-Id") != got[0].header.Get("Webhook-Id") || got[2].header.Get("Webhook-Id") != three.ID {
		t.Errorf("got %+v", got)
	}
}
