// Package edge has methods to try the edges of the transcoder on.
package edge

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// Bookstore is the own path of a method of the bookstore.
func Bookstore(t testing.TB, method protoreflect.Name, s transcoder.Settings) *transcoder.Binding {
	t.Helper()
	service := pb.File_bookstore_v1_bookstore_proto.Services().ByName("BookstoreService")
	s.Headers = transcoder.NewHeaderRules(transcoder.HeaderOptions{})
	plans := jsonwire.NewPlans(nil)
	b, err := transcoder.NewMethod(service.Methods().ByName(method), plans, s).BindPath(plans)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Watched is a message of WatchBooks.
func Watched(t *testing.T, n uint64) proxy.Frame {
	t.Helper()
	wire, err := proto.Marshal(&pb.WatchBooksResponse{Sequence: n})
	if err != nil {
		t.Fatal(err)
	}
	return proxy.NewFrame(wire)
}
