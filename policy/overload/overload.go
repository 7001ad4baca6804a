// Package overload refuses calls while the process is short of memory. It is no field of
// policies: it holds for all calls alike.
package overload

import (
	"context"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy"
)

const name = "overload"

// retryAfter is when clients are asked to come again. A stage lasts until the next collection of
// the heap, which a second brings.
const retryAfter = 2 * time.Second

// healthService is served whatever the memory, where it is the gateway's own.
const healthService protoreflect.FullName = "grpc.health.v1.Health"

// ErrShort refuses a call for which there is no memory.
var ErrShort = proxy.RefusedBy(name, policy.Refusal(codes.Unavailable, "the gateway is short of memory; try again later",
	&errdetails.ErrorInfo{Reason: "OVERLOADED", Domain: policy.ErrorDomain},
	&errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)}))

// Kind is what refuses calls as a stage of overload says (Traffic 200).
func Kind() policy.Kind { return policy.Kind{Compile: compile} }

type part struct {
	memory interface{ Refuses(streams bool) bool }
}

var _ policy.Admitter = part{}

func compile(s *policy.Scope) policy.Part {
	if s.State.Overload == nil || s.Method != nil && s.Upstream == "" && s.Method.Parent().FullName() == healthService {
		return nil
	}
	return part{s.State.Overload}
}

// Name implements policy.Part.
func (part) Name() string { return name }

// Admit implements policy.Admitter.
func (p part) Admit(ctx context.Context, r *policy.Request) (context.Context, policy.Done, error) {
	if !p.memory.Refuses(r.Stream || r.WebSocket) {
		return ctx, nil, nil
	}
	policy.RetryAfter(r.ResponseHeader, retryAfter)
	return ctx, nil, ErrShort
}
