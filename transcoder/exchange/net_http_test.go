package exchange

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestFrontOf: what is a Front is asked itself, and of another ResponseWriter what it has
// of http.ResponseController's methods.
func TestFrontOf(t *testing.T) {
	_, w := reading(t)
	front := FrontOf(w)
	if err := front.SetReadDeadline(time.Time{}); err != nil || w.interrupted.Load() != 1 {
		t.Errorf("%v, and the writer was asked %d times", err, w.interrupted.Load())
	}
	if FrontOf(front) != front {
		t.Error("a Front is wrapped once more")
	}
	if err := front.FlushError(); err != nil || !w.Flushed {
		t.Errorf("%v, flushed %t", err, w.Flushed)
	}
	if _, _, err := front.Hijack(); !errors.Is(err, http.ErrNotSupported) {
		t.Errorf("it is hijacked: %v", err)
	}
	x := Exchange{W: FrontOf(httptest.NewRecorder())}
	if x.FullDuplex() {
		t.Error("a recorder has full duplex")
	}
}
