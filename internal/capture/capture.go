// Package capture keeps the first messages of calls for operators who watch them live (Surface 242): the fields that admin.capture
// names, none of them sensitive.
package capture

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/httprule"
	"github.com/transom-gateway/transom/internal/live"
	"github.com/transom-gateway/transom/internal/problem"
	"github.com/transom-gateway/transom/internal/projection"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// maxCaptured is the longest message, in wire format, that is looked at to be shown.
const maxCaptured = 64 << 10

// Kind keeps messages for those who watch a hub. It belongs in front of all that may answer in a backend's place, so that it
// sees what clients sent and get.
func Kind(hub *live.Hub) policy.Kind {
	return policy.Kind{Compile: func(s *policy.Scope) policy.Part {
		rules := s.Config.GetAdmin().GetCapture()
		if len(rules) == 0 || s.Method == nil {
			return nil
		}
		i := ruleOf(rules, string(s.Method.FullName()))
		if i < 0 {
			return nil
		}
		c := &capture{hub: hub}
		find := finder(s)
		for j, of := range []protoreflect.MessageDescriptor{live.Request: s.Method.Input(), live.Response: s.Method.Output()} {
			c.sides[j] = shownFields(s, i, j, of, find)
		}
		return c
	}}
}

// ruleOf is the last rule that fits a method, below 0 for none.
func ruleOf(rules []*transomv1.Capture, method string) int {
	for i := len(rules) - 1; i >= 0; i-- {
		if selector, err := httprule.ParseSelector(rules[i].GetSelector()); err == nil && selector.Match(method) {
			return i
		}
	}
	return -1
}

// finder finds what an Any holds; it may be nil.
func finder(s *policy.Scope) func(protoreflect.FullName) (protoreflect.MessageDescriptor, error) {
	if known, ok := s.SchemaExtensions().(interface {
		FindMessageByName(protoreflect.FullName) (protoreflect.MessageDescriptor, error)
	}); ok {
		return known.FindMessageByName
	}
	return nil
}

// shownFields are those of one side of a method that a rule shows; nil for none.
func shownFields(s *policy.Scope, rule, side int, of protoreflect.MessageDescriptor, find func(protoreflect.FullName) (protoreflect.MessageDescriptor, error)) *shown {
	var paths []string
	for i, path := range s.Config.GetAdmin().GetCapture()[rule].GetFields() {
		own, ok := strings.CutPrefix(path, [...]string{live.Request: "request.", live.Response: "response."}[side])
		if path == "*" {
			own, ok = path, true
		}
		if !ok {
			continue
		}
		if _, err := projection.New(of, projection.Options{Paths: []string{own}, Find: find}); err != nil {
			at := fmt.Sprintf("admin.capture[%d].fields[%d]", rule, i)
			s.Note(problem.At(s.Position(at), fmt.Sprintf("%s: found %q: %v", at, path, err)))
			continue
		}
		paths = append(paths, own)
	}
	p, err := projection.New(of, projection.Options{Paths: paths, Find: find})
	if len(paths) == 0 || err != nil {
		return nil
	}
	return &shown{p, jsonwire.NewPlans(p).Message(p.Descriptor())}
}

// shown writes what may be seen of a message.
type shown struct {
	*projection.Projection
	plan *jsonwire.Plan
}

// add keeps a message, or as much of it as may be.
func (s *shown) add(to *live.Bodies, side int, message []byte) {
	if s == nil || !to.Wants(side) {
		return
	}
	if len(message) > maxCaptured {
		to.Cut()
		return
	}
	less, err := s.Append(make([]byte, 0, len(message)), message)
	var text []byte
	if err == nil {
		text, err = s.plan.AppendJSON(make([]byte, 0, 256), less, jsonwire.Output{OmitDefaults: true, LenientAny: true, MaxBytes: maxCaptured})
	}
	if err != nil {
		to.Cut() // too long as JSON, or no message that can be read
		return
	}
	to.Add(side, text)
}

// capture keeps messages of the calls of one method.
type capture struct {
	hub   *live.Hub
	sides [2]*shown
}

var _ policy.Wrapper = (*capture)(nil)

// Name implements policy.Part.
func (*capture) Name() string { return "capture" }

// Decides implements policy.Wrapper: it refuses no call.
func (*capture) Decides() bool { return false }

// Concerns is what policy.Wrapper asks for: where nobody watches messages a call pays one atomic load.
func (c *capture) Concerns(*policy.Request) bool { return c.hub.Capturing() }

// Wrap implements policy.Wrapper.
func (c *capture) Wrap(next proxy.Backend) proxy.Backend { return &capturing{next, c} }

// begin begins to keep the messages of a call; nil where they are not to be kept.
func (c *capture) begin(ctx context.Context) *live.Bodies {
	if !c.hub.Capturing() {
		return nil
	}
	r := policy.RequestOf(ctx)
	if r == nil || r.Kept(live.Kept{}) != nil {
		return nil
	}
	bodies := c.hub.Capture()
	if bodies != nil {
		r.Keep(live.Kept{}, bodies)
	}
	return bodies
}

// capturing is a backend whose messages are kept.
type capturing struct {
	proxy.Backend
	capture *capture
}

// Call implements proxy.Backend.
func (b *capturing) Call(ctx context.Context, method string, header proxy.Metadata, request proxy.Frame) (proxy.Reply, error) {
	bodies := b.capture.begin(ctx)
	if bodies == nil {
		return b.Backend.Call(ctx, method, header, request)
	}
	b.capture.sides[live.Request].add(bodies, live.Request, request.Bytes())
	reply, err := b.Backend.Call(ctx, method, header, request)
	if err == nil {
		b.capture.sides[live.Response].add(bodies, live.Response, reply.Message.Bytes())
	}
	return reply, err
}

// Open implements proxy.Backend.
func (b *capturing) Open(ctx context.Context, method string, header proxy.Metadata, shape proxy.Shape) (proxy.Stream, error) {
	bodies := b.capture.begin(ctx)
	stream, err := b.Backend.Open(ctx, method, header, shape)
	if bodies == nil || err != nil {
		return stream, err
	}
	return &capturedStream{stream, b.capture, bodies}, nil
}

// capturedStream is a stream whose first messages are kept.
type capturedStream struct {
	proxy.Stream
	capture *capture
	bodies  *live.Bodies
}

// Send implements proxy.Stream.
func (s *capturedStream) Send(f proxy.Frame) error {
	s.capture.sides[live.Request].add(s.bodies, live.Request, f.Bytes())
	return s.Stream.Send(f)
}

// Recv implements proxy.Stream.
func (s *capturedStream) Recv() (proxy.Frame, error) {
	f, err := s.Stream.Recv()
	if err == nil {
		s.capture.sides[live.Response].add(s.bodies, live.Response, f.Bytes())
	}
	return f, err
}

// Tries tells of the attempts that the stream took.
func (s *capturedStream) Tries() proxy.Tries {
	if tried, ok := s.Stream.(interface{ Tries() proxy.Tries }); ok {
		return tried.Tries()
	}
	return proxy.Tries{}
}
