package transcoder

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// bookstoreBinding is the own path of a method of the bookstore.
func bookstoreBinding(t testing.TB, method protoreflect.Name, s Settings) *Binding {
	t.Helper()
	service := pb.File_bookstore_v1_bookstore_proto.Services().ByName("BookstoreService")
	s.Headers = NewHeaderRules(HeaderOptions{})
	plans := jsonwire.NewPlans(nil)
	b, err := NewMethod(service.Methods().ByName(method), plans, s).BindPath(plans)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// watched is a message of WatchBooks.
func watched(t *testing.T, n uint64) proxy.Frame {
	t.Helper()
	wire, err := proto.Marshal(&pb.WatchBooksResponse{Sequence: n})
	if err != nil {
		t.Fatal(err)
	}
	return proxy.NewFrame(wire)
}
