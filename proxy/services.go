package proxy

import (
	"context"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Services is a Backend in this process: gRPC services that are registered as
// with a grpc.Server. Their handlers see no metadata of the client and may set
// none in unary calls. The zero value has no service; all are registered before
// the first call.
type Services struct {
	unary   map[string]unaryHandler
	streams map[string]streamHandler
}

var (
	_ Backend               = (*Services)(nil)
	_ grpc.ServiceRegistrar = (*Services)(nil)
)

type (
	unaryHandler  func(ctx context.Context, decode func(any) error) (any, error)
	streamHandler func(grpc.ServerStream) error
)

// RegisterService implements grpc.ServiceRegistrar.
func (s *Services) RegisterService(desc *grpc.ServiceDesc, impl any) {
	if s.unary == nil {
		s.unary, s.streams = map[string]unaryHandler{}, map[string]streamHandler{}
	}
	for _, m := range desc.Methods {
		s.unary["/"+desc.ServiceName+"/"+m.MethodName] = func(ctx context.Context, decode func(any) error) (any, error) {
			return m.Handler(impl, ctx, decode, nil)
		}
	}
	for _, m := range desc.Streams {
		s.streams["/"+desc.ServiceName+"/"+m.StreamName] = func(stream grpc.ServerStream) error {
			return m.Handler(impl, stream)
		}
	}
}

// Call implements Backend.
func (s *Services) Call(ctx context.Context, method string, _ Metadata, request Frame) (Reply, error) {
	defer request.Free()
	handle := s.unary[method]
	if handle == nil {
		return Reply{}, unknownMethod(method)
	}
	answer, err := handle(ctx, func(m any) error { return decodeRequest(request, m) })
	if err != nil {
		return Reply{}, statusError(err)
	}
	message, err := Marshal(answer)
	if err != nil {
		return Reply{}, status.Error(codes.Internal, err.Error())
	}
	return Reply{Message: message}, nil
}

// Open implements Backend. The handler runs until it returns, which it does soon
// after ctx has ended.
func (s *Services) Open(ctx context.Context, method string, _ Metadata, _ Shape) (Stream, error) {
	handle := s.streams[method]
	if handle == nil {
		return nil, unknownMethod(method)
	}
	stream := &serviceStream{
		ctx: ctx, up: make(chan Frame), down: make(chan Frame),
		headed: make(chan struct{}), done: make(chan struct{}),
	}
	go func() { stream.end(handle(handlerStream{stream})) }()
	return stream, nil
}

func unknownMethod(method string) error {
	return status.Errorf(codes.Unimplemented, "unknown method %s", method)
}

func decodeRequest(f Frame, m any) error {
	if err := Unmarshal(f.Bytes(), m); err != nil {
		return status.Error(codes.InvalidArgument, "the request's message is malformed")
	}
	return nil
}

// serviceStream joins a Stream and the handler's half of it, handlerStream, with
// one message in flight each way.
type serviceStream struct {
	ctx      context.Context
	up, down chan Frame
	half     sync.Once // closes up

	head   sync.Once
	headed chan struct{} // closed when header is settled
	header metadata.MD   // nil where nothing was sent

	done    chan struct{} // closed when the handler has returned
	err     error
	trailer metadata.MD
}

// end takes what the handler returned.
func (s *serviceStream) end(err error) {
	if s.err = io.EOF; err != nil {
		s.err = statusError(err)
	}
	s.head.Do(func() { close(s.headed) })
	close(s.done)
}

// Send implements Stream.
func (s *serviceStream) Send(f Frame) error {
	select {
	case s.up <- f:
		return nil
	case <-s.done:
		f.Free()
		return io.EOF
	}
}

// CloseSend implements Stream.
func (s *serviceStream) CloseSend() error {
	s.half.Do(func() { close(s.up) })
	return nil
}

// Recv implements Stream.
func (s *serviceStream) Recv() (Frame, error) {
	select {
	case f := <-s.down:
		return f, nil
	case <-s.done:
		return Frame{}, s.err
	}
}

// Header implements Stream.
func (s *serviceStream) Header() (metadata.MD, error) {
	<-s.headed
	return s.header, nil
}

// Trailer implements Stream.
func (s *serviceStream) Trailer() metadata.MD { return s.trailer }

// handlerStream is the handler's half of a serviceStream.
type handlerStream struct{ stream *serviceStream }

var _ grpc.ServerStream = handlerStream{}

func (h handlerStream) Context() context.Context { return h.stream.ctx }

// SetHeader has no effect once the header is sent.
func (h handlerStream) SetHeader(md metadata.MD) error {
	select {
	case <-h.stream.headed:
	default:
		h.stream.header = metadata.Join(h.stream.header, md)
	}
	return nil
}

func (h handlerStream) SendHeader(md metadata.MD) error {
	h.stream.head.Do(func() {
		h.stream.header = metadata.Join(h.stream.header, md) // never nil
		close(h.stream.headed)
	})
	return nil
}

func (h handlerStream) SetTrailer(md metadata.MD) {
	h.stream.trailer = metadata.Join(h.stream.trailer, md)
}

func (h handlerStream) SendMsg(m any) error {
	f, err := Marshal(m)
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	_ = h.SendHeader(nil) // it has no error
	select {
	case h.stream.down <- f:
		return nil
	case <-h.stream.ctx.Done():
		f.Free()
		return status.FromContextError(h.stream.ctx.Err()).Err()
	}
}

func (h handlerStream) RecvMsg(m any) error {
	select {
	case f, ok := <-h.stream.up:
		if !ok {
			return io.EOF
		}
		defer f.Free()
		return decodeRequest(f, m)
	case <-h.stream.ctx.Done():
		return status.FromContextError(h.stream.ctx.Err()).Err()
	}
}
