package proxy

import (
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Marshal makes a frame of a message that generated code hands over.
func Marshal(v any) (Frame, error) {
	message, ok := v.(proto.Message)
	if !ok {
		return Frame{}, fmt.Errorf("cannot send a %T, want a protobuf message", v)
	}
	wire, err := proto.Marshal(message)
	return WrapFrame(wire), err
}

// Unmarshal fills such a message. The error is a gRPC status error.
func Unmarshal(wire []byte, v any) error {
	message, ok := v.(proto.Message)
	if !ok {
		return fmt.Errorf("cannot receive into a %T, want a protobuf message", v)
	}
	if err := proto.Unmarshal(wire, message); err != nil {
		return status.Errorf(codes.Internal, "the backend's message is malformed: %v", err)
	}
	return nil
}
