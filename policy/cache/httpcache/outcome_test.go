package httpcache

import (
	"context"
	"net/http"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy/httpbackend"
)

// tried is a way whose requests took a number of attempts.
type tried struct {
	*origin
	attempts int
}

// Forward implements httpbackend.Way.
func (o *tried) Forward(ctx context.Context, x *httpbackend.Exchange) httpbackend.Result {
	result := o.origin.Forward(ctx, x)
	result.Tries.Attempts = o.attempts
	return result
}

// TestUnknownOutcome: Traffic 127 and 131: a request that may change something drops what is
// kept of its URI where nobody knows whether it was carried out.
func TestUnknownOutcome(t *testing.T) {
	for name, test := range map[string]struct {
		status   int // 0: the client went
		attempts int
		want     string
	}{
		"refused":                       {http.StatusConflict, 1, hit},
		"refused at the second attempt": {http.StatusConflict, 2, miss},
		"a broken gateway behind":       {http.StatusBadGateway, 1, miss},
		"a late gateway behind":         {http.StatusGatewayTimeout, 1, miss},
		"unavailable":                   {http.StatusServiceUnavailable, 1, hit},
		"given up":                      {0, 1, miss},
		"carried out":                   {http.StatusNoContent, 1, miss},
	} {
		t.Run("Traffic 127: "+name, func(t *testing.T) {
			p := newPart(t, nil)
			ctx, cancel := context.WithCancel(t.Context())
			o := &origin{serve: func(_ context.Context, w http.ResponseWriter, r *http.Request) error {
				switch {
				case r.Method == http.MethodGet:
					begin(w, 200, "Cache-Control", "max-age=60")
				case test.status == 0:
					cancel() // the client goes while the server works
					return status.Error(codes.Canceled, "the client went away")
				default:
					begin(w, test.status)
				}
				return nil
			}}
			get(p, o, "/a").expect(t, miss, 200, "")
			put := newClient("PUT", "/a")
			p.Serve(ctx, &put.request, "/a", &put.x, &tried{o, test.attempts})
			get(p, o, "/a").expect(t, test.want, 200, "")
			cancel()
		})
	}
}
