package gateway_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/transom-gateway/transom/internal/testing/eventtest"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

const schemaProto = `syntax = "proto3";
package schemas.v1;
import "bookstore/v1/book.proto";
import "bookstore/v1/bookstore.proto";
import "google/api/annotations.proto";
import "transom/v1/annotations.proto";
service Service {
  rpc Read(bookstore.v1.GetShelfRequest) returns (bookstore.v1.Shelf) {
    option (google.api.http) = { get: "/v1/read/{name=shelves/*}" };
    option (transom.v1.method) = { events: { type: "shelf.read" fields: "*" encoding: PROTOBUF } };
  }
}`

// TestEventSchema: Events 123: whoever has the bytes of an event reads them with the descriptors to which its
// dataschema leads.
func TestEventSchema(t *testing.T) {
	server, recorder := new(teller), new(eventtest.Recorder)
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: grpctest.ServeAny(t, server.serve), Events: recorder,
		Config: "events: { source: \"https://gateway.example/shop\" }\n", Protos: map[string]string{"schemas.proto": schemaProto}})
	if a := g.Do(t, "GET", "/v1/read/shelves/1", ""); a.Status != 200 {
		t.Fatal(a)
	}
	e := recorder.Wait(t, 1)[0]
	name, ok := strings.CutPrefix(e.DataSchema, "https://gateway.example/shop/schemas/")
	if !ok {
		t.Fatalf("found the schema %q", e.DataSchema)
	}
	text, err := g.DescriptorSet(name)
	set := new(descriptorpb.FileDescriptorSet)
	if err != nil || proto.Unmarshal(text, set) != nil {
		t.Fatal(err)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	d, err := files.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		t.Fatal(err)
	}
	m := dynamicpb.NewMessage(d.(protoreflect.MessageDescriptor)) //nolint:forcetypeassert // the test fails then
	if err := proto.Unmarshal(e.Data, m); err != nil || len(m.GetUnknown()) > 0 {
		t.Fatal(err, m)
	}
	if got, _ := protojson.Marshal(m); !strings.Contains(string(got), `"poems"`) {
		t.Errorf("got %s", got)
	}
	for _, none := range []string{"", "schemas.v1.None", "schemas.v1.Service", "../../etc/passwd", "schemas.v1.Service.Read"} {
		if text, err := g.DescriptorSet(none); text != nil || err != nil {
			t.Errorf("%q: found %d bytes, %v", none, len(text), err)
		}
	}
}
