// Package policy is the contract between a gateway and its policies: who may call a
// method, how often and within what bounds. Each Kind of policy stands in a package
// of its own below this one, and package kinds lists them all. When a schema loads,
// a Compiler has them make the Parts of each method, one ordered Set; a call walks
// the Set's flat lists:
//
//	compiler, problems := policy.New(kinds.All(observe.Kind(telemetry)), policy.Environment{Config: config, State: state})
//	set, problems := compiler.Compile(policy.Target{Method: method, Layers: layers})
//	set.Finish(routes)
//
//	ctx, err := set.Admit(ctx, request)   // a refusal is answered at once
//	…                                     // the call
//	set.Done(request, outcome)            // in reverse order
//
// It knows descriptors, headers and metadata, but no single policy, and neither
// routes nor JSON nor how a client's bytes become messages. What outlives a reload
// (buckets, keys, sessions) lives in State, keyed by what it is about.
package policy

import (
	"context"
	"crypto/x509"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy"
)

// Request is what the policies of one call see. It lives as long as the call
// and is used by one goroutine at a time, except that Message may run beside
// Reply and ResponseHeader on streams.
type Request struct {
	// HTTP is the client's request. Its body belongs to the edge.
	HTTP *http.Request
	// PlainHTTP tells that the route leads to no RPC, but to a plain HTTP server.
	PlainHTTP bool
	// RPC is "package.Service/Method", or the name of a plain HTTP route.
	RPC string
	// Route is the route's template as the operator wrote it, for logs.
	Route string
	// Metadata goes to the backend. Names of the gateway's own (x-transom-*) that
	// the client sent are gone already.
	// A plain HTTP server gets it beside the client's header.
	Metadata proxy.Metadata
	// Dropped are the headers of the client, in field.Fold's form, that a plain HTTP
	// server does not get.
	Dropped []string
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
	// "grpc-web", "connect"; "http" on a plain HTTP route.
	Protocol string
	// Identity is who calls, set by auth; nil for nobody.
	Identity *Identity
	// Subscription is the name of the subscription that calls, which needs no credentials; ""
	// for a client's call. Hops is how often an event has led to a call that led to the next one.
	Subscription string
	Hops         int
	// Operator is who makes the call in the console; "" for a client's call.
	Operator string
	// Credential is what let the caller of a stream or WebSocket in, which ends with it;
	// nil where it does not.
	Credential Credential
	// Unverified tells that auth has let the caller in by something else than the
	// header Authorization, which nobody has looked at then.
	Unverified bool
	// Branch names the one of several upstreams that the call goes to, "" where there are
	// not several, and BranchMeant the one that it was meant for and that has no server
	// ready, "" where it goes there.
	Branch, BranchMeant string
	// Replayed tells that the answer is one that was kept under the call's Idempotency-Key.
	Replayed bool
	// KeyPassed tells that the call was made without its Idempotency-Key, as the store was away.
	KeyPassed bool
	// Cache is what the policy cache did for the call; zero where it has none.
	Cache CacheUse
	// Answer is what the edge knows of the answer; nil for nothing, and where no policy is told
	// how calls end.
	Answer proxy.Answer
	// Received is the size of a unary call's message in wire format, for those who look at its answer.
	Received int64
	// LoggedIn is whom the policy login has logged in by the call; "" for nobody.
	LoggedIn string
	// RefusedBy names the policy that refused the call or one of its messages,
	// set by Set, for logs and metrics; empty if none did.
	RefusedBy string

	set   *Set
	dones []Done
	notes []note
}

// note is what a Part keeps of a call.
type note struct{ of, value any }

// Keep keeps something of the call until it has ended, for whoever asks for it under a
// comparable value of its own.
func (r *Request) Keep(of, value any) { r.notes = append(r.notes, note{of, value}) }

// Kept is what was kept; nil for nothing.
func (r *Request) Kept(of any) any {
	for i := range r.notes {
		if r.notes[i].of == of {
			return r.notes[i].value
		}
	}
	return nil
}

// CacheUse is what the policy cache did for one call.
type CacheUse struct {
	// Result is "hit", "miss", "stale", "revalidated" or "bypass"; "" for a method without
	// a cache.
	Result string
	// Stored tells that the answer is kept, and Public that all callers share it.
	Stored, Public bool
	// Age is how old the answer is, and Left for how long it is fresh, below zero for one
	// that is stale.
	Age, Left time.Duration
	// AgeField and Control are the values of Age and Cache-Control that say so; nil where they are
	// made of the above for the call.
	AgeField, Control []string
	// Forward is why the call went on to the backend, in RFC 9211's words; "" where it did not.
	// ForwardStatus is the backend's status where that is not the client's, else 0, and Detail
	// a further word, "" for none.
	Forward       string
	ForwardStatus int
	Detail        string
	// Vary is for the header of that name: what the answer of a method varies by, by its own word.
	Vary []string
}

