package bookstore

import (
	"context"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
)

// Echo returns the specimen it was sent.
func (s *Server) Echo(_ context.Context, r *pb.EchoRequest) (*pb.EchoResponse, error) {
	return &pb.EchoResponse{Specimen: r.GetSpecimen()}, nil
}

// Fail fails as the request says.
func (s *Server) Fail(_ context.Context, r *pb.FailRequest) (*emptypb.Empty, error) {
	return nil, failure(r)
}

// failure returns the error that a request asks for; never nil.
func failure(r *pb.FailRequest) error {
	code := codes.Code(r.GetCode()) // Any number is wanted.
	if code == codes.OK {
		code = codes.Internal
	}
	message := r.GetMessage()
	if message == "" {
		message = "told to fail"
	}
	st := status.New(code, message)
	if r.GetRich() {
		rich, err := st.WithDetails(richDetails()...)
		if err != nil {
			return status.Errorf(codes.Internal, "adding details: %v", err)
		}
		st = rich
	}
	full := st.Proto()
	full.Details = append(full.Details, r.GetDetails()...)
	return status.ErrorProto(full)
}

func richDetails() []protoadapt.MessageV1 {
	return []protoadapt.MessageV1{
		&errdetails.ErrorInfo{Reason: "TOLD_TO", Domain: "bookstore.example", Metadata: map[string]string{"method": "Fail"}},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: "book.title", Description: "must not be empty"},
		}},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(1500 * time.Millisecond)},
	}
}
