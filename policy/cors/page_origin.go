package cors

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/internal/problem"
	"github.com/transom-gateway/transom/policy"
)

// maxShownOrigin bounds what an error repeats of an origin, in bytes.
const maxShownOrigin = 64

// pageOrigin refuses WebSockets to the pages of other origins. It holds for every
// method, with the policy cors or without: browsers send cookies along whatever page
// opens one.
type pageOrigin struct {
	// allow reports whether pages of another origin may; nil allows none.
	allow func(origin string) bool
}

var (
	_ policy.Admitter = (*pageOrigin)(nil)
	_ policy.Finisher = (*pageOrigin)(nil)
)

// PageOrigin is the check of the pages that open WebSockets. It belongs before all that
// counts: a page that may not ask must use up nothing of what limits count.
func PageOrigin() policy.Kind {
	return policy.Kind{Compile: func(*policy.Scope) policy.Part { return new(pageOrigin) }}
}

// Name implements policy.Part.
func (*pageOrigin) Name() string { return "cors" }

// Finish implements policy.Finisher: the method's policy says which pages may.
func (p *pageOrigin) Finish(s *policy.Set, _ []policy.Route) {
	if cors, ok := policy.Find[*Policy](s); ok {
		p.allow = cors.AllowsOrigin
	}
}

// Admit implements policy.Admitter. The pages of the host that was asked may open one,
// and those that the policy lists.
func (p *pageOrigin) Admit(ctx context.Context, r *policy.Request) (context.Context, policy.Done, error) {
	origins := r.HTTP.Header[originHeader]
	switch {
	case !r.WebSocket || len(origins) == 0: // not a browser
	case len(origins) == 1 && field.SameOrigin(origins[0], r.Authority(), r.Secure()):
	case len(origins) == 1 && p.allow != nil && p.allow(origins[0]):
	default:
		return ctx, nil, status.Errorf(codes.PermissionDenied, "a page of %q may not open a WebSocket here; the policy cors lists the origins that may", problem.Clip(origins[0], maxShownOrigin))
	}
	return ctx, nil, nil
}
