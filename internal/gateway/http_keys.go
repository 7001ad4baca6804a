package gateway

import (
	"context"
	"io"
	"net/http"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy/attempt"
	"github.com/transom-gateway/transom/proxy/httpbackend"
	"github.com/transom-gateway/transom/transcoder/exchange"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// maxKeyedBody bounds the body of a request under a key, in bytes: it is there as a whole
// before the request is made, as it is compared with that of an earlier one, and as the
// request does not end with its client.
const maxKeyedBody = 1 << 20

// keeper is the policy that keeps answers to keys of clients (Traffic 82).
type keeper interface {
	// Required reports whether requests without a key are refused.
	Required() bool
	// Key finds the key of an admitted request, "" where it is made without one. The error is
	// its refusal.
	Key(r *policy.Request) (string, error)
	// Sending returns what is told how many bytes more of a request's body are in memory while
	// its client sends it, and less in the end, and reports whether there is room for them.
	Sending(r *policy.Request) func(more int64) bool
	// Serve serves a request under a key, whose body is given. forward makes the exchange; it
	// is called once at most, and writes to what stands in x then.
	Serve(ctx context.Context, r *policy.Request, key string, body *attempt.Kept, x *httpbackend.Exchange, forward func(context.Context) httpbackend.Result) httpbackend.Result
}

// keyed makes an exchange, or gives the answer that is kept of it.
func (f *httpForward) keyed(ctx context.Context, c *call, d *httpDownstream, to *httpWay, x *httpbackend.Exchange) httpbackend.Result {
	if f.keys == nil {
		return to.answered(ctx, c, x)
	}
	key, err := f.keys.Key(&c.request)
	if err != nil {
		return httpbackend.Result{Err: err}
	}
	if key == "" {
		return to.answered(ctx, c, x)
	}
	limit := keyedLimit{bytes: maxKeyedBody, alone: !f.keys.Required()}
	if f.maxBody > 0 && f.maxBody <= limit.bytes {
		limit = keyedLimit{bytes: f.maxBody}
	}
	body := attempt.NewKept(int(limit.bytes))
	defer body.Free()
	if err := readKept(body, d.x, limit, c, f.keys.Sending); err != nil {
		return httpbackend.Result{Err: err}
	}
	x.R = withBody(c.r, body)
	x.Upgrades = nil // what changes its protocol has no answer to keep
	return f.keys.Serve(ctx, &c.request, key, body, x, func(ctx context.Context) httpbackend.Result {
		if f.places != nil {
			leave, err := f.places.Enter(ctx, &c.request)
			if err != nil {
				return httpbackend.Result{Err: err}
			}
			defer leave()
		}
		return to.answered(ctx, c, x)
	})
}

// entrance is the policy that bounds how many requests run.
type entrance interface {
	// Enter takes a place for an admitted request under a key, which leave gives back. The
	// error is its refusal.
	Enter(ctx context.Context, r *policy.Request) (leave func(), err error)
}

// readKept reads the body of a request, as a body of a unary call is read.
func readKept(body *attempt.Kept, x exchange.Exchange, limit keyedLimit, c *call, sending func(*policy.Request) func(int64) bool) error {
	if x.NoBody() || x.R.ContentLength == 0 {
		return nil
	}
	if x.R.ContentLength > limit.bytes {
		return limit.exceeded()
	}
	reading := exchange.Watch(&x, c.bounds.deadline)
	err := copyKept(body, x.R.Body, limit, sending(&c.request))
	if late := reading.Done(); late != nil {
		return late
	}
	return exchange.BodyError(err, limit.bytes)
}

// copyKept reads a body to its end, as long as there is room for it: see keeper.Sending.
func copyKept(body *attempt.Kept, from io.Reader, limit keyedLimit, room func(more int64) bool) error {
	var buffer [8 << 10]byte
	told := int64(0)
	defer func() { room(-told) }()
	for {
		n, err := from.Read(buffer[:])
		had := body.Len()
		if !body.Add(buffer[:n]) {
			if int64(had+n) > limit.bytes {
				return limit.exceeded()
			}
			return rpcerror.New(http.StatusServiceUnavailable, codes.Unavailable, "too many bodies are kept for now; try again later")
		}
		if more := body.Held() - told; more > 0 {
			told += more
			if !room(more) {
				return rpcerror.New(http.StatusServiceUnavailable, codes.Unavailable, "too many bodies of this client are not complete; send fewer of them at a time")
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// keyedLimit is how large the body of a request under a key may be.
type keyedLimit struct {
	bytes int64
	// alone tells that a larger one may be sent without a key.
	alone bool
}

// exceeded is the refusal of a body.
func (l keyedLimit) exceeded() error {
	hint := ""
	if l.alone {
		hint = "; without the header it may be larger, but then the request may be carried out twice if it is sent again"
	}
	return rpcerror.New(http.StatusRequestEntityTooLarge, codes.ResourceExhausted,
		"the body is larger than %d bytes, the most that a request with an Idempotency-Key may have%s", l.bytes, hint)
}

// withBody is a request whose body was read.
func withBody(r *http.Request, body *attempt.Kept) *http.Request {
	own := *r
	if len(r.Header["Upgrade"]) > 0 {
		own.Header = r.Header.Clone()
		delete(own.Header, "Upgrade")
	}
	if r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody {
		return &own
	}
	own.Body = &keptBody{of: body}
	if len(r.Trailer) == 0 {
		own.ContentLength, own.TransferEncoding = int64(body.Len()), nil
	}
	return &own
}

// keptBody is a body that was read.
type keptBody struct {
	of *attempt.Kept
	at int
}

// Read implements io.Reader.
func (b *keptBody) Read(p []byte) (int, error) {
	piece := b.of.From(b.at)
	if len(piece) == 0 {
		return 0, io.EOF
	}
	n := copy(p, piece)
	b.at += n
	return n, nil
}

// Close implements io.Closer.
func (b *keptBody) Close() error { return nil }
