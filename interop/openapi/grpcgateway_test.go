package openapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	example "github.com/grpc-ecosystem/grpc-gateway/v2/examples/transom"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/pluginpb"

	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// refusedRules replaces the two rules of the examples that http.proto forbids; they are not compared.
const refusedRules = `compatibility: GRPC_GATEWAY
http_rules:
  - selector: grpc.gateway.examples.internal.proto.examplepb.ABitOfEverythingService.DoubleColon
    post: "/v1/example/a_bit_of_everything/{uuid}:doubled"
  - selector: grpc.gateway.examples.internal.proto.examplepb.ABitOfEverythingService.CreateNestedBodyOneof
    post: "/v1/example/a_bit_of_everything/nested_body_oneof"
    body: payload
`

// refusedOperations are those of refusedRules.
var refusedOperations = []string{"ABitOfEverythingService_DoubleColon", "ABitOfEverythingService_CreateNestedBodyOneof"}

// sharedPaths are operations whose path differs from another's in the name of its variable alone: in
// our document they are one, as OpenAPI asks for.
var sharedPaths = []string{"ABitOfEverythingService_Delete", "ABitOfEverythingService_Lookup"}

var variable = regexp.MustCompile(`\{[^}]*\}`)

// unreachable are schemas that protoc-gen-openapiv2 writes although no operation of ours refers to them:
// messages of which the path or response_body takes a field, of options, and those that JSON writes in
// a form of its own.
var unreachable = []string{
	"examplepbEntityId", "examplepbErrorObject", "examplepbErrorResponse", "examplepbRepeatedResponseBodyOut", "examplepbRepeatedResponseStrings",
	"examplepbResponseBodyOut", "examplepbResponseBodyValue", "examplepbUnaryProto", "protobufAny", "protobufNullValue",
}

// TestGRPCGatewayNames: Surface 227: operations, tags, paths and schemas have the names that the real
// protoc-gen-openapiv2 gives them.
func TestGRPCGatewayNames(t *testing.T) {
	protos := exampleProtos(t)
	theirs := pluginDocument(t, protos)
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: "127.0.0.1:1", NoBookstore: true, Protos: protos, Config: refusedRules})
	ours := documentOf(t, g)

	mine, other := operationsOf(ours), operationsOf(theirs)
	compared := 0
	for _, id := range slices.Sorted(maps.Keys(other)) {
		want := other[id]
		if slices.Contains(refusedOperations, id) {
			continue
		}
		got, ok := mine[id]
		if !ok {
			t.Errorf("there is no operation %s, %s", id, want)
			continue
		}
		compared++
		if got != want {
			t.Errorf("%s: got %s, want %s", id, got, want)
		}
	}
	if compared < 50 {
		t.Errorf("%d operations compared, expected 50", compared)
	}
	definitions, _ := at(theirs, "definitions").(map[string]any)
	schemas, _ := at(ours, "components", "schemas").(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		if definitions[name] == nil {
			t.Errorf("there is a schema %s, which protoc-gen-openapiv2 does not know", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(definitions)) {
		if schemas[name] == nil && !slices.Contains(unreachable, name) {
			t.Errorf("there is no schema %s", name)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(streamTitles(ours))) {
		if got, want := streamTitles(ours)[id], streamTitles(theirs)[id]; got != want {
			t.Errorf("%s: the envelope is %q, want %q", id, got, want)
		}
	}
}

// operationsOf are method, path and tags of operations by their ids. A path that OpenAPI takes for
// another's has something behind it, which is not compared.
func operationsOf(document any) map[string]string {
	found := map[string]string{}
	paths, _ := at(document, "paths").(map[string]any)
	for path, item := range paths {
		operations, _ := item.(map[string]any)
		for method, operation := range operations {
			if id, ok := at(operation, "operationId").(string); ok {
				path, _, _ := strings.Cut(path, "#")
				if slices.Contains(sharedPaths, id) {
					path = variable.ReplaceAllString(path, "{}")
				}
				found[id] = fmt.Sprintf("%s %s %v", method, path, at(operation, "tags"))
			}
		}
	}
	return found
}

// streamTitles are the titles of the envelopes of streams by operation.
func streamTitles(document any) map[string]string {
	found := map[string]string{}
	paths, _ := at(document, "paths").(map[string]any)
	for _, item := range paths {
		operations, _ := item.(map[string]any)
		for _, operation := range operations {
			id, _ := at(operation, "operationId").(string)
			answer := at(operation, "responses", "200")
			for _, schema := range []any{at(answer, "schema"), at(answer, "content", "application/json", "schema")} {
				if title, _ := at(schema, "title").(string); strings.HasPrefix(title, "Stream result") {
					found[id] = title
				}
			}
		}
	}
	return found
}

// exampleProtos are the .proto files of grpc-gateway's example server by import path.
func exampleProtos(t *testing.T) map[string]string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/grpc-ecosystem/grpc-gateway/v2").Output()
	if err != nil {
		t.Fatal(err)
	}
	protos := map[string]string{}
	for _, name := range example.Protos {
		text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), name))
		if err != nil {
			t.Fatal(err)
		}
		protos[name] = string(text)
	}
	return protos
}

// pluginDocument has the real plugin make one document of all files.
func pluginDocument(t *testing.T, protos map[string]string) any {
	t.Helper()
	names := slices.Sorted(maps.Keys(protos))
	compiler := protocompile.Compiler{
		SourceInfoMode: protocompile.SourceInfoStandard,
		Resolver: protocompile.CompositeResolver{
			&protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(protos)},
			protocompile.ResolverFunc(func(path string) (protocompile.SearchResult, error) {
				file, err := protoregistry.GlobalFiles.FindFileByPath(path)
				return protocompile.SearchResult{Desc: file}, err
			}),
		},
	}
	files, err := compiler.Compile(t.Context(), names...)
	if err != nil {
		t.Fatal(err)
	}
	request := &pluginpb.CodeGeneratorRequest{FileToGenerate: names, Parameter: proto.String("allow_merge=true,merge_file_name=all")}
	seen := map[string]bool{}
	for _, file := range files {
		addFile(request, file, seen)
	}
	wire, err := proto.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "protoc-gen-openapiv2")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-openapiv2").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	plugin := exec.CommandContext(t.Context(), program)
	plugin.Stdin = strings.NewReader(string(wire))
	out, err := plugin.Output()
	if err != nil {
		t.Fatal(err)
	}
	response := &pluginpb.CodeGeneratorResponse{}
	if err := proto.Unmarshal(out, response); err != nil || response.GetError() != "" || len(response.GetFile()) != 1 {
		t.Fatalf("%v %s, %d files", err, response.GetError(), len(response.GetFile()))
	}
	var root any
	if err := json.Unmarshal([]byte(response.GetFile()[0].GetContent()), &root); err != nil {
		t.Fatal(err)
	}
	return root
}

// addFile adds a file behind those that it imports.
func addFile(request *pluginpb.CodeGeneratorRequest, file protoreflect.FileDescriptor, seen map[string]bool) {
	if seen[file.Path()] {
		return
	}
	seen[file.Path()] = true
	for i := range file.Imports().Len() {
		addFile(request, file.Imports().Get(i).FileDescriptor, seen)
	}
	made := protodesc.ToFileDescriptorProto(file)
	if result, ok := file.(linker.Result); ok {
		made = result.FileDescriptorProto()
	}
	request.ProtoFile = append(request.ProtoFile, made)
}
