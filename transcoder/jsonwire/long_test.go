package jsonwire_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/transom-gateway/transom/transcoder/jsonwire"
	"github.com/transom-gateway/transom/transcoder/jsonwire/internal/testpb"
)

// longMessages are messages of Everything that have a lot of JSON, each in
// another way; n scales them.
func longMessages(n int) map[string][]byte {
	child := protowire.AppendBytes(protowire.AppendTag(nil, fieldNumber("children"), protowire.BytesType), nil)
	tag := func(name protoreflect.Name, typ protowire.Type) []byte {
		return protowire.AppendTag(nil, fieldNumber(name), typ)
	}
	entry := func(i int) []byte {
		b := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), fmt.Sprint("key ", i))
		return protowire.AppendBytes(tag("m_string", protowire.BytesType), protowire.AppendBytes(protowire.AppendTag(b, 2, protowire.BytesType), nil))
	}
	var entries []byte
	for i := range n {
		entries = append(entries, entry(i)...)
	}
	everything := []byte("x/transom.jsonwire.test.Everything")
	inAny := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), everything)
	inAny = protowire.AppendBytes(protowire.AppendTag(inAny, 2, protowire.BytesType), bytes.Repeat(child, n))
	return map[string][]byte{
		"messages":     bytes.Repeat(child, n),
		"enums":        protowire.AppendBytes(tag("r_enum", protowire.BytesType), bytes.Repeat([]byte{1}, 20*n)),
		"entries":      entries,
		"an Any":       protowire.AppendBytes(tag("any", protowire.BytesType), inAny),
		"a string":     protowire.AppendString(tag("f_string", protowire.BytesType), strings.Repeat("\x01é", 100*n)),
		"bytes":        protowire.AppendString(tag("f_bytes", protowire.BytesType), strings.Repeat("\x01é", 200*n)),
		"a key":        protowire.AppendBytes(tag("m_string", protowire.BytesType), protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), strings.Repeat("k\n", 150*n))),
		"a mask":       protowire.AppendBytes(tag("mask", protowire.BytesType), bytes.Repeat(protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "foo_bar"), 50*n)),
		"in disorder":  append(append(bytes.Repeat(child, n), protowire.AppendVarint(tag("f_int32", protowire.VarintType), 1)...), protowire.AppendVarint(tag("f_int32", protowire.VarintType), 2)...),
		"out of order": append(append(bytes.Repeat(child, n), protowire.AppendVarint(tag("f_sint32", protowire.VarintType), 1)...), protowire.AppendVarint(tag("f_int32", protowire.VarintType), 2)...),
	}
}

func fieldNumber(name protoreflect.Name) protowire.Number {
	return (&testpb.Everything{}).ProtoReflect().Descriptor().Fields().ByName(name).Number()
}

// TestSemantics303Long: long JSON that is written in pieces is the same as in one.
func TestSemantics303Long(t *testing.T) {
	plan := everythingPlan()
	list, err := plan.Field("children")
	if err != nil {
		t.Fatal(err)
	}
	for name, wire := range longMessages(3000) {
		for _, o := range append(outputs(), jsonwire.Output{OmitDefaults: true, MaxBytes: 1 << 30}) {
			want, err := plan.AppendJSON(nil, wire, o)
			if err != nil {
				t.Fatal(name, err)
			}
			dst, long, err := plan.Convert([]byte("before"), wire, o)
			if err != nil || (long != nil) != (len(want) > 256<<10) || !bytes.HasPrefix(dst, []byte("before")) {
				t.Fatalf("%s: %d bytes became %v, %v", name, len(want), long, err)
			}
			if long == nil {
				if string(dst[len("before"):]) != string(want) {
					t.Errorf("%s: the short way differs", name)
				}
				continue
			}
			var out bytes.Buffer
			n, err := long.WriteTo(&out)
			if err != nil || int(n) != out.Len() || long.Len() != out.Len() || !bytes.Equal(out.Bytes(), want) || string(dst) != "before" {
				t.Errorf("%s: %d bytes were written as %d, %v; %d were announced", name, len(want), n, err, long.Len())
			}
		}
		want, err := list.AppendJSON(nil, wire, jsonwire.Output{})
		if err != nil {
			t.Fatal(err)
		}
		if _, long, err := list.Convert(nil, wire, jsonwire.Output{}); err != nil {
			t.Error(err)
		} else if long != nil {
			var out bytes.Buffer
			if _, err := long.WriteTo(&out); err != nil || !bytes.Equal(out.Bytes(), want) {
				t.Errorf("%s: the list differs, %v", name, err)
			}
		}
	}
}

