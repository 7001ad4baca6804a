// Package try makes the calls of the console's page of that name (Surface 238): it speaks the
// protocols of clients, tells what comes back, event by event, and sends messages one at a
// time. It knows neither the gateway nor who asks; where a call goes is what Dial connects to.
//
//	trial, err := try.New(asked, try.Options{Dial: dial, Details: details})
//	result := trial.Run(ctx, tell)
package try

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"

	"github.com/transom-gateway/transom/internal/span"
)

// The bounds of one call.
const (
	// MaxTime is how long it may take, and maxTold what may be told of it, in bytes and events.
	MaxTime       = 10 * time.Minute
	maxTold       = 64 << 20
	maxEvents     = 20_000
	maxMessage    = 4 << 20 // of what is sent, in bytes
	maxShown      = 1 << 20 // of what comes, in bytes; the rest is counted
	maxWaiting    = 16      // messages that wait to be sent
	maxFields     = 100     // of the request's header
	maxFieldBytes = 32 << 10
)

// Options are what a call needs.
type Options struct {
	// Dial connects to the gateway, which speaks HTTP/1.1 and HTTP/2 in cleartext there.
	Dial func(ctx context.Context) (net.Conn, error)
	// Host is that of requests that do not say one.
	Host string
	// Details writes the details of a status as a JSON array. It may be nil.
	Details func(*spb.Status) json.RawMessage
}

// Event is something that happens to a call. Which fields are set, Name says.
type Event struct {
	// Name is open, sent, head, message, trailer or end.
	Name string `json:"event"`
	// AtMS is how many milliseconds after the call began.
	AtMS float64 `json:"at_ms"`
	// ID names the call for further messages, TraceID its trace.
	ID      string `json:"id,omitempty"`
	TraceID string `json:"trace_id,omitempty"`
	// Number counts the messages of each side, from 1; Bytes is a message's size. Kind is the
	// name of a Server-Sent Event.
	Number int    `json:"n,omitempty"`
	Bytes  int64  `json:"bytes,omitempty"`
	Kind   string `json:"kind,omitempty"`
	// Text or Base64 is a message, Cut reports whether there was more of it.
	Text   string `json:"text,omitempty"`
	Base64 []byte `json:"base64,omitempty"`
	Cut    bool   `json:"cut,omitempty"`
	// Status and HTTP are those of an answer, Fields its header or trailer.
	Status int         `json:"status,omitempty"`
	HTTP   string      `json:"http,omitempty"`
	Fields [][2]string `json:"fields,omitempty"`
	// Code is the gRPC code, by its name, "" where the answer says none; Message and Details
	// are those of an error. Failure is why there is no whole answer.
	Code    string          `json:"code,omitempty"`
	Message string          `json:"message,omitempty"`
	Details json.RawMessage `json:"details,omitempty"`
	Failure string          `json:"failure,omitempty"`
	// Close is the code that a WebSocket was closed with.
	Close int `json:"close,omitempty"`
}

// Trial is one call. Its methods may be called at the same time; Run only once.
type Trial struct {
	// ID is not to be guessed.
	ID string

	asked   Asked
	options Options
	headers http.Header
	host    string
	trace   string

	began    time.Time
	queue    chan Message  // of those who send; is never closed
	finish   chan struct{} // is closed for the half-close
	finished sync.Once
	done     chan struct{} // is closed when the call has ended
	cancel   context.CancelCauseFunc
	ctx      context.Context

	mu       sync.Mutex // of what is told
	tell     func(Event) error
	told     int64
	events   int
	received int
	status   int
}

// ErrTooMany is when as many messages wait to be sent as may.
var ErrTooMany = fmt.Errorf("%d messages wait to be sent: wait until some are", maxWaiting)

// ErrEnded is when a call takes no messages any more.
var ErrEnded = errors.New("the call has ended, or its side of the client is closed")

var errCancelled = errors.New("cancelled")

