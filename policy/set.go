package policy

import (
	"context"
	"errors"
	"net/http"
	"time"

	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/rpccode"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// Set is the policies of one method, compiled. The zero Set admits everything.
type Set struct {
	// Effective is the merged policy the Set was compiled from; never nil after
	// Compile. What is not a decision (json, status, limits, timeouts) is read from
	// it when the schema loads.
	Effective *transomv1.Policy
	// Timeout and IdleTimeout are those of Effective; zero means none was set.
	Timeout, IdleTimeout time.Duration

	policies []Policy
	messages []MessagePolicy
	replies  []ReplyPolicy
	headers  []HeaderPolicy
	cors     *Cors

	explained []Explained
	observer  Observer
}

// NewSet orders policies as given.
func NewSet(effective *transomv1.Policy, policies ...Policy) *Set {
	s := &Set{Effective: effective, policies: policies}
	s.Timeout = effective.GetTimeout().AsDuration()
	s.IdleTimeout = effective.GetIdleTimeout().AsDuration()
	for _, p := range policies {
		if m, ok := p.(MessagePolicy); ok {
			s.messages = append(s.messages, m)
		}
		if m, ok := p.(ReplyPolicy); ok {
			s.replies = append(s.replies, m)
		}
		if m, ok := p.(HeaderPolicy); ok {
			s.headers = append(s.headers, m)
		}
		if c, ok := p.(*Cors); ok {
			s.cors = c
		}
	}
	return s
}

// Cors returns the CORS policy, nil for none.
func (s *Set) Cors() *Cors { return s.cors }

// Policies lists the policies in the order in which they admit.
func (s *Set) Policies() []Policy { return s.policies }

// Prepend puts policies in front of the others. Only before the first call.
func (s *Set) Prepend(front ...Policy) {
	s.policies = append(front[:len(front):len(front)], s.policies...)
}

// ChangesHeader reports whether any policy changes the header of the answer.
func (s *Set) ChangesHeader() bool { return len(s.headers) > 0 }

// QueryParameters lists the query parameters that policies read and that are no
// part of the request: a REST edge must not look for fields of these names.
func (s *Set) QueryParameters() []string {
	var names []string
	for _, p := range s.policies {
		if q, ok := p.(interface{ queryParameters() []string }); ok {
			names = append(names, q.queryParameters()...)
		}
	}
	return names
}

// Admit asks each policy in turn. Where one refuses, those that had admitted
// the call are told its end by Done, which the caller owes in either case.
func (s *Set) Admit(ctx context.Context, r *Request) (context.Context, error) {
	for _, p := range s.policies {
		next, done, err := p.Admit(ctx, r)
		if err != nil {
			s.refused(r, p, err)
			return ctx, err
		}
		if s.observer != nil {
			s.observer.Decision(p.Name(), r.RPC, resultOf(nil))
		}
		if done != nil {
			r.dones = append(r.dones, done)
		}
		ctx = next
	}
	return ctx, nil
}

// refused notes who refused a message or an answer.
func (s *Set) refused(r *Request, by Policy, err error) {
	r.RefusedBy = by.Name()
	if s.observer != nil {
		s.observer.Decision(by.Name(), r.RPC, resultOf(err))
		if errors.Is(err, errSessionsAway) || errors.Is(err, errRevokedAway) || errors.Is(err, errLoginAway) {
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

// Done tells the policies that admitted the call how it ended, the last one
// first.
func (s *Set) Done(r *Request, o *Outcome) {
	for i := len(r.dones) - 1; i >= 0; i-- {
		r.dones[i](o)
	}
	clear(r.dones)
	r.dones = r.dones[:0]
}
