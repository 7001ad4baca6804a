package sharing

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy"
)

// MayBeDone reports whether a call that failed may have been carried out: that it was not, the
// backend's own word says, or who did not let it get there (unseen, or who refused it). A backend that was told to end, or
// whose time was over, knows as little as the gateway; and where there was more than one attempt,
// nobody knows what the first has done.
func MayBeDone(reply *proxy.Reply, err error, unseen bool) bool {
	switch {
	case reply.Tries.Attempts > 1:
		return true
	case unseen, proxy.RefuserOf(err) != "", reply.Tries.Unsent:
		return false
	case !proxy.FromBackend(err):
		return true
	}
	switch status.Code(err) {
	case codes.Canceled, codes.DeadlineExceeded:
		return true
	}
	return false
}

// WithoutIDs is metadata without what says of which request or trace it is.
func WithoutIDs(md metadata.MD) metadata.MD {
	for _, name := range [...]string{"x-request-id", "traceparent", "tracestate"} {
		if len(md[name]) > 0 {
			md = md.Copy()
			delete(md, name)
		}
	}
	return md
}
