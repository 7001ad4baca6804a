package transcoder

import (
	"net/http"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder/exchange"
)

// Protocol is how a client speaks: what its requests are recognised by, and its edge.
// There is one value of each protocol, and its address stands for it.
type Protocol struct {
	// Name is for logs and metrics.
	Name string
	// NameOn is the name of a request on a binding where that depends on both; nil for
	// Name.
	NameOn func(b *Binding, h http.Header) string
	// RPC: it calls methods by their own path alone and has a form of its own for errors
	// and metadata.
	RPC bool
	// WrongMethod is the code of the error where a path does not take the request's HTTP
	// method: what its clients make of 405. OK stands for UNIMPLEMENTED.
	WrongMethod codes.Code

	// PostedAs reports whether a POST is of the protocol by its header; media is the type
	// of the body, in lower case and without parameters. Nil for no POST.
	PostedAs func(media string, h http.Header) bool
	// Sent reports whether a request of another HTTP method is of the protocol. Nil for
	// none.
	Sent func(r *http.Request) bool
	// Takes reports whether a method takes the protocol on its own path. Nil for all.
	Takes func(m *Method) bool

	// Open makes the client's half of a call on a binding. Nothing is read or written yet.
	Open func(b *Binding, x exchange.Exchange) proxy.Downstream
	// Refuse answers a request that no binding takes, and returns the HTTP status it used.
	// Nil for a google.rpc.Status as JSON.
	Refuse func(x *exchange.Exchange, e *Refusal) int
}

// String is the protocol's name.
func (p *Protocol) String() string { return p.Name }

// NameFor is the protocol of a request on a binding, for logs and metrics.
func (p *Protocol) NameFor(b *Binding, h http.Header) string {
	if p.NameOn != nil {
		return p.NameOn(b, h)
	}
	return p.Name
}

// Protocols are the protocols that a gateway speaks. They know nothing of each other.
type Protocols struct {
	// Marked are those that requests say they are of. The first that recognises a request
	// has it.
	Marked []*Protocol
	// Other is that of all other requests.
	Other *Protocol
	// Posted is that of a POST to the path of a unary method which none of Marked
	// recognises (Semantics 10).
	Posted *Protocol
}

// Detect tells by its head which protocol a request speaks.
func (ps *Protocols) Detect(r *http.Request) *Protocol {
	if r.Method == http.MethodPost {
		return ps.OfHeader(r.Header)
	}
	for _, p := range ps.Marked {
		if p.Sent != nil && p.Sent(r) {
			return p
		}
	}
	return ps.Other
}

// OfHeader tells whose form an error takes where a method's own path does not take the
// request's HTTP method: the protocol of its header, as if it were a POST.
func (ps *Protocols) OfHeader(h http.Header) *Protocol {
	media := mediaType(h)
	for _, p := range ps.Marked {
		if p.PostedAs != nil && p.PostedAs(media, h) {
			return p
		}
	}
	return ps.Other
}

// OnPath settles the protocol of a request for the method's own path,
// "/package.Service/Method". False where the path does not take the request.
func (ps *Protocols) OnPath(m *Method, r *http.Request, detected *Protocol) (*Protocol, bool) {
	switch {
	case detected != ps.Other:
		return detected, detected.Takes == nil || detected.Takes(m)
	case r.Method != http.MethodPost:
		return detected, false
	case m.Shape.Unary():
		return ps.Posted, true
	}
	return detected, true
}
