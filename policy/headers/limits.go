package headers

import (
	"context"
	"fmt"
	"net/http"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/policy"
)

// headerLimit bounds the request's header. Bodies and messages are bounded
// where they are read, by the edges.
type headerLimit struct {
	max     uint64
	summary string // of all limits
}

var _ policy.Admitter = (*headerLimit)(nil)

// Name implements Part.
func (p *headerLimit) Name() string { return "limits" }

// Summary is one line for explain.
func (p *headerLimit) Summary() string { return p.summary }

// Admit implements Admitter.
func (p *headerLimit) Admit(ctx context.Context, r *policy.Request) (context.Context, policy.Done, error) {
	if size := headerSize(r.HTTP); size > p.max {
		err := policy.Refusal(codes.ResourceExhausted, fmt.Sprintf("the request's header has %d bytes; at most %d are taken", size, p.max),
			&errdetails.ErrorInfo{Reason: "HEADER_TOO_LARGE", Domain: policy.ErrorDomain})
		return ctx, nil, policy.WithHTTPStatus(err, http.StatusRequestHeaderFieldsTooLarge)
	}
	return ctx, nil, nil
}

// headerSize counts the header as HTTP/1.1 writes it: "name: value" and a line
// end each, whatever the protocol compressed it to.
func headerSize(r *http.Request) uint64 {
	n := len("host: ") + len(r.Host) + 2
	for name, values := range r.Header {
		for _, value := range values {
			n += len(name) + len(value) + 4
		}
	}
	return uint64(n)
}

// Limits is the policy limits, as far as it is not the edges'.
func Limits() policy.Kind { return policy.Kind{Field: "limits", Compile: compileLimits} }

// compileLimits compiles max_header_bytes.
func compileLimits(s *policy.Scope) policy.Part {
	if n := s.Policy.GetLimits().GetMaxHeaderBytes(); n > 0 {
		return &headerLimit{max: n, summary: policy.Text(s.Policy.GetLimits())}
	}
	return nil
}
