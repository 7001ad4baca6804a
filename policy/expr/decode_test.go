package expr

import (
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/structpb"
)

// TestDecodeNeverPanics reads a map entry whose key comes twice, once of another
// wire type.
func TestDecodeNeverPanics(t *testing.T) {
	entry := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "k")
	entry = protowire.AppendVarint(protowire.AppendTag(entry, 1, protowire.VarintType), 7)
	wire := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), entry)
	d := (&structpb.Struct{}).ProtoReflect().Descriptor()
	if m, err := Decode(d, wire); err == nil && m == nil {
		t.Error("neither a message nor an error")
	}
	for range 2 {
		if _, err := Decode(d, []byte{0xff}); err == nil {
			t.Error("broken wire data is taken")
		}
	}
}
