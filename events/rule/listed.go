package rule

import (
	"context"

	"github.com/transom-gateway/transom/policy"
)

// compileListed makes the Part of a method or route that stands behind all that admit calls.
func compileListed(s *policy.Scope) policy.Part {
	e := compiledOf(s).ends
	switch {
	case e == nil:
		return nil
	case len(e.request) == 0 && !e.needsRequest && !e.intents:
		return &listed{e}
	case s.Method == nil || s.Method.IsStreamingClient():
		return &admitted{listed{e}}
	}
	return &message{listed{e}}
}

// listed is the policy for people; nothing is to be done before the backend is called.
type listed struct{ ends *ends }

// Name implements policy.Part.
func (*listed) Name() string { return name }

// Summary is one line for people.
func (p *listed) Summary() string { return p.ends.Summary() }

// EventTypes are those of the rules.
func (p *listed) EventTypes() []string { return p.ends.EventTypes() }

// EventTopics are those of the rules.
func (p *listed) EventTopics() []string { return p.ends.EventTopics() }

// admitted sees calls whose messages are many, or none.
type admitted struct{ listed }

var _ policy.Admitter = (*admitted)(nil)

// Admit implements policy.Admitter.
func (p *admitted) Admit(ctx context.Context, r *policy.Request) (context.Context, policy.Done, error) {
	return ctx, nil, p.ends.admitted(ctx, r, nil, false)
}

// message sees the one message of a call, which all others have let in.
type message struct{ listed }

var _ policy.MessageChecker = (*message)(nil)

// Message implements policy.MessageChecker.
func (p *message) Message(ctx context.Context, r *policy.Request, message []byte) error {
	return p.ends.admitted(ctx, r, message, true)
}
