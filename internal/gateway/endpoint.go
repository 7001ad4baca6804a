package gateway

import (
	"context"
	"net/http"
	"slices"
	"time"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/exchange"
)

// An endpoint is what a route leads to. Finding the route, admitting the call, telling
// of it and logging it are the same for all endpoints; how the client's request is read,
// who answers it and in what form is the endpoint's. One is made when the snapshot is
// built, and serves many calls at once.
type endpoint interface {
	// accepts settles the protocol of a request for the endpoint's own path, which
	// detected is the first guess of. False where the path does not take the request.
	accepts(r *http.Request, detected *transcoder.Protocol) (*transcoder.Protocol, bool)
	// streams reports whether a request's call may go on without end.
	streams(r *http.Request, p *transcoder.Protocol) bool
	// clientStreams reports whether what the client sends is a stream of messages, whose
	// reading the edge bounds for as long as the call is open.
	clientStreams() bool
	// method is the RPC that the endpoint is; false for what is none.
	method() (protoreflect.MethodDescriptor, bool)
	// begin makes what the backend is told of the request, before the policies add to it.
	// The error is one that those who may call are refused with.
	begin(c *call) error
	// bound makes the context of an admitted call, whose deadline ctx has already.
	bound(ctx context.Context, g *Gateway, c *call) (context.Context, context.CancelFunc)
	// downstream makes the client's half of a call, and reads nothing of it yet. Its
	// Finish answers a call that was refused, too.
	downstream(p *transcoder.Protocol, x exchange.Exchange) proxy.Downstream
	// relay carries a call from its open downstream to the end. Finish is its caller's.
	relay(ctx context.Context, c *call) proxy.Result
	// protocolName is the protocol of a request, for logs and metrics.
	protocolName(p *transcoder.Protocol, h http.Header) string
	// dropsBody reports whether the endpoint takes no notice of a request's body.
	dropsBody(r *http.Request, p *transcoder.Protocol) bool
	// String names the endpoint for people: an RPC by its full name.
	String() string
	// where the route is written, for people.
	where() string
	// same reports whether the endpoint of another snapshot does the same, upstreams and
	// policies aside.
	same(endpoint) bool
}

// guard is what stands before an endpoint, whatever that is: its policies, and the bounds
// of its calls. All routes to one endpoint have the same.
type guard struct {
	// name is what policies, logs and metrics call the endpoint: of an RPC
	// "package.Service/Method".
	name        string
	set         *policy.Set
	upstream    string
	timeout     time.Duration
	idleTimeout time.Duration
	// clientTime: the client may say how long its call may take.
	clientTime bool
	// endless: its streams go on as long as the gateway does, and end when that shuts
	// down, not shutdown_timeout later.
	endless bool
	// comesBack: its streams ask their clients themselves to come back when the gateway shuts
	// down, and may last until shutdown_timeout is over.
	comesBack bool
	// changesHeader: some policy changes the header of the answer.
	changesHeader bool
	// runsEarly: its calls may be made twice, so those are served that came before the client's handshake
	// was over; of a plain HTTP route those of GET and HEAD.
	runsEarly bool
	// placing says at which server of the upstream calls are best made; nil: at any.
	placing *placing
	// split has calls spread over several upstreams; nil: all go to upstream.
	split *split
}

// deadline is when the call must have ended: the shorter of the client's time
// and the policy's. Zero is never. whose is proxy.ErrClientTime for the client's, nil for
// the policy's. The error is of the client's header.
func (g *guard) deadline(h http.Header) (deadline time.Time, whose, err error) {
	var timeout time.Duration
	var limited bool
	if g.clientTime {
		if timeout, limited, err = transcoder.ClientTimeout(h); err != nil {
			return time.Time{}, nil, err
		}
	}
	whose = proxy.ErrClientTime
	if g.timeout > 0 && (!limited || g.timeout < timeout) {
		timeout, limited, whose = g.timeout, true, nil
	}
	if !limited {
		return time.Time{}, nil, nil
	}
	return time.Now().Add(timeout), whose, nil
}

// decides reports whether the policy of a field is one that decides on calls.
func (g *guard) decides(name string) bool {
	return slices.ContainsFunc(g.set.Parts(), func(p policy.Part) bool { return p.Name() == name })
}

// validator is what checks the rules of requests; nil where nothing does.
func (g *guard) validator() protovalidate.Validator {
	for _, p := range g.set.Parts() {
		if v, ok := p.(interface {
			Validator() protovalidate.Validator
		}); ok {
			return v.Validator()
		}
	}
	return nil
}

// explained lists the policies that hold for the endpoint: those that decide, in their
// order, then the settings.
func (g *guard) explained() []policy.Explained {
	return slices.DeleteFunc(slices.Clone(g.set.Explain()), func(e policy.Explained) bool {
		switch e.Name {
		case "timeout":
			return g.set.Timeout == 0 // a wider one does not hold for streams
		case "validate":
			return !g.decides("validate") // disabled
		case "hidden":
			return true // what is listed is not hidden
		}
		return false
	})
}
