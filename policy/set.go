package policy

import (
	"context"
	"errors"
	"net/http"
	"time"

	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/rpccode"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
)

// Set is the policies of one method, compiled. The zero Set admits everything.
type Set struct {
	// Effective is the merged policy the Set was compiled from; never nil after
	// Compile. What is not a decision (json, status, limits, timeouts) is read from
	// it when the schema loads.
	Effective *transomv1.Policy
	// Timeout and IdleTimeout are those of Effective; zero means none was set.
	Timeout, IdleTimeout time.Duration

	all      []Part
	parts    []Part // those of fields of Effective
	admit    []admitter
	messages []MessageChecker
	replies  []ReplyChanger
	headers  []HeaderChanger
	wrappers []Wrapper
	ends     []concluder
	answers  []answering
	// needsContext is set where one of the wrappers decides on all calls; selective are
	// those that decide on some.
	needsContext bool
	selective    []selective
	// recaller may know answers by what the client wrote; nil for nobody. inFront are the
	// wrappers before it, which see the messages of some calls.
	recaller recaller
	inFront  []selective

	explained []Explained
	observer  Observer
}

// admitter is an Admitter in its place.
type admitter struct {
	Admitter
	// heard reports whether an Observer is told that it admits: not of what every method
	// has.
	heard bool
}

// selective is a Wrapper that decides on some calls alone.
type selective interface {
	// Concerns reports whether an admitted call is one of them.
	Concerns(r *Request) bool
}

// NewSet orders parts as given.
func NewSet(effective *transomv1.Policy, parts ...Part) *Set {
	s := &Set{Effective: effective}
	s.Timeout = effective.GetTimeout().AsDuration()
	s.IdleTimeout = effective.GetIdleTimeout().AsDuration()
	for _, p := range parts {
		s.add(p, true)
	}
	return s
}

// add appends a part to the lists that calls walk. own reports whether it is of a field of
// Effective.
func (s *Set) add(p Part, own bool) {
	s.all = append(s.all, p)
	if own {
		s.parts = append(s.parts, p)
	}
	if a, ok := p.(Admitter); ok {
		s.admit = append(s.admit, admitter{a, own})
	}
	if m, ok := p.(MessageChecker); ok {
		s.messages = append(s.messages, m)
	}
	if m, ok := p.(ReplyChanger); ok {
		s.replies = append(s.replies, m)
	}
	if m, ok := p.(HeaderChanger); ok {
		s.headers = append(s.headers, m)
	}
	if c, ok := p.(concluder); ok {
		s.ends = append(s.ends, c)
	}
	if a, ok := p.(answering); ok {
		s.answers = append(s.answers, a)
	}
	if w, ok := p.(Wrapper); ok {
		s.addRecaller(w)
		if some, ok := p.(selective); ok {
			s.selective = append(s.selective, some)
		} else {
			s.needsContext = s.needsContext || w.Decides()
		}
		s.wrappers = append(s.wrappers, w)
	}
}

// addRecaller notes a wrapper that may know answers, if those before it see but some calls, and
// say which.
func (s *Set) addRecaller(w Wrapper) {
	if r, ok := w.(recaller); ok && len(s.selective) == len(s.wrappers) && s.recaller == nil {
		s.recaller, s.inFront = r, s.selective
	}
}

// Recalls reports whether Recall may know the answer to an admitted call. It does not where a
// policy is to see the call's message.
func (s *Set) Recalls(r *Request) bool {
	if s.recaller == nil || len(s.messages) > 0 || !s.recaller.Concerns(r) {
		return false
	}
	for _, w := range s.inFront {
		if w.Concerns(r) {
			return false
		}
	}
	return true
}

// Recall returns the answer to a call if it is known by what the client wrote.
func (s *Set) Recall(ctx context.Context, r *Request, from proxy.Source) (reply proxy.Reply, known bool, err error) {
	return s.recaller.Recall(ctx, r, from)
}

// Find returns the first part of a Set that is a T: a caller's own interface, for
// what it needs to know when the schema loads.
func Find[T any](s *Set) (part T, ok bool) {
	for _, p := range s.all {
		if part, ok = p.(T); ok {
			return part, true
		}
	}
	return part, false
}

// Parts lists the parts of the method's own policies in their order, without those that
// every method has.
func (s *Set) Parts() []Part { return s.parts }

// Finish tells the parts that ask for it which routes lead to the method. Call it once,
// before the first call.
func (s *Set) Finish(routes []Route) {
	for _, p := range s.all {
		if f, ok := p.(Finisher); ok {
			f.Finish(s, routes)
		}
	}
}

// ChangesHeader reports whether any policy changes the header of the answer.
func (s *Set) ChangesHeader() bool { return len(s.headers) > 0 }