// New checks what is asked for.
func New(asked Asked, o Options) (*Trial, error) {
	t := &Trial{ID: rand.Text(), asked: asked, options: o, queue: make(chan Message, maxWaiting), finish: make(chan struct{}), done: make(chan struct{})}
	if err := t.asked.check(); err != nil {
		return nil, err
	}
	var err error
	if t.headers, t.host, err = t.asked.header(); err != nil {
		return nil, err
	}
	if t.host == "" {
		t.host = o.Host
	}
	t.traced()
	t.ctx, t.cancel = context.WithCancelCause(context.Background())
	return t, nil
}

// traced puts the call into a trace: that of the header that is asked for, or a new one.
func (t *Trial) traced() {
	const parent = "Traceparent"
	said := t.headers.Get(parent)
	if len(said) >= 55 {
		t.trace = said[3:35]
		return
	}
	var id [24]byte
	_, _ = rand.Read(id[:]) // it never fails
	t.trace = hex.EncodeToString(id[:16])
	t.headers.Set(parent, "00-"+t.trace+"-"+hex.EncodeToString(id[16:])+"-01")
}

// Send sends one more message of a call that is open for them, when those before it are sent.
func (t *Trial) Send(m Message) error {
	if err := m.check(); err != nil {
		return err
	}
	select {
	case <-t.done:
		return ErrEnded
	case <-t.finish:
		return ErrEnded
	default:
	}
	select {
	case t.queue <- m:
		return nil
	default:
		return ErrTooMany
	}
}

// HalfClose says that no more messages come, behind those that wait.
func (t *Trial) HalfClose() { t.finished.Do(func() { close(t.finish) }) }

// Cancel ends the call.
func (t *Trial) Cancel() { t.cancel(errCancelled) }

// Run makes the call and tells what happens, one event at a time; an error of tell ends it. It
// returns what came of the call, in one line.
func (t *Trial) Run(ctx context.Context, tell func(Event) error) (result string) {
	defer close(t.done)
	defer t.cancel(errCancelled)
	stop := context.AfterFunc(ctx, func() { t.cancel(errCancelled) })
	defer stop()
	limit := time.AfterFunc(MaxTime, func() {
		t.cancel(fmt.Errorf("it took longer than %v, the most for a call of the console", span.Text(MaxTime)))
	})
	defer limit.Stop()
	t.began, t.tell = time.Now(), tell
	t.say(Event{Name: "open", ID: t.ID, TraceID: t.trace})
	for _, m := range t.asked.Messages {
		t.queue <- m // there is room: they are counted
	}
	if !t.asked.Open {
		t.HalfClose()
	}
	var end Event
	if t.asked.Protocol == WebSocket {
		end = t.socket()
	} else {
		end = t.request()
	}
	if cause := context.Cause(t.ctx); cause != nil && end.Failure != "" {
		end.Failure = cause.Error()
	}
	end.Name = "end"
	t.say(end)
	return t.result(end)
}

// result is what came of the call, in one line.
func (t *Trial) result(end Event) string {
	text := "no answer"
	if t.status != 0 {
		text = fmt.Sprintf("status %d", t.status)
	}
	if end.Code != "" {
		text += ", " + end.Code
	}
	if end.Failure != "" {
		text += ", " + end.Failure
	}
	return text
}

// say tells an event. Where it cannot be told, or too much has been, the call ends.
func (t *Trial) say(e Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e.AtMS = float64(time.Since(t.began).Microseconds()) / 1000
	switch e.Name {
	case "head":
		t.status = e.Status
	case "message":
		t.received++
		e.Number = t.received
	}
	t.told += int64(len(e.Text) + len(e.Base64))
	t.events++
	if e.Name != "end" && (t.told > maxTold || t.events > maxEvents) {
		t.cancel(fmt.Errorf("there were more than %d messages or %d MiB, the most for a call of the console", maxEvents, maxTold>>20))
		return
	}
	if err := t.tell(e); err != nil {
		t.cancel(errCancelled)
	}
}

// failed is the end of a call that has no whole answer.
func failed(err error) Event { return Event{Failure: err.Error()} }
