package gateway

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/config"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// parsed is a configuration as the gateway reads it.
func parsed(t *testing.T, text string) *config.File {
	t.Helper()
	f, problems := config.Parse("transom.yaml", []byte("schemas: [{ directory: . }]\n"+text), nil)
	if problems.Err() != nil {
		t.Fatal(problems)
	}
	return f
}

// TestSemantics327Each writes the opposite of each thing that a mode sets: what is
// written wins.
func TestSemantics327Each(t *testing.T) {
	for _, mode := range []string{"GRPC_GATEWAY", "ENVOY"} {
		rest, metadata, _ := compatible(parsed(t, "compatibility: "+mode))
		for part, message := range map[string]proto.Message{"rest": rest, "metadata": metadata} {
			message.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
				t.Run(fmt.Sprintf("Semantics 327: %s, %s.%s", mode, part, f.Name()), func(t *testing.T) {
					opposite := `""`
					switch {
					case f.IsList():
						opposite = "[]"
					case f.Kind() == protoreflect.BoolKind:
						opposite = fmt.Sprint(!v.Bool())
					}
					rest, metadata, _ := compatible(parsed(t, fmt.Sprintf("compatibility: %s\n%s: { %s: %s }", mode, part, f.Name(), opposite)))
					got := rest.ProtoReflect()
					if part == "metadata" {
						got = metadata.ProtoReflect()
					}
					switch {
					case f.IsList():
						if got.Get(f).List().Len() > 0 {
							t.Errorf("got %v", got.Get(f))
						}
					case f.Kind() == protoreflect.BoolKind && got.Get(f).Bool() == v.Bool(), f.Kind() == protoreflect.StringKind && got.Get(f).String() != "":
						t.Errorf("got %v", got.Get(f))
					}
				})
				return true
			})
		}
	}
}

// TestSemantics327Beside: nothing that a mode sets keeps another setting that is
// written from having an effect.
func TestSemantics327Beside(t *testing.T) {
	t.Run("Semantics 327: stream_array", func(t *testing.T) {
		rest, _, _ := compatible(parsed(t, "compatibility: GRPC_GATEWAY\nrest: { stream_array: true }"))
		if rest.GetStreamEnvelope() || !rest.GetStreamArray() {
			t.Errorf("got %v", rest)
		}
	})
	t.Run("Semantics 327: stream_envelope", func(t *testing.T) {
		rest, _, _ := compatible(parsed(t, "compatibility: ENVOY\nrest: { stream_envelope: true }"))
		if !rest.GetStreamEnvelope() || rest.GetStreamArray() {
			t.Errorf("got %v", rest)
		}
	})
	for _, written := range []string{"response_prefix: X-", "prefix_all: true"} {
		t.Run("Semantics 327: "+written, func(t *testing.T) {
			if _, metadata, _ := compatible(parsed(t, "compatibility: ENVOY\nmetadata: { "+written+" }")); len(metadata.GetResponseHeaders()) > 0 {
				t.Errorf("got %v", metadata)
			}
		})
	}
	for _, c := range []struct {
		mode string
		json *transomv1.Json
		want jsonwire.Output
	}{
		{"GRPC_GATEWAY", nil, jsonwire.Output{UnsetAsNull: true}},
		{"GRPC_GATEWAY", &transomv1.Json{OmitDefaults: proto.Bool(true)}, jsonwire.Output{OmitDefaults: true}},
		{"GRPC_GATEWAY", &transomv1.Json{OmitDefaults: proto.Bool(false)}, jsonwire.Output{UnsetAsNull: true}},
		{"GRPC_GATEWAY", &transomv1.Json{UnsetMessagesAsNull: proto.Bool(false)}, jsonwire.Output{}},
		{"GRPC_GATEWAY", &transomv1.Json{OmitDefaults: proto.Bool(true), UnsetMessagesAsNull: proto.Bool(true)}, jsonwire.Output{OmitDefaults: true, UnsetAsNull: true}},
		{"ENVOY", nil, jsonwire.Output{OmitDefaults: true}},
		{"ENVOY", &transomv1.Json{OmitDefaults: proto.Bool(false)}, jsonwire.Output{}},
		{"ENVOY", &transomv1.Json{UnsetMessagesAsNull: proto.Bool(true)}, jsonwire.Output{OmitDefaults: true, UnsetAsNull: true}}, // null outranks
		{"ENVOY", &transomv1.Json{ProtoNames: proto.Bool(true)}, jsonwire.Output{OmitDefaults: true, ProtoNames: true}},
	} {
		t.Run(fmt.Sprintf("Semantics 327: %s, json: { %v }", c.mode, c.json), func(t *testing.T) {
			_, _, got := compatible(parsed(t, "compatibility: "+c.mode))
			applyJSON(&got, c.json)
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}
