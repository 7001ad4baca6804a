package protocols

import (
	"context"
	"io"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/testing/edge"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/envelope"
	"github.com/transom-gateway/transom/transcoder/exchange"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
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
	for contentType, protocol := range map[string]*transcoder.Protocol{"application/grpc": envelope.GRPC, "application/grpc-web+proto": envelope.GRPCWeb} {
		for name, c := range map[string]struct {
			sent, rest string
			after      time.Duration // what the client waits before the rest
			deadline   time.Duration // of the call; 0 for none
			within     time.Duration
			want       codes.Code
		}{
			"nothing":           {"", "", 2 * exchange.BodyTimeout, 0, exchange.BodyTimeout, codes.DeadlineExceeded},
			"half of it":        {message[:6], message[6:], exchange.BodyTimeout + 1, 0, exchange.BodyTimeout, codes.DeadlineExceeded},
			"whole, and no end": {message, "", exchange.BodyTimeout + 1, 0, exchange.BodyTimeout, codes.DeadlineExceeded},
			"Semantics 32: nothing within the deadline": {"", "", 2 * exchange.BodyTimeout, time.Second, time.Second, codes.DeadlineExceeded},
			"a deadline that is far away":               {"", "", 2 * exchange.BodyTimeout, time.Hour, exchange.BodyTimeout, codes.DeadlineExceeded},
			"the rest, just before":                     {message[:6], message[6:], exchange.BodyTimeout - 1, 0, exchange.BodyTimeout, codes.OK},
		} {
			t.Run(contentType+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					body, client := io.Pipe()
					w := interruptedWriter{httptest.NewRecorder(), client, new(atomic.Bool)}
					r := httptest.NewRequest("POST", "/", body)
					r.ProtoMajor = 2
					r.Header.Set("Content-Type", contentType)
					d := protocol.Open(edge.Bookstore(t, "GetShelf", transcoder.Settings{}), exchange.Exchange{W: exchange.FrontOf(w), R: r})
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
					time.Sleep(2 * exchange.BodyTimeout)
					if interrupted := w.interrupted.Load(); interrupted == (c.want == codes.OK) {
						t.Errorf("the reading was broken off: %t", interrupted)
					}
					d.Finish(err, nil)
				})
			})
		}
	}
}

// restBinding binds a method of the bookstore by a rule.
func restBinding(t testing.TB, method protoreflect.Name, rule *annotations.HttpRule) *transcoder.Binding {
	t.Helper()
	service := pb.File_bookstore_v1_bookstore_proto.Services().ByName("BookstoreService")
	plans := jsonwire.NewPlans(nil)
	bindings, problems := transcoder.NewMethod(service.Methods().ByName(method), plans, transcoder.Settings{Headers: transcoder.NewHeaderRules(transcoder.HeaderOptions{}), MaxBody: 1 << 20}).Bind(rule, plans)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return bindings[0]
}

// TestLateBody pins Semantics 311: the body of a unary REST or Connect call has as much
// time as the call, a minute at most, be it read or dropped; one that still arrives when
// the gateway ends its calls is given up within that second (Semantics 320).
func TestLateBody(t *testing.T) {
	whole := &annotations.HttpRule{Pattern: &annotations.HttpRule_Post{Post: "/s"}, Body: "*"}
	none := &annotations.HttpRule{Pattern: &annotations.HttpRule_Post{Post: "/s"}}
	for edge, c := range map[string]struct {
		rule     *annotations.HttpRule
		protocol *transcoder.Protocol
	}{
		"REST":                {whole, REST},
		"REST without a body": {none, REST},
		"Connect":             {whole, envelope.ConnectUnary},
	} {
		for name, c2 := range map[string]struct {
			rest            string
			after           time.Duration // what the client waits before the rest
			deadline, ended time.Duration // of the call, and of the gateway's calls; 0 for none
			within          time.Duration
			want            codes.Code
		}{
			"the rest, too late":        {`}`, exchange.BodyTimeout + 1, 0, 0, exchange.BodyTimeout, codes.DeadlineExceeded},
			"never":                     {"", 2 * exchange.BodyTimeout, 0, 0, exchange.BodyTimeout, codes.DeadlineExceeded},
			"not within the deadline":   {`}`, 2 * time.Second, time.Second, 0, time.Second, codes.DeadlineExceeded},
			"a deadline far away":       {`}`, exchange.BodyTimeout + 1, time.Hour, 0, exchange.BodyTimeout, codes.DeadlineExceeded},
			"the rest, just before":     {`}`, exchange.BodyTimeout - 1, 0, 0, exchange.BodyTimeout, codes.OK},
			"until the gateway ends":    {`}`, exchange.BodyTimeout - 1, 0, 10 * time.Second, 11 * time.Second, codes.Canceled},
			"before the gateway ends":   {`}`, time.Second, 0, 10 * time.Second, time.Second, codes.OK},
			"the gateway ends, at once": {`}`, time.Second, 0, time.Nanosecond, time.Second, codes.Canceled},
		} {
			t.Run(edge+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					body, client := io.Pipe()
					w := interruptedWriter{httptest.NewRecorder(), client, new(atomic.Bool)}
					ctx, end := context.WithCancel(t.Context())
					defer end()
					r := httptest.NewRequestWithContext(ctx, "POST", "/s", body)
					r.Header.Set("Content-Type", "application/json")
					d := c.protocol.Open(restBinding(t, "GetShelf", c.rule), exchange.Exchange{W: exchange.FrontOf(w), R: r, Readings: new(exchange.Readings)})
					if c2.deadline > 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, c2.deadline)
						defer cancel()
					}
					if c2.ended > 0 {
						time.AfterFunc(c2.ended, end)
					}
					if _, err := d.Open(ctx); err != nil {
						t.Fatal(err)
					}
					go func() {
						_, _ = io.WriteString(client, `{`) // it fails where the reading has ended
						time.Sleep(c2.after)
						_, _ = io.WriteString(client, c2.rest)
						_ = client.Close()
					}()
					start := time.Now()
					f, err := d.Recv()
					f.Free()
					if status.Code(err) != c2.want || time.Since(start) > c2.within {
						t.Errorf("%v after %s, want %s", err, time.Since(start), c2.want)
					}
					time.Sleep(2 * exchange.BodyTimeout)
					if interrupted := w.interrupted.Load(); interrupted == (c2.want == codes.OK) {
						t.Errorf("the reading was broken off: %t", interrupted)
					}
					d.Finish(err, nil)
				})
			})
		}
	}
}