// Detached is a copy of the request for a call to the backend that may outlive the
// client's: it shares nothing that changes. What policies refuse there is not told to the
// client's own.
func (r *Request) Detached() *Request {
	own := *r
	own.Metadata, own.Dropped, own.ResponseHeader, own.dones, own.notes = slices.Clone(r.Metadata), slices.Clone(r.Dropped), http.Header{}, nil, nil
	return &own
}

// Authority is the host that the client asked for.
func (r *Request) Authority() string {
	if r.Host == "" {
		return r.HTTP.Host
	}
	return r.Host
}

// Secure reports whether the client speaks TLS, be it with a proxy before us.
func (r *Request) Secure() bool {
	return r.Scheme == "https" || r.Scheme == "" && r.HTTP.TLS != nil
}

// Refuse notes that a Wrapper refuses the admitted call with a gRPC status error, and
// returns that.
func (r *Request) Refuse(by Part, err error) error {
	r.set.refused(r, by, err)
	return err
}

// requestKey is the key of a call's Request in its context.
type requestKey struct{}

// Certificate is the client's, which TLS has verified; nil for none.
func (r *Request) Certificate() *x509.Certificate {
	state := r.HTTP.TLS
	if state == nil || len(state.VerifiedChains) == 0 || len(state.PeerCertificates) == 0 {
		return nil
	}
	return state.PeerCertificates[0]
}

// NewContext is the context of a call whose backend is wrapped. It must not be used
// beyond the call.
func NewContext(ctx context.Context, r *Request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// RequestOf is the Request of a call whose backend is wrapped.
func RequestOf(ctx context.Context) *Request {
	r, _ := ctx.Value(requestKey{}).(*Request)
	return r
}

// Reset empties the request for the next call and keeps its memory.
func (r *Request) Reset() {
	clear(r.dones)
	clear(r.notes)
	dones, notes, dropped := r.dones[:0], r.notes[:0], r.Dropped[:0]
	*r = Request{}
	r.dones, r.notes, r.Dropped = dones, notes, dropped
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
	// Mechanism is "jwt", "session" or "mtls".
	Mechanism string
	// Source is what the mechanism itself knows of the credential; nil for nothing.
	Source any
}

// Issuer is who has issued the caller's token: what a principal is called says who it is to that
// issuer (RFC 7519, 4.1.2). It is "" for callers without a token.
func (id *Identity) Issuer() string {
	if id.Mechanism != "jwt" {
		return ""
	}
	issuer, _ := id.Claims["iss"].(string)
	return issuer
}

// Credential is what let the caller of a stream in.
type Credential interface {
	// Watch calls end with ErrExpired when the credential ends. It is called once at
	// most, by another goroutine, and not after stop has returned.
	Watch(end context.CancelCauseFunc) (stop func())
}

// ErrExpired ends a stream whose credential has ended (Semantics 308).
var ErrExpired = status.Error(codes.Unauthenticated, "the credentials have expired or were revoked")

// Outcome is how a call ended.
type Outcome struct {
	// Code and Message are the status as the client saw it.
	Code    codes.Code
	Message string
	// Own reports whether the gateway itself gave the status, and no backend.
	Own bool
	// Cause is what happened where a server is at fault and Message, which clients see, does
	// not say it; "" for nothing more than that.
	Cause string
	// HTTPStatus is what stood in the status line; 0 if nothing was written.
	HTTPStatus int
	// Messages and bytes of the messages in wire format, each way.
	RequestMessages, ResponseMessages int
	RequestBytes, ResponseBytes       int64
	// RequestBody and ResponseBody are the bytes of the bodies as they came and went by
	// HTTP: with what frames the messages, and compressed. Of a WebSocket they are
	// those of its frames.
	RequestBody, ResponseBody int64
	// Attempts is how often the backend was called, and RetryDenied why it was not once
	// more, where retry would have: "budget", "pushback", "deadline", "buffer",
	// "circuit".
	Attempts    int
	Hedged      int // of the attempts, those beside another one
	RetryDenied string
	// Endpoint is an address of the server that the answer is of; "" where there is none.
	Endpoint string
}
