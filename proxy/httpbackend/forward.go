package httpbackend

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"

	"github.com/transom-gateway/transom/proxy"
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
	// ViaAnswers has answers carry Via, too.
	ViaAnswers bool
	// Place says at which server the request is best made.
	Place upstream.Place
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
	// Tries is how the attempts went.
	Tries proxy.Tries
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
	cancel context.CancelFunc
	turn   upstream.Turn
	trace  httptrace.ClientTrace
	result Result
	server Server
	body   requestBody
	watch  *watch
	asked  []string // the protocols that the client asks to change to
	tunnel bool     // the client's stream is to be a WebSocket
	key    string   // of that

	conn    atomic.Pointer[conn]  // that carries it, by HTTP/1
	late    atomic.Pointer[Error] // why it was broken off
	state   atomic.Int32          // what it waits for
	moved   atomic.Int64          // when something moved last
	writing atomic.Bool           // a write waits for the client
	sent    atomic.Bool           // something may have been written to the connection
	reused  atomic.Bool           // the connection carried an exchange before

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
	e.ctx, e.cancel = context.WithCancel(ctx)
	defer e.cancel()
	e.run()
	return e.result
}

// run is Forward without the context's end.
func (e *exchange) run() {
	if err := e.refusal(); err != nil {
		e.result.Err = err
		return
	}
	e.findUpgrade()
	e.body.begin(e)
	defer func() {
		e.body.end()
		if e.result.Status == 0 {
			e.body.closeAfter(e.W.Header()) // for the caller's answer
		}
		e.result.Sent += e.body.count()
	}()
	e.turn.At(e.Place)
	response, err := e.attempt(&e.turn) //nolint:bodyclose // answer closes it
	if err != nil {
		e.result.Err = err
		return
	}
	defer e.u.servers.End(&e.turn)
	defer e.unwatch()
	defer e.release()
	e.answer(response)
}

// attempt asks one server. Where it succeeds the caller ends the turn and the watch.
func (e *exchange) attempt(turn *upstream.Turn) (*http.Response, error) {
	server, err := e.u.servers.Begin(e.ctx, turn)
	if err != nil {
		e.shut()
		return nil, e.explain(err)
	}
	e.server, e.result.Server = server, server.Address
	e.result.Tries.Attempts++
	e.beginWatch()
	response, err := e.roundTrip(server)
	e.shut()
	if err == nil {
		e.u.servers.Judge(turn, verdictOf(response.StatusCode))
		return response, nil
	}
	e.release()
	e.unwatch()
	err = e.explain(err)
	e.u.servers.Judge(turn, verdictOfError(err))
	e.u.servers.End(turn)
	return nil, err
}

// shut has no more informational answers written: what uses W from here on does so alone.
func (e *exchange) shut() {
	e.mu.Lock()
	e.opened = true
	e.mu.Unlock()
}
