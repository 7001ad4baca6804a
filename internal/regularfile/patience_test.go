package regularfile

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestStalled: nobody waits for ever for a file system, be it silent or slow, and the
// calls that are left behind are bounded (Semantics 322).
func TestStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &waiter{patience: 10 * time.Second, under: make(chan struct{}, 2)}
		goOn := make(chan struct{})
		var calls atomic.Int32
		for i := range 4 {
			start := time.Now()
			_, err := await(t.Context(), w, "read", "cert.pem", func(*progress) (int, error) {
				calls.Add(1)
				<-goOn
				return 1, nil
			})
			var inPath *fs.PathError
			if !errors.Is(err, ErrStalled) || !errors.As(err, &inPath) || inPath.Path != "cert.pem" ||
				!strings.Contains(err.Error(), "cert.pem: the file system does not answer for 10s") {
				t.Errorf("%v", err)
			}
			if took := time.Since(start); took != w.patience || int(calls.Load()) != min(i+1, cap(w.under)) {
				t.Errorf("call %d: given up after %v, %d begun", i, took, calls.Load())
			}
		}
		ended, end := context.WithCancelCause(t.Context())
		why := errors.New("the process ends")
		end(why)
		if _, err := await(ended, w, "read", "cert.pem", func(*progress) (int, error) { return 1, nil }); !errors.Is(err, why) {
			t.Errorf("after its context: %v", err)
		}
		close(goOn)
		synctest.Wait()
		if value, err := await(t.Context(), w, "read", "cert.pem", func(*progress) (int, error) { return 1, nil }); value != 1 || err != nil {
			t.Errorf("once the file system answers: %d, %v", value, err)
		}
	})
}

// slow gives a byte a time.
type slow struct {
	rest  *bytes.Reader
	pause time.Duration
}

func (s slow) Read(b []byte) (int, error) {
	time.Sleep(s.pause)
	return s.rest.Read(b[:1])
}

// TestSlow: what comes slowly is waited for, and a context ends the wait.
func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &waiter{patience: 10 * time.Second, under: make(chan struct{}, 1)}
		text := []byte("0123456789")
		whole := func(p *progress) ([]byte, error) {
			return io.ReadAll(counted{slow{bytes.NewReader(text), 9 * time.Second}, p})
		}
		if data, err := await(t.Context(), w, "read", "x", whole); err != nil || !bytes.Equal(data, text) {
			t.Errorf("%q, %v", data, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := await(ctx, w, "read", "x", whole); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		time.Sleep(time.Hour) // for the reader that was left behind
	})
}
