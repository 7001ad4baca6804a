package envelope

import (
	"context"
	"encoding/json"
	"runtime"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/transom-gateway/transom/transcoder/jsonwire"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// oneFile resolves the messages of a file.
type oneFile struct{ types *dynamicpb.Types }

func (f oneFile) FindMessageByName(name protoreflect.FullName) (protoreflect.MessageDescriptor, error) {
	t, err := f.types.FindMessageByName(name)
	if err != nil {
		return nil, err
	}
	return t.Descriptor(), nil
}

func (oneFile) FindExtensionByName(protoreflect.FullName) (protoreflect.ExtensionDescriptor, error) {
	return nil, protoregistry.NotFound
}

func (oneFile) FindExtensionByNumber(protoreflect.FullName, protoreflect.FieldNumber) (protoreflect.ExtensionDescriptor, error) {
	return nil, protoregistry.NotFound
}

// TestSemantics303Details: details of an error that would be long JSON stay in
// base64, and the error is not lost (Semantics 26).
func TestSemantics303Details(t *testing.T) {
	source := `syntax = "proto3"; package d; message D { repeated E e = 1; } message E { string a_name_of_some_length = 1; int64 another_name = 2; repeated string third = 3; }`
	compiler := protocompile.Compiler{Resolver: &protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(map[string]string{"d.proto": source})}}
	files, err := compiler.Compile(context.Background(), "d.proto")
	if err != nil {
		t.Fatal(err)
	}
	registry := &protoregistry.Files{}
	if err := registry.RegisterFile(files[0]); err != nil {
		t.Fatal(err)
	}
	plan := jsonwire.NewPlans(oneFile{dynamicpb.NewTypes(registry)}).Message((&spb.Status{}).ProtoReflect().Descriptor())
	for _, n := range []int{3, 30000} {
		detail := &anypb.Any{TypeUrl: "type.googleapis.com/d.D", Value: []byte(strings.Repeat("\x0a\x00", n))}
		st := status.FromProto(&spb.Status{Code: int32(codes.NotFound), Message: "no such thing", Details: []*anypb.Any{detail}})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		out := rpcerror.AppendJSON(nil, plan, st)
		byConnect := newConnectError(plan, st).append(nil)
		runtime.ReadMemStats(&after)
		var got struct {
			Code    int
			Message string
			Details []struct {
				E     []any
				Value string
			}
		}
		if err := json.Unmarshal(out, &got); err != nil || got.Code != 5 || got.Message != "no such thing" || len(got.Details) != 1 {
			t.Fatalf("%v: %.300s", err, out)
		}
		if n == 3 && len(got.Details[0].E) != n || n != 3 && len(got.Details[0].Value) != (2*n+2)/3*4 {
			t.Errorf("%d: %.300s", n, out)
		}
		var connect struct {
			Code    string
			Details []struct {
				Value string
				Debug any
			}
		}
		if err := json.Unmarshal(byConnect, &connect); err != nil || connect.Code != "not_found" || len(connect.Details) != 1 || (connect.Details[0].Debug == nil) != (n > 3) {
			t.Errorf("%v: %.300s", err, byConnect)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 16<<20 {
			t.Errorf("%d bytes of memory for a detail of %d bytes", took, 2*n)
		}
	}
}
