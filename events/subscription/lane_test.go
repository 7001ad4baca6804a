package subscription

import (
	"fmt"
	"sync"
	"testing"
)

// TestLane holds Events 167 for what waits: one who takes gets all in their order, several get each once, and an
// empty lane keeps little.
func TestLane(t *testing.T) {
	const all = 10_000
	for _, takers := range []int{1, 8} {
		t.Run(fmt.Sprintf("Events 167: %d", takers), func(t *testing.T) {
			l, stop := newLane(), make(chan struct{})
			var mu sync.Mutex
			var got []int64
			var taking, done sync.WaitGroup
			done.Add(all)
			for range takers {
				taking.Go(func() {
					for m := l.next(stop); m != nil; m = l.next(stop) {
						mu.Lock()
						got = append(got, m.Offset)
						mu.Unlock()
						done.Done()
					}
				})
			}
			for n := range int64(all) {
				l.add(&Message{Offset: n})
			}
			done.Wait()
			close(stop)
			taking.Wait()
			seen := map[int64]bool{}
			for i, offset := range got {
				if seen[offset] || takers == 1 && offset != int64(i) {
					t.Fatalf("the message %d came as number %d", offset, i)
				}
				seen[offset] = true
			}
			if len(got) != all || cap(l.waiting) > laneKept {
				t.Errorf("%d of %d came, and there are %d places", len(got), all, cap(l.waiting))
			}
		})
	}
}
