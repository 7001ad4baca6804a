package openapi

import (
	"encoding/json"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/transom-gateway/transom/internal/schema"
	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// exampleServer answers each call with the document's example of the message.
type exampleServer struct {
	registry atomic.Pointer[schema.Registry]
	examples map[protoreflect.FullName]string
}

// start has it listen on loopback until the test ends.
func (s *exampleServer) start(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.UnknownServiceHandler(s.serve))
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	return l.Addr().String()
}

// know takes the messages of a gateway and the examples of its document.
func (s *exampleServer) know(t *testing.T, g *gatewaytest.Gateway, root any) {
	t.Helper()
	registry, err := schema.Directory(g.Folder).Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.examples = map[protoreflect.FullName]string{}
	schemas, _ := at(root, "components", "schemas").(map[string]any)
	for name, schema := range schemas {
		if examples, _ := at(schema, "examples").([]any); len(examples) > 0 {
			text, err := json.Marshal(examples[0])
			if err != nil {
				t.Fatal(err)
			}
			s.examples[protoreflect.FullName(name)] = string(text)
		}
	}
	s.registry.Store(registry)
}

func (s *exampleServer) serve(_ any, stream grpc.ServerStream) error {
	full, _ := grpc.MethodFromServerStream(stream)
	d, err := s.registry.Load().FindDescriptorByName(protoreflect.FullName(strings.ReplaceAll(full[1:], "/", ".")))
	if err != nil {
		return status.Error(codes.Unimplemented, err.Error())
	}
	method, _ := d.(protoreflect.MethodDescriptor)
	for {
		in := dynamicpb.NewMessage(method.Input())
		if err := stream.RecvMsg(in); err != nil || !method.IsStreamingClient() {
			break
		}
	}
	if method.Name() == "CreateTool" {
		_ = stream.SetHeader(metadata.Pairs("x-http-code", "201"))
	}
	answers := 1
	if method.IsStreamingServer() {
		answers = 3
	}
	for range answers {
		out := dynamicpb.NewMessage(method.Output())
		text := s.examples[method.Output().FullName()]
		if method.Output().FullName() == "google.protobuf.Value" {
			text = "true"
		}
		if text != "" {
			if err := protojson.Unmarshal([]byte(text), out); err != nil {
				return status.Errorf(codes.Internal, "%s: %v", text, err)
			}
		}
		if err := stream.SendMsg(out); err != nil {
			return err
		}
	}
	return nil
}
