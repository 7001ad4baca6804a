package jsonwire_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// TestSemantics317Extensions has extensions below, between and above a message's
// own fields, nested, in an Any and in a group.
func TestSemantics317Extensions(t *testing.T) {
	ref, find := compiled(t)
	plan := ref.plans.Message(find("between.Between"))
	for _, in := range []string{
		`{"[between.ten]":5,"last":7}`,
		`{"[between.lowest]":1,"first":"a","[between.twelve]":["x","y"],"last":7,"[between.highest]":true}`,
		`{"child":{"[between.ten]":5,"child":{"[between.lowest]":2}},"last":1}`,
		`{"[between.twenty]":{"[between.ten]":5},"middle":1}`,
		`{"[between.inner]":{"n":3},"last":1}`,
		`{"part":[{"low":1,"[between.in_part]":2,"high":3},{"[between.in_part]":4}]}`,
		`{"any":{"@type":"x/between.Between","[between.ten]":5,"last":7},"last":7}`,
	} {
		wire, err := plan.AppendWire(nil, []byte(in), jsonwire.Input{})
		if err != nil {
			t.Fatal(err)
		}
		out, err := plan.AppendJSON(nil, wire, jsonwire.Output{OmitDefaults: true})
		if err != nil || string(out) != in {
			t.Errorf("got %s, %v, want %s", out, err, in)
		}
	}
}

// TestSemantics318Order: fields stand in the order of their numbers, set or not.
// The cases are JSON that is to come back as it is.
func TestSemantics318Order(t *testing.T) {
	ref, find := compiled(t)
	for _, c := range []struct {
		message protoreflect.FullName
		setting jsonwire.Output
		in      string
	}{
		{"many.Many", jsonwire.Output{OmitDefaults: true}, `{"field0":1,"field3":true,"field60":2}`},
		{"between.Shuffled", jsonwire.Output{}, `{"fourth":[],"sixth":[]}`},
		{"between.Shuffled", jsonwire.Output{UnsetAsNull: true}, `{"first":null,"second":null,"fourth":[],"sixth":[]}`},
		{"between.Shuffled", jsonwire.Output{UnsetAsNull: true}, `{"first":null,"second":2,"fourth":[],"sixth":[]}`},
		{"between.Shuffled", jsonwire.Output{UnsetAsNull: true}, `{"first":null,"second":null,"third":3,"fourth":[],"sixth":[]}`},
		{"between.Shuffled", jsonwire.Output{UnsetAsNull: true}, `{"first":null,"second":null,"fourth":[],"fifth":3,"sixth":[]}`},
		{"between.Shuffled", jsonwire.Output{}, `{"fourth":[],"fifth":3,"sixth":[{"second":1,"fourth":[],"fifth":2,"sixth":[]}]}`},
		{"between.Between", jsonwire.Output{UnsetAsNull: true}, `{"first":null,"[between.ten]":1,"child":null,"middle":null,"part":[],"any":null,"distant":1,"last":null}`},
		{"between.Between", jsonwire.Output{UnsetAsNull: true}, `{"[between.lowest]":1,"first":null,"child":null,"near":"x","middle":null,"part":[],"any":null,"last":5}`},
		{"between.Between", jsonwire.Output{UnsetAsNull: true}, `{"first":null,"child":null,"middle":null,"[between.inner]":{"n":null},"part":[{"low":null,"[between.in_part]":1,"high":null}],"any":null,"last":null}`},
		{"transom.jsonwire.test.Book", jsonwire.Output{}, `{"name":"","title":"t","author":"","isbn":"0","pages":0,"price":0,"inStock":false,"genre":"GENRE_UNSPECIFIED","tags":[],"labels":{},"ratings":[],"reviews":[],"description":"d","cover":"","edition":3}`},
	} {
		t.Run(fmt.Sprintf("%s %s", c.message, c.in), func(t *testing.T) {
			plan := ref.plans.Message(find(c.message))
			wire, err := plan.AppendWire(nil, []byte(c.in), jsonwire.Input{})
			if err != nil {
				t.Fatal(err)
			}
			out, err := plan.AppendJSON(nil, sorted(wire), c.setting)
			if c.setting.OmitDefaults {
				if err != nil || string(out) != c.in {
					t.Errorf("got %s, %v", out, err)
				}
				return
			}
			if err != nil || string(out) != c.in {
				t.Errorf("got  %s, %v, want %s", out, err, c.in)
			}
		})
	}
}

