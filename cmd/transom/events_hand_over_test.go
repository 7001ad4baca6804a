package main

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/poll"
)

// TestEventsHandOver: Traffic 196 and Events 136: the process is replaced while tills sell, once while the server that
// gets the events is away: each call is answered, each has its event, under one ID, and two processes never write
// to one log.
func TestEventsHandOver(t *testing.T) {
	sink := newReceiver()
	server := httptest.NewServer(sink)
	defer server.Close()
	l := newSelling(t, buildTransom(t), 2, 4, hookConfig(server.URL))
	gateway := l.start()
	stop := make(chan struct{})
	var tills sync.WaitGroup
	for till := range l.tills {
		tills.Go(func() {
			for l.sell(gateway.url, fmt.Sprint("till-", till)) {
				select {
				case <-stop:
					return
				default:
				}
			}
			t.Error("a call was lost")
		})
	}
	const replaced, each = 3, 60
	for i := range replaced {
		sink.set(i == 1)
		before := l.answered()
		poll.Until(t, "sales", func() bool { return l.answered() >= before+each })
		gateway.upgraded()
	}
	sink.set(false)
	last := l.answered()
	poll.Until(t, "sales by the last process", func() bool { return l.answered() >= last+each })
	close(stop)
	tills.Wait()
	poll.Until(t, "all events arrive", func() bool {
		missing, _ := sink.missing(l.acknowledged)
		return missing == 0
	})
	gateway.stop()
	_, doubles := sink.missing(l.acknowledged)
	delivered, twoIDs := sink.seen()
	t.Logf("sold %d, answered %d, delivered %d, doubles %d", l.sold, len(l.acknowledged), delivered, doubles)
	if twoIDs != "" || delivered != l.sold {
		t.Errorf("%d of %d sales have events; two IDs: %q", delivered, l.sold, twoIDs)
	}
	l.verify()
	if n := strings.Count(gateway.log.String(), `"msg":"stopped"`); n != replaced+1 {
		t.Errorf("%d processes have stopped well, want %d", n, replaced+1)
	}
}

// answered is how many sales there were.
func (l *selling) answered() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acknowledged)
}