// TestSemantics303Bound: JSON has at most as many bytes as it may, exactly.
func TestSemantics303Bound(t *testing.T) {
	plan := everythingPlan()
	messages := longMessages(3000)
	messages["nothing"] = nil
	for name, wire := range messages {
		whole, err := plan.AppendJSON(nil, wire, jsonwire.Output{})
		if err != nil {
			t.Fatal(err)
		}
		for _, most := range []int{1, len(whole) / 2, len(whole) - 1, len(whole)} {
			o := jsonwire.Output{MaxBytes: most}
			out, err := plan.AppendJSON([]byte("x"), wire, o)
			_, _, errConvert := plan.Convert(nil, wire, o)
			var large, largeConvert *jsonwire.TooLargeError
			if most == len(whole) {
				if err != nil || errConvert != nil {
					t.Errorf("%s: %v, %v", name, err, errConvert)
				}
			} else if !errors.As(err, &large) || !errors.As(errConvert, &largeConvert) || large.Max != most || largeConvert.Max != most || string(out) != "x" {
				t.Errorf("%s: %d bytes pass a bound of %d: %v, %v", name, len(whole), most, err, errConvert)
			}
		}
	}
}

// TestSemantics303Memory: neither long JSON nor JSON beyond its bound takes more
// memory than a piece of it, whatever its length; nor does a check.
func TestSemantics303Memory(t *testing.T) {
	plan := everythingPlan()
	const allowance = 3 << 20
	for _, n := range []int{20000, 40000} {
		for name, wire := range longMessages(n) {
			if name == "in disorder" || name == "entries" || name == "an Any" {
				continue // they take memory in proportion: see TestSemantics51Memory
			}
			for _, most := range []int{0, 1 << 20} {
				took := allocated(func() {
					_, long, err := plan.Convert(nil, wire, jsonwire.Output{MaxBytes: most})
					if err == nil && long != nil {
						_, err = long.WriteTo(io.Discard)
					}
					if err != nil && most == 0 {
						t.Error(name, err)
					}
				})
				if took > allowance {
					t.Errorf("%s: %d bytes took %d bytes of memory with a bound of %d", name, len(wire), took, most)
				}
			}
			if took := allocated(func() {
				if err := plan.Check(wire); err != nil {
					t.Error(name, err)
				}
			}); took > allowance {
				t.Errorf("%s: checking %d bytes took %d bytes of memory", name, len(wire), took)
			}
		}
	}
}