// sorted returns the fields of a message in the order of their numbers.
func sorted(wire []byte) []byte {
	type field struct {
		num  protowire.Number
		data []byte
	}
	var fields []field
	for rest := wire; len(rest) > 0; {
		num, _, n := protowire.ConsumeField(rest)
		fields, rest = append(fields, field{num, rest[:n]}), rest[n:]
	}
	slices.SortStableFunc(fields, func(a, b field) int { return int(a.num - b.num) })
	var out []byte
	for _, f := range fields {
		out = append(out, f.data...)
	}
	return out
}

// TestSemantics318AnySerialiser takes random messages as serialisers write them:
// all fields in the order of their numbers, as most do, and extensions first and
// members of oneofs last or where their first member belongs, as protobuf-go does.
// In the first the order holds for all fields, in the others for all but those.
func TestSemantics318AnySerialiser(t *testing.T) {
	ref, find := compiled(t)
	r := newRandom(t, ref)
	for _, name := range []protoreflect.FullName{"two.Two", "edition.Edition", "many.Many", "between.Between", "between.Shuffled", "transom.jsonwire.test.Everything"} {
		d := find(name)
		plan := ref.plans.Message(d)
		for range 300 {
			m := dynamicpb.NewMessage(d)
			options := proto.UnmarshalOptions{Resolver: ref.types, AllowPartial: true}
			if options.Unmarshal(r.message(nil, d, 0), m) != nil {
				continue
			}
			m.SetUnknown(nil)
			wire, err := proto.MarshalOptions{AllowPartial: true, Deterministic: true}.Marshal(m)
			if err != nil {
				continue
			}
			for _, o := range outputs() {
				out, err := plan.AppendJSON(nil, wire, o)
				if err != nil {
					continue
				}
				if err := inOrder(ref, d, out, false); err != nil {
					t.Fatalf("%s: %x: %s: %v", name, wire, out, err)
				}
				out, err = plan.AppendJSON(nil, sorted(wire), o)
				if err != nil {
					t.Fatal(err)
				}
				if err := inOrder(ref, d, out, true); err != nil {
					t.Fatalf("%s: %x: %s: %v", name, sorted(wire), out, err)
				}
			}
		}
	}
}

// inOrder reports a key of the object that stands before one of a lower number;
// those of extensions and oneofs only where all says so.
func inOrder(ref *reference, d protoreflect.MessageDescriptor, object []byte, all bool) error {
	dec := json.NewDecoder(bytes.NewReader(object))
	if _, err := dec.Token(); err != nil {
		return err
	}
	last := protoreflect.FieldNumber(0)
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return err
		}
		f := fieldOf(ref, d, key.(string))
		if o := f.ContainingOneof(); !all && (f.IsExtension() || o != nil && !o.IsSynthetic()) {
			continue
		}
		if f.Number() < last {
			return fmt.Errorf("%s, number %d, stands after number %d", key, f.Number(), last)
		}
		last = f.Number()
	}
	return nil
}

func fieldOf(ref *reference, d protoreflect.MessageDescriptor, key string) protoreflect.FieldDescriptor {
	if name, ok := strings.CutPrefix(key, "["); ok {
		x, err := ref.types.FindExtensionByName(protoreflect.FullName(strings.TrimSuffix(name, "]")))
		if err != nil {
			panic(err)
		}
		return x.TypeDescriptor()
	}
	if f := d.Fields().ByJSONName(key); f != nil {
		return f
	}
	return d.Fields().ByTextName(key)
}

// TestSemantics318Disorder: fields in another order come as the data has them, with
// those that are not set after them; none is lost and none comes twice.
func TestSemantics318Disorder(t *testing.T) {
	ref, find := compiled(t)
	plan := ref.plans.Message(find("transom.jsonwire.test.Book"))
	wire := []byte("\x12\x01t\x0a\x01n") // title before name
	out, err := plan.AppendJSON(nil, wire, jsonwire.Output{})
	const want = `{"title":"t","name":"n","author":"","isbn":"0","pages":0,"price":0,"inStock":false,"genre":"GENRE_UNSPECIFIED","tags":[],"labels":{},"ratings":[],"reviews":[],"description":"","cover":""}`
	if err != nil || string(out) != want {
		t.Errorf("got %s, %v", out, err)
	}
}
