package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/events/stream"
	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
)

// listenedTopics are those that clients may listen to.
func (b *builder) listenedTopics() (topics []string) {
	for _, s := range b.file.Config.GetEvents().GetStreams() {
		topics = append(topics, s.GetTopic())
	}
	return topics
}

// hubKey is what the hub of a log is about.
type hubKey struct{ bus busKey }

// openStreams makes what Subscribe needs.
func (b *builder) openStreams(g *policy.Generation) {
	streams := b.file.Config.GetEvents().GetStreams()
	if len(streams) == 0 {
		return
	}
	if problems := stream.Check(streams); len(problems) > 0 {
		for _, p := range problems {
			g.RefuseConfig(fmt.Sprintf("events.streams[%d].%s", p.Index, p.Field), errors.New(p.Message))
		}
		return
	}
	if g.State.Offline || b.gateway.options.Events != nil {
		b.events.listeners = &listeners{gateway: b.gateway}
		return
	}
	rules, err := b.streamRules(g, streams)
	if err != nil {
		g.RefuseConfig("events.streams", err)
		return
	}
	b.snapshot.streams = rules
	b.events.listeners = &listeners{gateway: b.gateway, rules: rules, drain: drainOf(b.file.Config)}
}

func (b *builder) streamRules(g *policy.Generation, streams []*transomv1.EventStream) (*stream.Rules, error) {
	if _, err := b.publisher(g); err != nil {
		return nil, err
	}
	eventBus, key := b.snapshot.bus, b.busKey()
	hub, err := policy.Lease(g, hubKey{key}, func() (*stream.Hub, error) {
		return stream.NewHub(stream.Options{Log: eventBus.Log(), Directory: key.directory, Folder: eventBus.Folder(), Outer: noted, OuterRun: notedRun, Logger: b.gateway.options.Telemetry.Log})
	})
	if err != nil {
		return nil, err
	}
	rules, problems := hub.Rules(streams)
	if len(problems) > 0 {
		return nil, errors.New(problems[0].Message)
	}
	return rules, nil
}

// drainOf is in which time clients are asked to come back when the gateway shuts down.
func drainOf(c *transomv1.Config) time.Duration {
	const longest = 10 * time.Second
	if t := c.GetShutdownTimeout(); t != nil {
		return min(longest, t.AsDuration()/2)
	}
	return longest
}

// noted is what the edges get of an item.
func noted(i *stream.Item) any {
	note := &proxy.Note{ID: i.Cursor, Name: i.Name, Data: i.JSON}
	if i.Name == "begin" {
		note.Name, note.Retry = "", stream.Retry()
	}
	return proxy.WrapFrame(i.Message).WithNote(note)
}

// notedRun is what the edges get of items that are at hand at once.
func notedRun(items []*stream.Item) any {
	frames := make([]proxy.Frame, len(items))
	for i, item := range items {
		frames[i], _ = item.Outer.(proxy.Frame)
	}
	return proxy.NewRun(frames)
}

// listeners are the backend of Subscribe.
type listeners struct {
	gateway *Gateway
	rules   *stream.Rules // nil where nothing is called
	drain   time.Duration
}

var _ proxy.Backend = (*listeners)(nil)

// Call implements proxy.Backend: Subscribe is a stream.
func (l *listeners) Call(_ context.Context, method string, _ proxy.Metadata, request proxy.Frame) (proxy.Reply, error) {
	request.Free()
	return proxy.Reply{}, status.Errorf(codes.Unimplemented, "unknown method %s", method)
}

// Open implements proxy.Backend.
func (l *listeners) Open(ctx context.Context, _ string, _ proxy.Metadata, _ proxy.Shape) (proxy.Stream, error) {
	if l.rules == nil {
		return nil, status.Error(codes.Unavailable, "this gateway gives no events")
	}
	return &listener{ctx: ctx, of: l, leave: make(chan struct{})}, nil
}

// listener is one stream of Subscribe.
type listener struct {
	ctx    context.Context
	of     *listeners
	stream *stream.Stream
	leave  chan struct{} // closed when the client is to come back
	undo   func() bool
	frames []proxy.Frame // of a run that Recv has begun
	err    error
}

// Send implements proxy.Stream: it is the request.
func (s *listener) Send(f proxy.Frame) error {
	defer f.Free()
	r := &transomv1.SubscribeRequest{}
	if s.err = proxy.Unmarshal(f.Bytes(), r); s.err != nil {
		return nil //nolint:nilerr // Recv has it
	}
	caller := &stream.Caller{}
	if q := policy.RequestOf(s.ctx); q != nil {
		if id := field.First(q.HTTP.Header, "Last-Event-Id"); id != "" {
			r.LastEventId = id
		}
		if id := q.Identity; id != nil {
			*caller = stream.Caller{Principal: id.Principal, Roles: id.Roles, Claims: id.Claims}
		}
	}
	if s.stream, s.err = s.of.rules.Subscribe(r, caller); s.err != nil {
		s.err = subscribeError(s.err)
		return nil //nolint:nilerr // Recv has it
	}
	s.undo = context.AfterFunc(s.of.gateway.draining, func() {
		time.AfterFunc(rand.N(s.of.drain+1), func() { close(s.leave) }) //nolint:gosec // it spreads clients
	})
	return nil
}

func subscribeError(err error) error {
	switch {
	case errors.Is(err, stream.ErrNoTopic):
		return status.Error(codes.NotFound, err.Error())
	case errors.Is(err, stream.ErrRequest):
		return status.Error(codes.InvalidArgument, err.Error())
	}
	return status.Error(codes.ResourceExhausted, err.Error())
}

// CloseSend implements proxy.Stream.
func (*listener) CloseSend() error { return nil }

// Header implements proxy.Stream.
func (s *listener) Header() (metadata.MD, error) {
	if s.err != nil {
		return nil, nil
	}
	return metadata.MD{}, nil
}

// Trailer implements proxy.Stream.
func (*listener) Trailer() metadata.MD { return nil }

// Recv implements proxy.Stream.
func (s *listener) Recv() (proxy.Frame, error) {
	for len(s.frames) == 0 {
		run, err := s.RecvRun()
		if err != nil {
			return proxy.Frame{}, err
		}
		s.frames = run.Frames
	}
	f := s.frames[0]
	s.frames = s.frames[1:]
	return f, nil
}

// RecvRun returns the messages that are at hand, as Recv would one by one.
func (s *listener) RecvRun() (*proxy.Run, error) {
	if s.err != nil {
		return nil, s.err
	}
	run, err := s.stream.Next(s.ctx, s.leave)
	if err == nil {
		return run.Outer.(*proxy.Run), nil
	}
	switch {
	case err == io.EOF:
		s.err = comeBack{}
	case s.ctx.Err() != nil:
		s.err = status.FromContextError(err).Err()
	default:
		s.err = status.Error(codes.Unavailable, "the events cannot be read")
	}
	s.undo()
	s.stream.Close()
	return nil, s.err
}

// Ready reports whether RecvRun returns at once.
func (s *listener) Ready() bool { return s.err != nil || s.stream.Ready() }

// comeBack is the error of a stream whose client was told to come back.
type comeBack struct{}

// Error implements error.
func (comeBack) Error() string { return "the stream ends here; come back with the last cursor" }

// GRPCStatus is UNAVAILABLE.
func (e comeBack) GRPCStatus() *status.Status { return status.New(codes.Unavailable, e.Error()) }

// WebSocketClose is "service restart".
func (comeBack) WebSocketClose() int { return 1012 }

// RetryAfter implements what server-sent events ask of an error.
func (comeBack) RetryAfter() time.Duration { return stream.Retry() }