// TestSemantics51Linear compares the memory for n and for 2n of what protojson
// needs too much for, and the JSON of what looks twice at no level.
func TestSemantics51Linear(t *testing.T) {
	plan := everythingPlan()
	anys := func(n int) string { // n Any messages, each nested 30 deep with its type at the end
		one := strings.Repeat(`{"value":`, 30) + `{}` + strings.Repeat(`,"@type":"type.googleapis.com/google.protobuf.Any"}`, 30)
		return `{"rAny":[` + strings.Repeat(one+",", n-1) + one + `]}`
	}
	for name, input := range map[string]func(n int) string{
		"Any messages in each other": func(n int) string { return anys(n / 30) },
		"objects in a Value":         func(n int) string { return `{"value":[` + strings.Repeat("{},", 10*n) + `{}]}` },
		"messages":                   func(n int) string { return `{"children":[` + strings.Repeat("{},", 10*n) + `{}]}` },
	} {
		const n = 20000
		measure := func(n int) uint64 {
			in := []byte(input(n))
			return allocated(func() {
				wire, err := plan.AppendWire(make([]byte, 0, 2*len(in)), in, jsonwire.Input{})
				if err != nil {
					t.Fatal(name, err)
				}
				if _, _, err := plan.Convert(nil, wire, jsonwire.Output{MaxBytes: 64 << 20}); err != nil {
					if large := (*jsonwire.TooLargeError)(nil); !errors.As(err, &large) {
						t.Fatal(name, err)
					}
				}
			})
		}
		measure(n) // pools and plans
		once, twice := measure(n), measure(2*n)
		if twice > 3*once+1<<20 {
			t.Errorf("%s: %d took %d bytes of memory, twice as many %d", name, n, once, twice)
		}
	}
	// Refusing the bomb costs no more memory for twice the depth.
	refuse := func(depth int) uint64 {
		in := []byte(`{"any":` + strings.Repeat(`{"value":`, depth) + `{}` + strings.Repeat(`,"@type":"google.protobuf.Any"}`, depth) + `}`)
		return allocated(func() {
			if _, err := plan.AppendWire(nil, in, jsonwire.Input{}); err == nil {
				t.Error("the bomb was accepted")
			}
		})
	}
	refuse(3200)
	if once, twice := refuse(3200), refuse(6400); twice > 3*once+1<<20 {
		t.Errorf("a bomb 3,200 deep took %d bytes of memory, 6,400 deep %d", once, twice)
	}
}

// FuzzConvert compares JSON in pieces with JSON in one.
func FuzzConvert(f *testing.F) {
	plan := everythingPlan()
	for _, wire := range longMessages(3) {
		f.Add(wire, uint16(0))
		f.Add(wire, uint16(20))
	}
	f.Fuzz(func(t *testing.T, wire []byte, most uint16) {
		wire = bytes.Repeat(wire, 1+20000/(1+len(wire)))
		for _, o := range []jsonwire.Output{{}, {OmitDefaults: true}, {UnsetAsNull: true}} {
			o.MaxBytes = int(most) * 100
			want, wantErr := plan.AppendJSON(nil, wire, o)
			got, long, err := plan.Convert(nil, wire, o)
			if (err == nil) != (wantErr == nil) {
				t.Fatalf("in pieces %v, in one %v", err, wantErr)
			}
			if long != nil {
				var out bytes.Buffer
				if _, err := long.WriteTo(&out); err != nil {
					t.Fatal(err)
				}
				if got = out.Bytes(); long.Len() != len(got) {
					t.Fatalf("%d bytes were announced, %d written", long.Len(), len(got))
				}
			}
			if err == nil && !bytes.Equal(got, want) {
				t.Fatalf("in pieces %s, in one %s", got, want)
			}
		}
		err := plan.Check(wire)
		_, wantErr := plan.AppendJSON(nil, wire, jsonwire.Output{OmitDefaults: true, LenientAny: true})
		if (err == nil) != (wantErr == nil) {
			t.Errorf("the check says %v, the conversion %v", err, wantErr)
		}
	})
}

// TestSemantics303OpaqueAny writes what an Any holds in base64, as it came.
func TestSemantics303OpaqueAny(t *testing.T) {
	book := mustAny(t, &testpb.Book{Name: "n"})
	wire, err := proto.Marshal(&testpb.Everything{Any: book})
	if err != nil {
		t.Fatal(err)
	}
	out, err := jsonwire.NewPlans(jsonwire.TypeResolver{Types: protoregistry.GlobalTypes}).Message((&testpb.Everything{}).ProtoReflect().Descriptor()).
		AppendJSON(nil, wire, jsonwire.Output{OmitDefaults: true, OpaqueAny: true})
	if want := `{"any":{"@type":"type.googleapis.com/transom.jsonwire.test.Book","value":"CgFu"}}`; err != nil || string(out) != want {
		t.Errorf("got %s, %v, want %s", out, err, want)
	}
}
