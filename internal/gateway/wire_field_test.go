package gateway

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

// javaPackage is the path of FileDescriptorProto.options.java_package.
var javaPackage = []protowire.Number{8, 1}

// FuzzWireField compares the field of a message in wire format with what the protobuf
// library reads.
func FuzzWireField(f *testing.F) {
	text := "a.b"
	whole, err := proto.Marshal(&descriptorpb.FileDescriptorProto{Name: &text, Options: &descriptorpb.FileOptions{JavaPackage: &text}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{})
	f.Add(whole)
	f.Add(append(whole, 0x42, 3, 0x0a, 1, 'x')) // options a second time: the last one counts
	f.Add(append(whole, 0x42, 0))               // and none in the second
	f.Add(append(whole, 0x42, 5, 0x0a, 1, 'x')) // too short
	f.Add([]byte{0x43, 0x0a, 1, 'x', 0x44})     // a group
	f.Add([]byte{0x42, 0x80, 0x80, 0x80, 0x80}) // a length without an end
	f.Fuzz(func(t *testing.T, message []byte) {
		field := wireField{numbers: javaPackage}
		got := field.value(message)
		var m descriptorpb.FileDescriptorProto
		if (proto.UnmarshalOptions{AllowPartial: true}).Unmarshal(message, &m) != nil {
			return
		}
		if want := m.GetOptions().GetJavaPackage(); !bytes.Equal(got, []byte(want)) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// TestWireField: Traffic 166: a number that is zero is no key, and reading takes no memory.
func TestWireField(t *testing.T) {
	number := wireField{numbers: []protowire.Number{3}}
	for _, test := range []struct {
		name    string
		message []byte
		want    []byte
	}{
		{"a number", protowire.AppendVarint(protowire.AppendTag(nil, 3, protowire.VarintType), 300), []byte{0xac, 2}},
		{"zero", protowire.AppendVarint(protowire.AppendTag(nil, 3, protowire.VarintType), 0), nil},
		{"fixed", protowire.AppendFixed32(protowire.AppendTag(nil, 3, protowire.Fixed32Type), 1), []byte{1, 0, 0, 0}},
		{"fixed zero", protowire.AppendFixed64(protowire.AppendTag(nil, 3, protowire.Fixed64Type), 0), nil},
		{"another one", protowire.AppendVarint(protowire.AppendTag(nil, 4, protowire.VarintType), 300), nil},
		{"malformed", []byte{0x18}, nil},
	} {
		if got := number.value(test.message); !bytes.Equal(got, test.want) {
			t.Errorf("%s: %x, want %x", test.name, got, test.want)
		}
		if n := testing.AllocsPerRun(100, func() { number.value(test.message) }); n != 0 {
			t.Errorf("%s: %v allocations", test.name, n)
		}
	}
}
