package exchange

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// countedWriter counts how often the reading was broken off.
type countedWriter struct {
	*httptest.ResponseRecorder
	interrupted atomic.Int32
}

// SetReadDeadline is what http.ResponseController calls.
func (w *countedWriter) SetReadDeadline(time.Time) error {
	w.interrupted.Add(1)
	return nil
}

func reading(t testing.TB) (*Exchange, *countedWriter) {
	t.Helper()
	w := &countedWriter{ResponseRecorder: httptest.NewRecorder()}
	return &Exchange{W: FrontOf(w), R: httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader("body"))}, w
}

// TestReadingsAreApart: what became of one body says nothing about the next, whose
// reading is watched by the same memory (Semantics 311).
func TestReadingsAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var readings Readings
		for round := range 20 {
			x, w := reading(t)
			x.Readings = &readings
			late := round%3 == 0
			l := Watch(x, time.Time{})
			if time.Sleep(time.Duration(round) * readingLook); late {
				time.Sleep(2 * BodyTimeout)
			}
			err := l.Done()
			if want := map[bool]codes.Code{true: codes.DeadlineExceeded, false: codes.OK}[late]; status.Code(err) != want {
				t.Errorf("round %d: %v, want %s", round, err, want)
			}
			time.Sleep(2 * BodyTimeout)
			if got := w.interrupted.Load(); got > 0 != late || got > 1 {
				t.Errorf("round %d: the reading was broken off %d times", round, got)
			}
		}
	})
}

// TestReadingsAllocate: to watch a body costs no memory of its own.
func TestReadingsAllocate(t *testing.T) {
	x, _ := reading(t)
	allocated := func() float64 {
		return testing.AllocsPerRun(1000, func() {
			if err := Watch(x, time.Time{}).Done(); err != nil {
				t.Error(err)
			}
		})
	}
	alone := allocated()
	x.Readings = new(Readings)
	if got := allocated(); got >= alone {
		t.Errorf("%v allocations, %v without kept memory", got, alone)
	}
}
