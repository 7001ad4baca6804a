package httpbackend

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/attempt"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// Exchange is one request of a client and its answer.
type Exchange struct {
	// W and R are the client's. R is not changed, but for what reading its body changes.
	W http.ResponseWriter
	R *http.Request
	// Target is the path and query for the server, encoded: it is sent as it stands.
	Target string
	// Host is the Host to send. Empty: the server's own.
	Host string
	// Header is called with the header for the server, once the fields are gone that are
	// the connection's: it adds forwarded fields and makes the policies' changes. The
	// values may be shared with R: it replaces them and changes none in place. Nil for
	// nothing to do.
	Header func(http.Header)
	// Answer is called with the status and the header of the final answer before it is
	// written, and the server's own authority, and may change the header. Nil for nothing
	// to do.
	Answer func(status int, server string, h http.Header)
	// Upgrades are the tokens of Upgrade that pass besides "websocket", in lower case.
	Upgrades []string
	// MaxBody bounds the request's body, in bytes. 0: it is not bounded.
	MaxBody int64
	// Idle bounds the time without a byte in either direction, after an upgrade, too. 0: the
	// upstream's Times do.
	Idle time.Duration
	// ViaAnswers has answers carry Via, too.
	ViaAnswers bool
	// Place says at which server the request is best made.
	Place upstream.Place
	// Attempts says how attempts are made; nil: as the zero attempt.Plain does.
	Attempts *attempt.Plain

	// Substitute tells that it goes to another upstream than the route's own.
	Substitute bool
	// AfterHandshake waits until the handshake of a client is over whose request came before that, which
	// R says by Early-Data; its error is the context's. Nil: there is nothing to wait for. A server that answers
	// 425 is asked once more then (RFC 8470).
	AfterHandshake func(context.Context) error

	// detached tells that the exchange was made by Detach: R's header is the server's already.
	detached bool
}

// Result is what became of an exchange.
type Result struct {
	// Status is that of the final answer which was written, 0 where none was.
	Status int
	// Err is why the exchange failed, nil where it did not: a gRPC status error, with a
	// method HTTPStatus where the status table's is not the right one. Where Status is 0
	// the caller answers the client.
	Err error
	// Aborted says that the answer was begun and could not be ended: the caller breaks the
	// client's connection or stream off. It is false where the connection was taken over.
	Aborted bool
	// Upgraded says that the connection changed to another protocol.
	Upgraded bool
	// Refused says that no attempt was made, as the circuit breaker is open.
	Refused bool
	// Reached says that a server may have seen something of the request.
	Reached bool
	// Tries is how the attempts went; Resent is how often an old connection that had gone
	// was followed by another one, which is no attempt (Traffic 80).
	Tries  proxy.Tries
	Resent int
	// Server is the address of the last server that was asked, "" for none.
	Server string
	// Sent and Received are how many bytes the bodies had that went to the server and came
	// from it, or what passed after an upgrade.
	Sent, Received int64
}

// exchange is the state of one Exchange. It lives as long as anybody of net/http may use
// it, so it is not used again.
type exchange struct {
	*Exchange
	u      *Upstream
	ctx    context.Context
	cancel context.CancelFunc // nil where nothing but the connection is to be broken off
	trace  httptrace.ClientTrace
	result Result
	server Server
	body   requestBody
	watch  *watch
	tries  attempt.Request
	replay *replay // nil: the body is not kept
	reader atomic.Pointer[replayReader]
	asked  []string // the protocols that the client asks to change to
	tunnel bool     // the client's stream is to be a WebSocket
	key    string   // of that
	twins  bool     // a server may take one field of the header for another
	shaken bool     // the handshake of a client is over that was not when the request came

	// Of a connection of ours:
	link           atomic.Pointer[link]
	outgoing       http.Request // but for the target
	sending        *sending     // nil: no body is sent
	incoming       incoming
	piece          io.LimitedReader // of its body
	unwatchContext func() bool

	connections atomic.Int32 // of net/http's that were taken for it

	late    atomic.Pointer[Error] // why it was broken off
	state   atomic.Int32          // what it waits for
	moved   atomic.Int64          // when something moved last
	writing atomic.Bool           // a write waits for the client

	mu       sync.Mutex // of W, which informational answers and flushes share
	opened   bool       // the final answer is there, or there will be none: W is Forward's
	flushing bool       // what was written may be flushed while the answer's body is awaited
	informed int        // informational answers
	wrote    bool       // something was written since the last flush
}