// QueryParameters lists the query parameters that parts read and that are no part
// of the request.
func (s *Set) QueryParameters() []string {
	var names []string
	for _, p := range s.all {
		if q, ok := p.(QueryReader); ok {
			names = append(names, q.QueryParameters()...)
		}
	}
	return names
}

// NeedsContext reports whether an admitted call needs the context of NewContext, as a part
// that stands between it and the backend may refuse it.
func (s *Set) NeedsContext(r *Request) bool {
	if s.needsContext {
		return true
	}
	for _, w := range s.selective {
		if w.Concerns(r) {
			return true
		}
	}
	return false
}

// Wrap puts the parts that ask for it around a backend, the first one outermost.
func (s *Set) Wrap(backend proxy.Backend) proxy.Backend {
	for i := len(s.wrappers) - 1; i >= 0; i-- {
		backend = s.wrappers[i].Wrap(backend)
	}
	return backend
}

// Admit asks each policy in turn. Where one refuses, those that had admitted
// the call are told its end by Done, which the caller owes in either case.
func (s *Set) Admit(ctx context.Context, r *Request) (context.Context, error) {
	r.set = s
	for _, p := range s.admit {
		next, done, err := p.Admit(ctx, r)
		if err != nil {
			s.refused(r, p.Admitter, err)
			return ctx, err
		}
		if s.observer != nil && p.heard {
			s.observer.Decision(p.Name(), r.RPC, resultOf(nil))
		}
		if done != nil {
			r.dones = append(r.dones, done)
		}
		ctx = next
	}
	return ctx, nil
}

// refused notes who refused a call, a message or an answer.
func (s *Set) refused(r *Request, by Part, err error) {
	r.RefusedBy = by.Name()
	if s.observer != nil {
		s.observer.Decision(by.Name(), r.RPC, resultOf(err))
		if errors.Is(err, ErrStoreAway) {
			s.observer.Decision(by.Name(), r.RPC, "unavailable_store")
		}
	}
}

// resultOf is what an Observer is told.
func resultOf(err error) string {
	if err == nil {
		return "allow"
	}
	if name, ok := rpccode.LowerName(status.Code(err)); ok {
		return name
	}
	return "unknown"
}

// ReadsMessages reports whether any policy looks at the client's messages.
func (s *Set) ReadsMessages() bool { return len(s.messages) > 0 }

// Message shows one message of the client to the policies that look at them.
func (s *Set) Message(ctx context.Context, r *Request, message []byte) error {
	for _, p := range s.messages {
		if err := p.Message(ctx, r, message); err != nil {
			s.refused(r, p, err)
			return err
		}
	}
	return nil
}

// ReadsReply reports whether any policy looks at the answer.
func (s *Set) ReadsReply() bool { return len(s.replies) > 0 }

// Reply shows the answer to the policies that look at it, the last one first.
func (s *Set) Reply(ctx context.Context, r *Request, message []byte) ([]byte, error) {
	for i := len(s.replies) - 1; i >= 0; i-- {
		var err error
		if message, err = s.replies[i].Reply(ctx, r, message); err != nil {
			s.refused(r, s.replies[i], err)
			return nil, err
		}
	}
	return message, nil
}

// ResponseHeader lets the policies change the header of the HTTP answer, the
// last one first.
func (s *Set) ResponseHeader(r *Request, header http.Header) {
	for i := len(s.headers) - 1; i >= 0; i-- {
		s.headers[i].ResponseHeader(r, header)
	}
}

// Concludes reports whether any policy is told how calls end.
func (s *Set) Concludes() bool { return len(s.ends) > 0 }

// Conclude tells the policies that ask for it how a call ends, the last one first, and
// returns its error.
func (s *Set) Conclude(ctx context.Context, r *Request, o *Outcome, err error) error {
	for i := len(s.ends) - 1; i >= 0; i-- {
		before := err
		if err = s.ends[i].Conclude(ctx, r, o, err); err != before {
			s.refused(r, s.ends[i], err)
		}
	}
	return err
}

// Answering tells the policies that ask for it of the answer of a plain HTTP route, whose header
// is about to be written, and of the bytes of its body, -1 where its header does not tell.
func (s *Set) Answering(ctx context.Context, r *Request, httpStatus int, bytes int64) {
	for _, p := range s.answers {
		p.Answering(ctx, r, httpStatus, bytes)
	}
}

// Done tells the policies that admitted the call how it ended, the last one
// first.
func (s *Set) Done(r *Request, o *Outcome) {
	for i := len(r.dones) - 1; i >= 0; i-- {
		r.dones[i](o)
	}
	clear(r.dones)
	r.dones = r.dones[:0]
}
