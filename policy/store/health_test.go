package store

import (
	"testing"
	"testing/synctest"

	"github.com/transom-gateway/transom/internal/testing/policytest"
)

func TestOneProbeAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := policytest.NewClock()
		started, release := make(chan struct{}, 100), make(chan bool)
		h := NewHealth(now.Now, func() bool { started <- struct{}{}; return <-release })
		h.Failed()
		if h.Ask() || len(started) > 0 {
			t.Error("asked before the pause was over")
		}
		now.Advance(healthPause)
		for range 10 {
			if h.Ask() {
				t.Error("a store that is away was asked")
			}
		}
		<-started
		if len(started) > 0 {
			t.Error("a second probe was started beside the first")
		}
		release <- false
		synctest.Wait()
		if h.Ask(); len(started) > 0 {
			t.Error("probed again without a pause")
		}
		now.Advance(healthPause)
		h.Ask()
		<-started
		release <- true
		synctest.Wait()
		if !h.Ask() {
			t.Error("a store that is back was not asked")
		}
	})
}
