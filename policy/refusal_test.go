package policy

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestWithHTTPStatus(t *testing.T) {
	if WithHTTPStatus(nil, 431) != nil {
		t.Error("no error became one")
	}
	err := WithHTTPStatus(status.Error(codes.NotFound, "gone"), 410)
	if s, ok := status.FromError(err); !ok || s.Code() != codes.NotFound || s.Message() != "gone" {
		t.Errorf("found %v, want the status", s)
	}
}
