package grpcgo

import (
	"context"
	"io"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/transport"
)

// backend is a proxy.Backend over grpc-go's client.
type backend struct {
	conn  *Conn
	limit int // of one message of the backend, in bytes
}

var (
	_ proxy.Backend    = (*backend)(nil)
	_ proxy.Stream     = (*stream)(nil)
	_ encoding.CodecV2 = codec{}
)

// Call implements proxy.Backend.
func (b *backend) Call(ctx context.Context, method string, header proxy.Metadata, request proxy.Frame) (reply proxy.Reply, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := b.open(ctx, method, header, proxy.Shape{})
	if err != nil {
		request.Free()
		return proxy.Reply{Tries: proxy.Tries{Unsent: true}}, err
	}
	_ = s.Send(request) // Recv has the reason of a failure
	reply.Message, err = s.one()
	reply.Header, _ = s.Header() // Recv has told of it
	reply.Trailer = s.Trailer()
	reply.Tries.Unsent = err != nil && !s.request.sent.Load()
	return reply, err
}

// Open implements proxy.Backend.
func (b *backend) Open(ctx context.Context, method string, header proxy.Metadata, shape proxy.Shape) (proxy.Stream, error) {
	s, err := b.open(ctx, method, header, shape)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// open begins a call. All are streams to grpc-go, which so leaves it to us what an
// answer with no message or with two is.
func (b *backend) open(ctx context.Context, method string, header proxy.Metadata, shape proxy.Shape) (*stream, error) {
	if _, err := transport.CheckMetadata(header); err != nil {
		return nil, err
	}
	s := &stream{backend: b, request: new(seen)}
	s.ctx = context.WithValue(metadata.NewOutgoingContext(ctx, outgoing(header)), seenKey{}, s.request)
	description := grpc.StreamDesc{ClientStreams: shape.ClientStreams, ServerStreams: true}
	var err error
	s.grpc, err = b.conn.client.NewStream(s.ctx, &description, method,
		grpc.ForceCodecV2(codec{}), grpc.MaxCallRecvMsgSize(b.limit))
	if err != nil {
		return nil, s.failed(err)
	}
	return s, nil
}

// outgoing is the metadata as grpc-go takes it.
func outgoing(header proxy.Metadata) metadata.MD {
	md := make(metadata.MD, len(header)/2)
	for i := 0; i+1 < len(header); i += 2 {
		name, value := header[i], header[i+1]
		if transport.Owned(name) {
			continue
		}
		if !strings.HasSuffix(name, "-bin") {
			value = strings.Trim(value, " ") // RFC 9113, 8.2.1
		}
		md[name] = append(md[name], value)
	}
	return md
}

// errLargeMetadata is the status of a call whose metadata is above maxHeaderList.
var errLargeMetadata = status.Error(codes.Internal, "the backend's metadata is larger than 1 MiB")

// large reports whether metadata is above maxHeaderList, counted as in RFC 9113, 6.5.2.
func large(md metadata.MD) bool {
	size := 0
	for name, values := range md {
		for _, value := range values {
			size += len(name) + len(value) + 32
		}
	}
	return size > maxHeaderList
}

// incoming is metadata of the server without what is gRPC's own.
func incoming(md metadata.MD) metadata.MD {
	delete(md, "content-type")
	delete(md, "grpc-status-details-bin")
	return md
}

// stream is a proxy.Stream over one of grpc-go's.
type stream struct {
	backend *backend
	ctx     context.Context
	request *seen
	grpc    grpc.ClientStream
}

// Send implements proxy.Stream.
func (s *stream) Send(f proxy.Frame) error {
	defer f.Free()
	if err := s.grpc.SendMsg(&f); err != nil {
		return io.EOF
	}
	return nil
}

// CloseSend implements proxy.Stream.
func (s *stream) CloseSend() error { return s.grpc.CloseSend() }

// Recv implements proxy.Stream.
func (s *stream) Recv() (f proxy.Frame, err error) {
	switch err = s.grpc.RecvMsg(&f); {
	case err == nil:
		if _, err = s.Header(); err != nil {
			f.Free()
		}
		return f, err
	case large(s.grpc.Trailer()):
		return f, errLargeMetadata
	case err != io.EOF:
		err = s.failed(err)
	}
	return f, err
}

// one returns the only message of the answer.
func (s *stream) one() (proxy.Frame, error) {
	message, err := s.Recv()
	if err == io.EOF {
		return proxy.Frame{}, transport.ErrNoAnswer
	}
	if err != nil {
		return proxy.Frame{}, err
	}
	second, err := s.Recv()
	if err == io.EOF {
		return message, nil
	}
	message.Free()
	if err == nil {
		second.Free()
		err = transport.ErrManyAnswers
	}
	return proxy.Frame{}, err
}

// Header implements proxy.Stream.
func (s *stream) Header() (metadata.MD, error) {
	header, err := s.grpc.Header()
	if err != nil {
		return nil, s.failed(err)
	}
	if large(header) {
		return nil, errLargeMetadata
	}
	if kind := header.Get("content-type"); len(kind) > 0 && strings.HasPrefix(kind[0], "application/grpc+json") {
		return nil, status.Error(codes.Unknown, notGRPC) // which grpc-go leaves to its codecs
	}
	return incoming(header), nil
}

// Trailer implements proxy.Stream.
func (s *stream) Trailer() metadata.MD { return incoming(s.grpc.Trailer()) }

// codec passes the bytes of frames through.
type codec struct{}

// Name implements encoding.CodecV2: the content type says no more than
// application/grpc.
func (codec) Name() string { return "" }

// Marshal implements encoding.CodecV2.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	buffers := v.(*proxy.Frame).Buffers()
	buffers.Ref()
	return buffers, nil
}

// Unmarshal implements encoding.CodecV2.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	data.Ref()
	*v.(*proxy.Frame) = proxy.FrameOf(slices.Clone(data))
	return nil
}
