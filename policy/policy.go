// Package policy decides who may call a method, how often and within what
// bounds. Options are compiled once, when a schema loads, into one ordered Set
// per method; a call walks the Set's flat list:
//
//	ctx, err := set.Admit(ctx, request)   // a refusal is answered at once
//	…                                     // the call
//	set.Done(request, outcome)            // in reverse order
//
// It knows descriptors, headers and metadata, but neither routes nor JSON nor
// how a client's bytes become messages. State that outlives a reload (buckets,
// keys, sessions) lives in State, keyed by what it is about.
package policy

import (
	"context"
	"net/http"
	"net/netip"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/proxy"
)

// Policy decides on calls of the method it was compiled for. It is immutable
// and safe for concurrent use.
type Policy interface {
	// Name is the policy's field in transom.v1.Policy; it labels metrics and logs.
	Name() string
	// Admit lets a call in or refuses it with a gRPC status error. What the client
	// should know besides (Retry-After, WWW-Authenticate) goes into
	// r.ResponseHeader, what the backend should know into r.Metadata. done may be
	// nil; if not, it is called exactly once when the call has ended, unless err is
	// not nil. The returned context is the call's from here on.
	Admit(ctx context.Context, r *Request) (_ context.Context, done Done, err error)
}

// Done is told how an admitted call ended.
type Done func(*Outcome)

// MessagePolicy is a Policy that also looks at each message of the client.
type MessagePolicy interface {
	Policy
	// Message checks one message in wire format, which is valid during the call
	// only. The error is a gRPC status error and ends the call.
	Message(ctx context.Context, r *Request, message []byte) error
}

// ReplyPolicy is a Policy that looks at the answer of a unary method before it
// is sent, and may change it.
type ReplyPolicy interface {
	Policy
	// Reply gets the answer in wire format and returns it, or a new one. It is
	// called only for status OK. The error is a gRPC status error.
	Reply(ctx context.Context, r *Request, message []byte) ([]byte, error)
}

// HeaderPolicy is a Policy that changes the header of the HTTP answer, whatever
// the call's status; it is called once, just before the header is written.
type HeaderPolicy interface {
	Policy
	ResponseHeader(r *Request, header http.Header)
}

// Request is what the policies of one call see. It lives as long as the call
// and is used by one goroutine at a time, except that Message may run beside
// Reply and ResponseHeader on streams.
type Request struct {
	// HTTP is the client's request. Its body belongs to the edge.
	HTTP *http.Request
	// Method is the method that is called.
	Method protoreflect.MethodDescriptor
	// RPC is "package.Service/Method".
	RPC string
	// Route is the route's template as the operator wrote it, for logs.
	Route string
	// Metadata goes to the backend. Names of the gateway's own (x-transom-*) that
	// the client sent are gone already.
	Metadata proxy.Metadata
	// ResponseHeader goes to the client, also beside a refusal.
	ResponseHeader http.Header
	// ClientIP is the client's address, X-Forwarded-For considered behind
	// trusted proxies only.
	ClientIP netip.Addr
	// Host and Scheme ("http", "https") are what the client asked for, X-Forwarded-*
	// of trusted proxies considered. Empty: what HTTP says.
	Host, Scheme string
	// RequestID identifies the call in logs.
	RequestID string
	// Stream reports whether either side streams.
	Stream bool
	// WebSocket reports whether the client asks for an upgrade; browsers cannot set
	// headers on it.
	WebSocket bool
	// Protocol is the client's: "rest", "sse", "ndjson", "websocket", "grpc",
	// "grpc-web", "connect".
	Protocol string
	// Identity is who calls, set by auth; nil for nobody.
	Identity *Identity
	// Credential is what let the caller of a stream or WebSocket in, which ends with it;
	// nil where it does not.
	Credential *Credential
	// RefusedBy names the policy that refused the call or one of its messages,
	// set by Set, for logs and metrics; empty if none did.
	RefusedBy string

	// unverified tells that auth has let the caller in by something else than the
	// header Authorization.
	unverified bool
	// hidden are the cookies that no backend may see.
	hidden []string
	dones  []Done
}

// host is what the client asked for.
func (r *Request) host() string {
	if r.Host == "" {
		return r.HTTP.Host
	}
	return r.Host
}

// secure reports whether the client speaks TLS, be it with a proxy before us.
func (r *Request) secure() bool {
	return r.Scheme == "https" || r.Scheme == "" && r.HTTP.TLS != nil
}

// Reset empties the request for the next call and keeps its memory.
func (r *Request) Reset() {
	clear(r.dones)
	*r = Request{dones: r.dones[:0]}
}

// Identity is an authenticated caller.
type Identity struct {
	// Principal is who it is, never empty.
	Principal string
	// Roles and Scopes as the credential states them.
	Roles  []string
	Scopes []string
	// Claims is the verified token's payload or the session's data; read only.
	Claims map[string]any
	// Mechanism is "jwt" or "session".
	Mechanism string

	// token is where the identity comes from; nil for a session.
	token *verified
}

// Outcome is how a call ended.
type Outcome struct {
	// Code and Message are the status as the client saw it.
	Code    codes.Code
	Message string
	// Own reports whether the gateway itself gave the status, and no backend.
	Own bool
	// HTTPStatus is what stood in the status line; 0 if nothing was written.
	HTTPStatus int
	// Messages and bytes of the messages in wire format, each way.
	RequestMessages, ResponseMessages int
	RequestBytes, ResponseBytes       int64
}
