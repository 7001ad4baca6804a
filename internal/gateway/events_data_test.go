package gateway_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// TestEventsKeepTheirData: Events 134: what an event says is what its call said, however many calls of whatever size are made
// meanwhile, by every protocol: the buffers of calls are used again, and no event has a part of them.
func TestEventsKeepTheirData(t *testing.T) {
	g, recorder, _ := telling(t, "BEST_EFFORT", "")
	const each = 12
	clients := sharedClients(dialed(t, g))
	var all sync.WaitGroup
	for c, client := range clients {
		all.Go(func() {
			for n := range each {
				name := fmt.Sprintf("shelves/%d-%d-%s", c, n, strings.Repeat(string(rune('a'+(c+n)%26)), 1+(c*131+n*977)%900))
				if a, err := client.ask(t.Context(), g, name); err != nil || a.shelf.GetName() != name {
					t.Errorf("%s: %v", client.name, err)
				}
			}
		})
	}
	all.Wait()
	asked := map[string]bool{}
	for _, e := range recorder.Wait(t, 2*each*len(clients)) {
		want := fmt.Sprintf(`{"name":%q}`, e.Subject)
		if e.Type == "shelf.read" {
			want = fmt.Sprintf(`{"request":{"name":%q},"response":{"theme":"poems","bookCount":7}}`, e.Subject)
		}
		checkEvent(t, e, "publish", e.Type, want, e.Key)
		asked[e.Subject] = true
	}
	if len(asked) != each*len(clients) {
		t.Errorf("%d shelves were told of, want %d", len(asked), each*len(clients))
	}
}
