package policy

import (
	"context"
	"net/http"

	"github.com/transom-gateway/transom/proxy"
)

// Kind is one kind of policy: a field of transom.v1.Policy and what it makes of it.
// A field may have more than one Kind, where it does its work at more than one place.
type Kind struct {
	// Field is the field's name. Empty: the Kind holds for every method, whatever its
	// policy says; its Parts are in no listing of policies.
	Field string
	// Open checks what the Kind reads of the configuration, be it used by a method or
	// not, and notes problems with RefuseConfig. Nil: it reads nothing.
	Open func(*Generation)
	// Compile makes the Part of one method; nil where there is nothing to do. It notes
	// problems with Refuse, and may return anything then.
	Compile func(*Scope) Part
	// Needs are what decides in the configuration whether the field is right.
	Needs []Need
}

// Need says that a field of a policy cannot be judged while a part of the
// configuration is wrong. Both are paths without indices.
type Need struct {
	// Field is in the policy, such as "rate_limit.store"; fields below it are others.
	Field string
	// Config is in the configuration, such as "stores"; all below it is part of it.
	Config string
}

// Part is what a Kind does for the calls of one method. It is immutable and safe
// for concurrent use. What it does it says by the interfaces that it has besides:
// Admitter, MessageChecker, ReplyChanger, HeaderChanger, Wrapper, QueryReader, Finisher, and that with Conclude; with
// a method Summary() string it describes itself to people.
type Part interface {
	// Name is the Kind's field; it labels metrics and logs.
	Name() string
}

// Admitter is a Part that decides on calls before they begin.
type Admitter interface {
	Part
	// Admit lets a call in or refuses it with a gRPC status error. What the client
	// should know besides (Retry-After, WWW-Authenticate) goes into
	// r.ResponseHeader, what the backend should know into r.Metadata. done may be
	// nil; if not, it is called exactly once when the call has ended, unless err is
	// not nil. The returned context is the call's from here on.
	Admit(ctx context.Context, r *Request) (_ context.Context, done Done, err error)
}

// Done is told how an admitted call ended.
type Done func(*Outcome)

// MessageChecker is a Part that looks at each message of the client.
type MessageChecker interface {
	Part
	// Message checks one message in wire format, which is valid during the call
	// only. The error is a gRPC status error and ends the call.
	Message(ctx context.Context, r *Request, message []byte) error
}

// ReplyChanger is a Part that looks at the answer of a unary method before it
// is sent, and may change it.
type ReplyChanger interface {
	Part
	// Reply gets the answer in wire format and returns it, or a new one. It is
	// called only for status OK. The error is a gRPC status error.
	Reply(ctx context.Context, r *Request, message []byte) ([]byte, error)
}

// HeaderChanger is a Part that changes the header of the HTTP answer, whatever
// the call's status; it is called once, just before the header is written.
type HeaderChanger interface {
	Part
	ResponseHeader(r *Request, header http.Header)
}

// Wrapper is a Part that stands between a method's calls and its backend: it may call the
// backend again, later, elsewhere or not at all. It is where a Part belongs that
// a call must not pay for which never gets to the backend.
type Wrapper interface {
	Part
	// Wrap makes a Backend that calls next, once for each method when the schema loads.
	// RequestOf tells it whose call it is; a refusal goes through Request.Refuse.
	Wrap(next proxy.Backend) proxy.Backend
	// Decides reports whether it may refuse calls, and needs RequestOf for that. One that
	// does so for some calls alone says for which by a method Concerns(*Request) bool,
	// so that the others do not pay for it; without RequestOf its Backend passes a call on.
	Decides() bool
}

// recaller is a Wrapper that may know the answer to a call by what the client wrote, before a
// message is made of that.
type recaller interface {
	Wrapper
	selective
	// Recall returns the answer, if it is known, and says in r.Received how large the message
	// is of which it was the answer. The error is the call's, as that of a Backend.
	Recall(ctx context.Context, r *Request, s proxy.Source) (reply proxy.Reply, known bool, err error)
}

// concluder is a Part that is told how a call ends before its client is.
type concluder interface {
	Part
	// Conclude is called once for each call, refused ones too, when it is known how it ends: before
	// the final status is written, and where nothing was written yet, before the answer.
	// o is what is known then: without the bodies' bytes, and with the HTTPStatus that the
	// answer is about to have. err, nil or a gRPC
	// status error, is the call's; what Conclude returns takes its place.
	Conclude(ctx context.Context, r *Request, o *Outcome, err error) error
}

// answering is a Part that is told of the answer of a plain HTTP route before its header is
// written, and of the bytes of its body, -1 where its header does not tell. It is not told of those that
// Conclude comes before.
type answering interface {
	Part
	Answering(ctx context.Context, r *Request, httpStatus int, bytes int64)
}

// QueryReader is a Part that reads query parameters which are no part of the
// request: a REST edge must not look for fields of these names.
type QueryReader interface {
	Part
	QueryParameters() []string
}

// Finisher is a Part that needs what is known only when all of its method is compiled.
type Finisher interface {
	Part
	// Finish is called once, before the first call, with the Set that the Part is in and
	// the routes that lead to it. It may change the Part, the last time.
	Finish(s *Set, routes []Route)
}

// Route is one way to a method.
type Route struct {
	// Template is that of Request.Route.
	Template string
	// HidesPath reports whether its paths may hold what no log may repeat.
	HidesPath bool
}
