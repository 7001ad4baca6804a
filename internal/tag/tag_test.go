package tag

import (
	"bytes"
	"context"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const source = `syntax = "proto3"; package t;
message Ask { string name = 1; int64 n = 2; enum E { ZERO = 0; ONE = 1; } E e = 3; Ask of = 4; bool b = 5; sint32 s = 8; fixed64 f = 9; }`

// asked is the message of source.
func asked(t *testing.T) protoreflect.MessageDescriptor {
	t.Helper()
	c := protocompile.Compiler{Resolver: &protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(map[string]string{"t.proto": source})}}
	files, err := c.Compile(context.Background(), "t.proto")
	if err != nil {
		t.Fatal(err)
	}
	return files[0].Messages().Get(0)
}

// TestTemplates: Traffic 127: how fields of each kind are written.
func TestTemplates(t *testing.T) {
	m := asked(t)
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

// TestMeets: two templates meet where one text may be of both.
func TestMeets(t *testing.T) {
	m := asked(t)
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"plain", "plain", true}, {"plain", "other", false}, {"m:{name}", "m:x", true}, {"m:{name}", "n:x", false}, {"m:{name}:z", "m:x", false},
		{"m:{name}", "m:{of.name}:z", true}, {"m:{name}", "mm:{name}", false}, {"{name}", "{n}:a:{e}", true}, {"{name}:a", "{name}:b", false},
		{"a{name}b{n}c", "a1b2c", true}, {"a{name}b{n}c", "abc", true}, {"a{name}b{n}c", "ac", false}, {"a{name}a", "a", false},
	} {
		parse := func(text string) Template {
			p, err := Parse(text, m, m)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		a, b := parse(test.a), parse(test.b)
		if got := a.Meets(&b); got != test.want || b.Meets(&a) != got {
			t.Errorf("%s and %s: got %v and %v, want %v", test.a, test.b, got, b.Meets(&a), test.want)
		}
	}
}
