package interop

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// TestGRPCGatewayDownload compares a stream of google.api.HttpBody that fails
// after its first chunk. The difference is documented: grpc-gateway ends it with a
// line of JSON behind the data, Transom breaks the connection off. Semantics 34
// and 56.
func TestGRPCGatewayDownload(t *testing.T) {
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		if err := stream.RecvMsg(&emptypb.Empty{}); err != nil {
			return err
		}
		if err := stream.SendMsg(&httpbody.HttpBody{ContentType: "text/plain", Data: []byte("half a file")}); err != nil {
			return err
		}
		return status.Error(codes.DataLoss, "the disk is gone")
	}))
	reference, g := startBoth(t, grpctest.Serve(t, server))
	request := sent{method: http.MethodGet, path: "/v1/example/download"}
	theirs, ours := send(t, reference.URL, request), send(t, g.URL, request)
	if !strings.HasPrefix(theirs.body, "half a file\n{\"error\":") {
		t.Errorf("grpc-gateway answers %d %q", theirs.status, theirs.body)
	}
	if ours.body != "half a file and breaks off" {
		t.Errorf("Transom answers %d %q", ours.status, ours.body)
	}
}
