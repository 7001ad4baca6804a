package transcoder

import (
	"context"
	"io"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// interruptedWriter ends the reading of a body as a server does.
type interruptedWriter struct {
	*httptest.ResponseRecorder
	body        *io.PipeWriter
	interrupted *atomic.Bool
}

func (w interruptedWriter) SetReadDeadline(time.Time) error {
	w.interrupted.Store(true)
	return w.body.CloseWithError(os.ErrDeadlineExceeded)
}

// TestLateMessage has clients that call a unary method and do not send their
// message whole, or at all, and others that take just less than the time there
// is.
func TestLateMessage(t *testing.T) {
	const message = "\x00\x00\x00\x00\x02\x0a\x00"
	for contentType, protocol := range map[string]Protocol{"application/grpc": GRPC, "application/grpc-web+proto": GRPCWeb} {
		for name, c := range map[string]struct {
			sent, rest string
			after      time.Duration // what the client waits before the rest
			deadline   time.Duration // of the call; 0 for none
			within     time.Duration
			want       codes.Code
		}{
			"nothing":           {"", "", 2 * bodyTimeout, 0, bodyTimeout, codes.DeadlineExceeded},
			"half of it":        {message[:6], message[6:], bodyTimeout + 1, 0, bodyTimeout, codes.DeadlineExceeded},
			"whole, and no end": {message, "", bodyTimeout + 1, 0, bodyTimeout, codes.DeadlineExceeded},
			"Semantics 32: nothing within the deadline": {"", "", 2 * bodyTimeout, time.Second, time.Second, codes.DeadlineExceeded},
			"a deadline that is far away":               {"", "", 2 * bodyTimeout, time.Hour, bodyTimeout, codes.DeadlineExceeded},
			"the rest, just before":                     {message[:6], message[6:], bodyTimeout - 1, 0, bodyTimeout, codes.OK},
		} {
			t.Run(contentType+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					body, client := io.Pipe()
					w := interruptedWriter{httptest.NewRecorder(), client, new(atomic.Bool)}
					r := httptest.NewRequest("POST", "/", body)
					r.ProtoMajor = 2
					r.Header.Set("Content-Type", contentType)
					d := bookstoreBinding(t, "GetShelf", Settings{}).Downstream(Exchange{W: w, R: r}, protocol)
					ctx := t.Context()
					if c.deadline > 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, c.deadline)
						defer cancel()
					}
					if _, err := d.Open(ctx); err != nil {
						t.Fatal(err)
					}
					go func() {
						_, _ = io.WriteString(client, c.sent) // it fails where the reading has ended
						time.Sleep(c.after)
						_, _ = io.WriteString(client, c.rest)
						_ = client.Close()
					}()
					start := time.Now()
					f, err := d.Recv()
					f.Free()
					if status.Code(err) != c.want || time.Since(start) > c.within {
						t.Errorf("%v after %s, want %s", err, time.Since(start), c.want)
					}
					time.Sleep(2 * bodyTimeout)
					if interrupted := w.interrupted.Load(); interrupted == (c.want == codes.OK) {
						t.Errorf("the reading was broken off: %t", interrupted)
					}
					d.Finish(err, nil)
				})
			})
		}
	}
}
