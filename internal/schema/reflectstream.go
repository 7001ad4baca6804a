package schema

import (
	"context"
	"errors"
	"io"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// reflectionMethods are the versions of the protocol, in the order in which they
// are tried. They differ in the name only: the messages are the same on the wire.
var reflectionMethods = [...]string{
	"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
	"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
}

// reflectionStream asks a server one question after the other. The clients that
// others wrote link the files themselves and keep the bytes; here the linker of
// all sources does it, which can name what is missing and go on without it.
type reflectionStream struct {
	ctx    context.Context // ends the conversation
	conn   grpc.ClientConnInterface
	method string

	stream  grpc.ClientStream
	cancel  context.CancelFunc
	answers int // on all streams
	failure error
}

// errAnswer is what a question gets whose answer has another kind.
var errAnswer = errors.New("the server answered another question than the one asked")

// services lists what the server offers, sorted, each once.
func (s *reflectionStream) services() ([]protoreflect.FullName, error) {
	answer, err := s.ask(&reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{ListServices: "*"},
	})
	if err != nil {
		return nil, err
	}
	list := answer.GetListServicesResponse()
	if list == nil {
		return nil, errAnswer
	}
	names := make([]protoreflect.FullName, 0, len(list.GetService()))
	for _, service := range list.GetService() {
		names = append(names, protoreflect.FullName(service.GetName()))
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// fileContaining asks for the file that declares a service.
func (s *reflectionStream) fileContaining(name protoreflect.FullName) ([][]byte, error) {
	return s.files(&reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: string(name)},
	})
}

// fileNamed asks for a file by its import path.
func (s *reflectionStream) fileNamed(path string) ([][]byte, error) {
	return s.files(&reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_FileByFilename{FileByFilename: path},
	})
}

// files asks for a file and returns what the server sends: the file, and what it
// imports if the server likes to.
func (s *reflectionStream) files(question *reflectionv1.ServerReflectionRequest) ([][]byte, error) {
	answer, err := s.ask(question)
	if err != nil {
		return nil, err
	}
	files := answer.GetFileDescriptorResponse()
	if files == nil {
		return nil, errAnswer
	}
	return files.GetFileDescriptorProto(), nil
}

// ask sends a question and waits for its answer. A server may end the stream
// over a question it does not like: the next one opens another.
func (s *reflectionStream) ask(question *reflectionv1.ServerReflectionRequest) (*reflectionv1.ServerReflectionResponse, error) {
	fresh := s.stream == nil
	answer, err := s.exchange(question)
	if err != nil && !fresh && !s.ended() {
		answer, err = s.exchange(question)
	}
	if err != nil {
		return nil, err
	}
	s.answers++
	if refusal := answer.GetErrorResponse(); refusal != nil {
		code := codes.Code(refusal.GetErrorCode())
		if code == codes.OK {
			code = codes.Unknown
		}
		return nil, status.Error(code, refusal.GetErrorMessage())
	}
	return answer, nil
}

// exchange sends one message and receives one, on a new stream if there is none.
// After an error there is none.
func (s *reflectionStream) exchange(question *reflectionv1.ServerReflectionRequest) (*reflectionv1.ServerReflectionResponse, error) {
	if s.stream == nil {
		if err := s.open(); err != nil {
			return nil, s.fail(err)
		}
	}
	// An error of Send is a hint only: the stream's own is the reason.
	if err := s.stream.SendMsg(question); err != nil && !errors.Is(err, io.EOF) {
		return nil, s.fail(err)
	}
	answer := new(reflectionv1.ServerReflectionResponse)
	if err := s.stream.RecvMsg(answer); err != nil {
		return nil, s.fail(err)
	}
	return answer, nil
}

// open starts a stream.
func (s *reflectionStream) open() error {
	ctx, cancel := context.WithCancel(s.ctx)
	stream, err := s.conn.NewStream(ctx, &grpc.StreamDesc{
		StreamName:    "ServerReflectionInfo",
		ClientStreams: true,
		ServerStreams: true,
	}, s.method, grpc.MaxCallRecvMsgSize(reflectionMessage))
	if err != nil {
		cancel()
		return err
	}
	s.stream, s.cancel = stream, cancel
	return nil
}

// fail closes the stream and keeps the reason.
func (s *reflectionStream) fail(err error) error {
	s.close()
	if errors.Is(err, io.EOF) {
		err = status.Error(codes.Unknown, "the server ended the stream without an answer")
	}
	s.failure = err
	return err
}

// ended reports whether there is no sense in asking anything more: the time is
// over, or the server is gone, which must not look as if it had lost the services
// that were still to be asked for. A stream that never answered counts too.
func (s *reflectionStream) ended() bool {
	if s.ctx.Err() != nil || (s.failure != nil && s.answers == 0) {
		return true
	}
	if s.failure == nil {
		return false
	}
	switch status.Code(s.failure) {
	case codes.Canceled, codes.DeadlineExceeded, codes.Unavailable, codes.Unimplemented, codes.Unauthenticated, codes.PermissionDenied:
		return true
	}
	return false
}

// close ends the stream, if there is one, and frees what it holds.
func (s *reflectionStream) close() {
	if s.stream == nil {
		return
	}
	s.cancel()
	s.stream, s.cancel = nil, nil
}
