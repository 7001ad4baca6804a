package tag

import (
	"bytes"
	"context"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/encoding/protowire"
)

const source = `syntax = "proto3"; package t;
message Ask { string name = 1; int64 n = 2; enum E { ZERO = 0; ONE = 1; } E e = 3; Ask of = 4; bool b = 5; sint32 s = 8; fixed64 f = 9; }`

// TestTemplates: Traffic 127: how fields of each kind are written.
func TestTemplates(t *testing.T) {
	c := protocompile.Compiler{Resolver: &protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(map[string]string{"t.proto": source})}}
	files, err := c.Compile(context.Background(), "t.proto")
	if err != nil {
		t.Fatal(err)
	}
	m := files[0].Messages().Get(0)
	inner := protowire.AppendBytes([]byte{4<<3 | 2}, []byte{2 << 3, 9})
	message := bytes.Join([][]byte{{1<<3 | 2, 1, 'x'}, {2 << 3, 5}, {3 << 3, 1}, inner, {5 << 3, 1}, {8 << 3, 3}, {9<<3 | 1, 7, 0, 0, 0, 0, 0, 0, 0}}, nil)
	for text, want := range map[string]string{
		"plain": "plain", "{name}": "x", "a:{name}:{n}:b": "a:x:5:b", "{e}": "ONE", "{of.n}": "9", "{of.of.n}": "0", "{of.e}": "ZERO", "{b}": "true", "{of.b}": "false",
		"{s}": "-2", "{f}": "7",
	} {
		tag, err := Parse(text, m, m)
		if err != nil {
			t.Fatal(err)
		}
		if got := tag.Render(message); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}