// Forward carries one request to a server and its answer back. It returns when the
// exchange is over; nothing uses W or R any more then. Where nothing could be written it
// answers nothing of its own.
func (u *Upstream) Forward(ctx context.Context, x *Exchange) Result {
	e := &exchange{Exchange: x, u: u}
	e.findUpgrade()
	e.ctx = ctx
	if !e.linked() || len(e.asked) > 0 {
		e.ctx, e.cancel = context.WithCancel(ctx)
		defer e.cancel()
	}
	e.run()
	return e.result
}

// linked reports whether the exchange goes by a connection of ours, whatever the server
// speaks.
func (e *exchange) linked() bool { return e.u.http1 || len(e.asked) > 0 }

// run is Forward without the context's end.
func (e *exchange) run() {
	if err := e.refusal(); err != nil {
		e.result.Err = err
		return
	}
	e.body.begin(e)
	defer func() {
		e.body.end()
		if e.replay != nil {
			e.replay.end()
		}
		if e.result.Status == 0 {
			e.body.closeAfter(e.W.Header()) // for the caller's answer
		}
		e.result.Sent += e.body.count()
	}()
	e.tries.Start(e.Attempts, e.u.servers, e.method(), e.Place)
	defer func() { e.result.Tries = e.tries.Tries() }()
	if err := e.tries.Ask(); err != nil {
		e.result.Err, e.result.Refused = err, true
		return
	}
	e.keep()
	response, err := e.attempts()
	if err == nil && response.StatusCode == http.StatusTooEarly && e.AfterHandshake != nil {
		response, err = e.afterHandshake(response) //nolint:bodyclose // answer closes it
	}
	if err != nil {
		e.result.Err = err
		return
	}
	defer e.tries.End()
	defer e.unwatch()
	e.answer(response)
}

// keep has the body kept for another attempt where one may be made once it was sent. One
// with a trailer is not: that is complete only once.
func (e *exchange) keep() {
	if limit := e.tries.Keeps(); limit > 0 && !e.body.none() && len(e.R.Trailer) == 0 {
		e.replay = newReplay(&e.body, limit)
	}
}

// attempts asks servers until one has answered, or no other one is to be asked. Where it
// succeeds the caller ends the last attempt and the watch.
func (e *exchange) attempts() (*http.Response, error) {
	for {
		var o attempt.Outcome
		within, server, err := e.tries.Begin(e.ctx)
		if err != nil {
			return nil, e.explain(err)
		}
		response := e.attempt(within, server, &o)
		again := e.tries.Again(e.ctx, &o)
		if !again && response != nil {
			e.tries.Answered()
			if reader := e.reader.Load(); reader != nil {
				reader.settle()
			}
			return response, nil
		}
		if response != nil { // what it says is not passed on
			_ = response.Body.Close()
			e.unwatch()
		}
		if !again {
			e.tries.End()
			return nil, o.Err
		}
	}
}

// attempt asks one server, and says in o how that went. Where there is an answer the caller
// ends the watch.
func (e *exchange) attempt(within context.Context, server Server, o *attempt.Outcome) *http.Response {
	e.server, e.result.Server = server, server.Address
	e.open()
	e.beginWatch()
	response, err := e.roundTrip(within, server)
	e.shut()
	if err == nil {
		e.result.Reached = true
		o.Status, o.RetryAfter, o.Consumed = response.StatusCode, response.Header["Retry-After"], e.consumed()
		return response
	}
	if reader := e.reader.Load(); reader != nil {
		_ = reader.Close() // it never fails
	}
	e.unwatch()
	o.Err = e.explain(err)
	var own *Error
	o.Faulty = errors.As(o.Err, &own) && own.faulty
	var dialed *dialError
	o.Unsent = errors.As(err, &dialed) && !e.taken()
	e.result.Reached = e.result.Reached || !o.Unsent && err != errTarget
	o.Consumed = e.consumed()
	return nil
}

// taken reports whether the attempt has read of the body.
func (e *exchange) taken() bool {
	if reader := e.reader.Load(); reader != nil {
		return reader.taken()
	}
	return e.body.count() > 0
}

// consumed reports whether the body cannot be sent again.
func (e *exchange) consumed() bool {
	switch {
	case e.body.none():
		return false
	case e.replay != nil:
		return e.replay.consumed()
	}
	return e.body.count() > 0
}

// stopReader ends the reading of the body by the attempt, whose connection is closed. The
// client's is not broken off where another attempt may go on with it.
func (e *exchange) stopReader() {
	if reader := e.reader.Load(); reader != nil {
		reader.stop()
		return
	}
	e.body.cut.Store(true)
	e.body.interrupt()
}

// open has informational answers written until shut.
func (e *exchange) open() {
	e.mu.Lock()
	e.opened = false
	e.mu.Unlock()
}

// shut has no more informational answers written: what uses W from here on does so alone.
func (e *exchange) shut() {
	e.mu.Lock()
	e.opened = true
	e.mu.Unlock()
}
