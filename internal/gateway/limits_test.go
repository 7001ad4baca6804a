package gateway_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// TestLimitsHoldForEveryProtocol checks that max_body_bytes bounds a request
// that does not stream, and max_message_bytes one that does, over gRPC as over
// REST.
func TestLimitsHoldForEveryProtocol(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Config: `policies:
  - selector: bookstore.v1.*
    policy: { limits: { max_body_bytes: 100, max_message_bytes: 1000 } }
`})
	conn := grpctest.Dial(t, g.Addr)
	client := pb.NewBookstoreServiceClient(conn)
	theme := strings.Repeat("x", 200)
	path := "/bookstore.v1.BookstoreService/CreateShelf"
	if a := g.Do(t, "POST", path, `{"shelf":{"theme":"`+theme+`"}}`); a.Status != 413 {
		t.Errorf("Connect: %d %s", a.Status, a.Body)
	}
	if a := g.Do(t, "POST", "/v1/shelves", `{"theme":"`+theme+`"}`); a.Status != 413 {
		t.Errorf("REST: %d %s", a.Status, a.Body)
	}
	_, err := client.CreateShelf(t.Context(), &pb.CreateShelfRequest{Shelf: &pb.Shelf{Theme: theme}})
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("gRPC: %v", err)
	}
	stream, err := client.Discuss(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{200, 2000} {
		if err := stream.Send(&pb.DiscussRequest{Remark: &pb.DiscussRequest_Text{Text: strings.Repeat("x", n)}}); err != nil {
			t.Fatal(err)
		}
		want := codes.OK
		if n > 1000 {
			want = codes.ResourceExhausted
		}
		if _, err := stream.Recv(); status.Code(err) != want {
			t.Errorf("a message of %d bytes in a stream: %v", n, err)
		}
	}
}
