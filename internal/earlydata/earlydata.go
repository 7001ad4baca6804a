// Package earlydata says of a request that it came before its client's handshake was over (TLS 1.3
// early data, 0-RTT): somebody else may have sent it again (RFC 8470). Whoever reads the request marks
// it, and whoever knows what it does runs it or waits.
//
//	r = earlydata.Mark(r, conn.HandshakeComplete())
//	if h := earlydata.Of(r); h != nil && !safe {
//		err := h.Wait(ctx)
//	}
package earlydata

import (
	"context"
	"net/http"
)

// Field is the header by which servers are told so, with the value 1.
const Field = "Early-Data"

var said = []string{"1"}

type key struct{}

// Handshake is that of a request's client.
type Handshake struct {
	over   <-chan struct{}
	client []string // what the client itself said in Field; nil for nothing
}

// Mark returns a request whose client's handshake is over once a channel is closed. Its header says so,
// too.
func Mark(r *http.Request, over <-chan struct{}) *http.Request {
	h := &Handshake{over: over, client: r.Header[Field]}
	r.Header[Field] = said
	return r.WithContext(context.WithValue(r.Context(), key{}, h))
}

// Of returns the handshake of a request that Mark has marked; nil for another's.
func Of(r *http.Request) *Handshake {
	h, _ := r.Context().Value(key{}).(*Handshake)
	return h
}

// Passed reports whether the client says that it has the request from somebody else.
func (h *Handshake) Passed() bool { return h.client != nil }

// Wait waits until the handshake is over. From then on the request is one of the client's own, and no
// copy of somebody else. The error is that of ctx.
func (h *Handshake) Wait(ctx context.Context) error {
	select {
	case <-h.over:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Unmark has a header say of the request what its client did, after Wait.
func (h *Handshake) Unmark(header http.Header) {
	if h.client == nil {
		delete(header, Field)
		return
	}
	header[Field] = h.client
}
