package schema

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// serve starts a grpc-go server on loopback, with what register adds, and
// returns a connection to it.
func serve(t testing.TB, register func(*grpc.Server)) *grpc.ClientConn {
	t.Helper()
	server := grpc.NewServer()
	register(server)
	return grpctest.Dial(t, grpctest.Serve(t, server))
}

// offered are the services that a reflection service lists.
type offered []string

// GetServiceInfo implements the interface of grpc-go.
func (o offered) GetServiceInfo() map[string]grpc.ServiceInfo {
	info := make(map[string]grpc.ServiceInfo)
	for _, name := range o {
		info[name] = grpc.ServiceInfo{}
	}
	return info
}

// goServer are the reflection services of grpc-go for the folder of good protos.
func goServer(t testing.TB) reflection.ServerOptions {
	registry := loadGood(t, "testdata/good")
	return reflection.ServerOptions{
		Services: offered{
			"bookstore.v1.BookstoreService", "mixed.two.OldService",
			"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.channelz.v1.Channelz",
		},
		DescriptorResolver: registry,
		ExtensionResolver:  registry,
	}
}

func TestReflectionVersions(t *testing.T) {
	options := goServer(t)
	versions := map[string]func(*grpc.Server){
		"v1": func(s *grpc.Server) {
			reflectionv1.RegisterServerReflectionServer(s, reflection.NewServerV1(options))
		},
		"v1alpha": func(s *grpc.Server) {
			reflectionv1alpha.RegisterServerReflectionServer(s, reflection.NewServer(options))
		},
		"both": func(s *grpc.Server) {
			reflectionv1.RegisterServerReflectionServer(s, reflection.NewServerV1(options))
			reflectionv1alpha.RegisterServerReflectionServer(s, reflection.NewServer(options))
			healthv1.RegisterHealthServer(s, health.NewServer())
		},
	}
	for version, register := range versions {
		t.Run("Semantics 47: "+version, func(t *testing.T) {
			source := Reflection("books", serve(t, register))
			for range 2 { // the second time in the version that is known
				registry, problems := source.Load(t.Context())
				if len(problems) > 0 {
					t.Fatal(problems)
				}
				get := goodMethod(t, registry)
				if file, line, _ := registry.Position(get); file != "books:bookstore/v1/bookstore.proto" || line != 18 {
					t.Errorf("position %s:%d", file, line)
				}
			}
			if source.Changed(t.Context()) {
				t.Error("changed")
			}
		})
	}
	t.Run("Semantics 47: a server without reflection", func(t *testing.T) {
		source := Reflection("books", serve(t, func(s *grpc.Server) { healthv1.RegisterHealthServer(s, health.NewServer()) }))
		registry, problems := source.Load(t.Context())
		if registry != nil || len(problems) != 1 || !strings.HasPrefix(problems[0].String(), "books: the server has no reflection service") {
			t.Errorf("%v", problems)
		}
		if source.Changed(t.Context()) {
			t.Error("changed")
		}
	})
	t.Run("a server that is away", func(t *testing.T) {
		away := func(context.Context, string) (net.Conn, error) { return nil, syscall.ECONNREFUSED }
		conn, err := grpc.NewClient("passthrough:///away", grpc.WithContextDialer(away), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		registry, problems := Reflection("books", conn).Load(t.Context())
		if registry != nil || len(problems) != 1 || !strings.HasPrefix(problems[0].String(), "books: the server cannot be asked for its schema") {
			t.Errorf("%v", problems)
		}
	})
}

// oddServer answers reflection requests from a list of files, as badly as it is
// told to.
type oddServer struct {
	reflectionv1.UnimplementedServerReflectionServer
	services []string
	files    atomic.Pointer[map[string][]byte]
	kill     string // asking for this symbol ends the stream
	hang     func() // called instead of an answer
}

func newOddServer(t testing.TB, services []string, files ...*descriptorpb.FileDescriptorProto) *oddServer {
	s := &oddServer{services: services}
	s.set(t, files...)
	return s
}

func (s *oddServer) set(t testing.TB, files ...*descriptorpb.FileDescriptorProto) {
	t.Helper()
	all := make(map[string][]byte)
	for _, file := range files {
		wire, err := proto.Marshal(file)
		if err != nil {
			t.Fatal(err)
		}
		all[file.GetName()] = wire
	}
	s.files.Store(&all)
}

func (s *oddServer) source(t testing.TB) *Reflector {
	return Reflection("odd", serve(t, func(server *grpc.Server) { reflectionv1.RegisterServerReflectionServer(server, s) }))
}

// ServerReflectionInfo implements the reflection service.
func (s *oddServer) ServerReflectionInfo(stream reflectionv1.ServerReflection_ServerReflectionInfoServer) error {
	for {
		question, err := stream.Recv()
		if err != nil {
			return nil
		}
		if s.hang != nil {
			s.hang()
			<-stream.Context().Done()
			return nil
		}
		if question.GetFileContainingSymbol() == s.kill && s.kill != "" {
			return status.Error(codes.Internal, "something broke")
		}
		if err := stream.Send(s.answer(question)); err != nil {
			return err
		}
	}
}

func (s *oddServer) answer(question *reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
	if question.GetListServices() != "" {
		list := new(reflectionv1.ListServiceResponse)
		for _, name := range s.services {
			list.Service = append(list.Service, &reflectionv1.ServiceResponse{Name: name})
		}
		return &reflectionv1.ServerReflectionResponse{MessageResponse: &reflectionv1.ServerReflectionResponse_ListServicesResponse{ListServicesResponse: list}}
	}
	for name, wire := range *s.files.Load() {
		if name == question.GetFileByFilename() || declares(wire, question.GetFileContainingSymbol()) {
			return &reflectionv1.ServerReflectionResponse{MessageResponse: &reflectionv1.ServerReflectionResponse_FileDescriptorResponse{
				FileDescriptorResponse: &reflectionv1.FileDescriptorResponse{FileDescriptorProto: [][]byte{wire}},
			}}
		}
	}
	return &reflectionv1.ServerReflectionResponse{MessageResponse: &reflectionv1.ServerReflectionResponse_ErrorResponse{
		ErrorResponse: &reflectionv1.ErrorResponse{ErrorCode: int32(codes.NotFound), ErrorMessage: "never heard of it"},
	}}
}

// declares reports whether a file declares a service.
func declares(wire []byte, name string) bool {
	file := new(descriptorpb.FileDescriptorProto)
	if proto.Unmarshal(wire, file) != nil {
		return false
	}
	return slices.ContainsFunc(file.GetService(), func(s *descriptorpb.ServiceDescriptorProto) bool {
		return file.GetPackage()+"."+s.GetName() == name
	})
}

// files compiles a folder and returns some of its files.
func files(t testing.TB, sources map[string]string, paths ...string) []*descriptorpb.FileDescriptorProto {
	t.Helper()
	registry := loadGood(t, write(t, sources))
	var result []*descriptorpb.FileDescriptorProto
	for _, path := range paths {
		file, err := registry.Files().FindFileByPath(path)
		if err != nil {
			t.Fatal(err)
		}
		result = append(result, protodesc.ToFileDescriptorProto(file))
	}
	return result
}

// oddProtos are a service that needs nothing, one whose import only options
// need, and one whose import it cannot be without.
var oddProtos = map[string]string{
	"marks.proto": `syntax = "proto3"; package odd; import "google/protobuf/descriptor.proto"; extend google.protobuf.MethodOptions { string mark = 50003; }`,
	"types.proto": `syntax = "proto3"; package odd; message Needed {}`,
	"good.proto": `syntax = "proto3"; package odd; import "google/api/annotations.proto"; import "google/protobuf/empty.proto";
		service Good { rpc Get(google.protobuf.Empty) returns (google.protobuf.Empty) { option (google.api.http) = { get: "/v1/good" }; } }`,
	"marked.proto": `syntax = "proto3"; package odd; import "marks.proto"; import "google/protobuf/empty.proto";
		service Marked { rpc Get(google.protobuf.Empty) returns (google.protobuf.Empty) { option (mark) = "x"; } }`,
	"needy.proto": `syntax = "proto3"; package odd; import "types.proto"; service Needy { rpc Get(Needed) returns (Needed); }`,
}

func TestReflectionOfOddServers(t *testing.T) {
	services := []string{"odd.Good", "odd.Marked", "odd.Needy", "odd.Unknown", "grpc.reflection.v1.ServerReflection"}
	t.Run("Semantics 47: missing dependencies are filled in, tolerated or named", func(t *testing.T) {
		odd := newOddServer(t, services, files(t, oddProtos, "good.proto", "marked.proto", "needy.proto")...)
		registry, problems := odd.source(t).Load(t.Context())
		if registry == nil {
			t.Fatal(problems)
		}
		if got := names(registry.Services()); !slices.Equal(got, []string{"odd.Good", "odd.Marked"}) {
			t.Errorf("services %v", got)
		}
		if HTTPRule(registry.Services()[0].Methods().Get(0)).GetGet() != "/v1/good" {
			t.Error("the rule is lost")
		}
		compareLines(t, problems.Error(),
			`odd: warning: service odd.Needy is left out: its file could not be loaded`,
			`odd: warning: service odd.Unknown is left out: the server lists it and does not describe it: never heard of it (NotFound)`,
			`odd:marked.proto: warning: imports "marks.proto", which is missing; only options can need it, so they are unknown and the rest is served`,
			`odd:needy.proto: warning: imports "types.proto", which is missing (`)
	})
	t.Run("Semantics 47: a stream that breaks over one service costs no other", func(t *testing.T) {
		odd := newOddServer(t, []string{"odd.Good", "odd.Marked", "odd.Needy"}, files(t, oddProtos, "good.proto", "marked.proto", "marks.proto", "needy.proto", "types.proto")...)
		odd.kill = "odd.Marked"
		registry, problems := odd.source(t).Load(t.Context())
		if registry == nil {
			t.Fatal(problems)
		}
		if got := names(registry.Services()); !slices.Equal(got, []string{"odd.Good", "odd.Needy"}) {
			t.Errorf("services %v", got)
		}
		compareLines(t, problems.Error(), `odd: warning: service odd.Marked is left out: the server lists it and does not describe it: something broke (Internal)`)
	})
	t.Run("a server that never answers", func(t *testing.T) {
		odd := newOddServer(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		odd.hang = cancel
		source := odd.source(t)
		registry, problems := source.Load(ctx)
		if registry != nil || len(problems) != 1 {
			t.Errorf("%v", problems)
		}
	})
	t.Run("no services", func(t *testing.T) {
		registry, problems := newOddServer(t, []string{"grpc.health.v1.Health"}).source(t).Load(t.Context())
		if registry == nil || len(registry.Services()) > 0 || problems.Err() != nil {
			t.Errorf("%v", problems)
		}
	})
}

// compareLines compares a text with the beginnings of its lines.
func compareLines(t *testing.T, text string, begins ...string) {
	t.Helper()
	lines := strings.Split(text, "\n")
	if len(lines) != len(begins) {
		t.Errorf("%d problems, want %d:\n%s", len(lines), len(begins), text)
		return
	}
	for i, begin := range begins {
		if !strings.HasPrefix(lines[i], begin) {
			t.Errorf("problem %d is\n%s\nand should begin with\n%s", i, lines[i], begin)
		}
	}
}

func TestReflectionChanges(t *testing.T) {
	first := files(t, oddProtos, "good.proto")
	odd := newOddServer(t, []string{"odd.Good"}, first...)
	source := odd.source(t)
	if !source.Changed(t.Context()) {
		t.Error("nothing was loaded yet, and nothing is said to have changed")
	}
	registry, problems := source.Load(t.Context())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if source.Changed(t.Context()) {
		t.Error("nothing changed, and something is said to have")
	}
	second := proto.Clone(first[0]).(*descriptorpb.FileDescriptorProto)
	second.Service[0].Method[0].Name = proto.String("Read")
	odd.set(t, second)
	if !source.Changed(t.Context()) {
		t.Error("Semantics 47: a method has another name, and nothing is said to have changed")
	}
	again, problems := source.Load(t.Context())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if again.Digest() == registry.Digest() || again.Services()[0].Methods().ByName("Read") == nil {
		t.Error("the second load is as the first")
	}
	if registry.Services()[0].Methods().ByName("Get") == nil {
		t.Error("the first registry has changed")
	}
}

func TestReflectionOfTwoServers(t *testing.T) {
	t.Run("Semantics 47: two servers have different files of one name", func(t *testing.T) {
		load := func(text string) *Registry {
			file := files(t, map[string]string{"api.proto": text}, "api.proto")
			registry, problems := newOddServer(t, []string{"api.Service"}, file...).source(t).Load(t.Context())
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			return registry
		}
		one := load(`syntax = "proto3"; package api; message One { string a = 1; } service Service { rpc Get(One) returns (One); }`)
		two := load(`syntax = "proto3"; package api; message Two { int32 b = 1; } service Service { rpc Get(Two) returns (Two); }`)
		for want, registry := range map[protoreflect.FullName]*Registry{"api.One": one, "api.Two": two} {
			if got := registry.Services()[0].Methods().Get(0).Input().FullName(); got != want {
				t.Errorf("input %s, want %s", got, want)
			}
		}
	})
}
