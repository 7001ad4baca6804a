package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// keyedClient puts up a shelf under a key, and says whether the answer is a replay.
type keyedClient struct {
	name string
	put  func(ctx context.Context, key string) (shelf *pb.Shelf, replayed bool, err error)
}

// keyedConnect is a client of connect-go, with the key as metadata.
func keyedConnect(name string, g *gatewaytest.Gateway, options ...connect.ClientOption) keyedClient {
	client := connect.NewClient[pb.CreateShelfRequest, pb.Shelf](g.HTTP2, g.URL+pb.BookstoreService_CreateShelf_FullMethodName, options...)
	return keyedClient{name, func(ctx context.Context, key string) (*pb.Shelf, bool, error) {
		request := connect.NewRequest(&pb.CreateShelfRequest{Shelf: &pb.Shelf{Theme: "Keys"}})
		request.Header().Set("Idempotency-Key", key)
		answer, err := client.CallUnary(ctx, request)
		if err != nil {
			return nil, false, err
		}
		return answer.Msg, answer.Header().Get("Idempotent-Replayed") == "true", nil
	}}
}

// keyedClients are those that people have.
func keyedClients(t *testing.T, g *gatewaytest.Gateway) []keyedClient {
	stub := pb.NewBookstoreServiceClient(grpctest.Dial(t, g.Addr))
	return []keyedClient{
		keyedConnect("connect-go", g),
		keyedConnect("connect-go, JSON", g, connect.WithProtoJSON()),
		keyedConnect("connect-go, gzip", g, connect.WithSendGzip()),
		keyedConnect("connect-go, gRPC", g, connect.WithGRPC()),
		keyedConnect("connect-go, gRPC-Web", g, connect.WithGRPCWeb()),
		{"grpc-go", func(ctx context.Context, key string) (*pb.Shelf, bool, error) {
			var header metadata.MD
			shelf, err := stub.CreateShelf(metadata.AppendToOutgoingContext(ctx, "idempotency-key", key), &pb.CreateShelfRequest{Shelf: &pb.Shelf{Theme: "Keys"}}, grpc.Header(&header))
			return shelf, len(header.Get("idempotent-replayed")) == 1, err
		}},
		{"REST", func(_ context.Context, key string) (*pb.Shelf, bool, error) {
			a := g.Do(t, http.MethodPost, "/v1/shelves", `{"theme":"Keys"}`, "Idempotency-Key", key)
			if a.Status != http.StatusOK {
				return nil, false, fmt.Errorf("%+v", a)
			}
			shelf := new(pb.Shelf)
			return shelf, a.Header.Get("Idempotent-Replayed") == "true", protojson.Unmarshal([]byte(a.Body), shelf)
		}},
	}
}

// TestClientsOnOneKey: Traffic 85, 91, 92: connect-go by each of its protocols, grpc-go and REST
// share a key: whoever is first makes the call, and the others get its answer.
func TestClientsOnOneKey(t *testing.T) {
	eachAnswerStore(t, func(t *testing.T, config string) {
		g := gatewaytest.Start(t, gatewaytest.Options{
			Config: "policies: [{ selector: bookstore.v1.BookstoreService.CreateShelf, policy: { idempotency_key: { scope: METHOD } } }]\n" + config,
		})
		clients := keyedClients(t, g)
		seen := map[string]bool{}
		for i, first := range clients {
			t.Run(first.name, func(t *testing.T) {
				key := fmt.Sprint("key-", i)
				want, replayed, err := first.put(t.Context(), key)
				if err != nil || replayed || want.GetName() == "" || seen[want.GetName()] {
					t.Fatalf("%v, replayed: %v, %v", want, replayed, err)
				}
				seen[want.GetName()] = true
				for _, c := range clients {
					if got, replayed, err := c.put(t.Context(), key); err != nil || !replayed || !proto.Equal(got, want) {
						t.Errorf("%s: %v, want %v; replayed: %v, %v", c.name, got, want, replayed, err)
					}
				}
			})
		}
	})
}
