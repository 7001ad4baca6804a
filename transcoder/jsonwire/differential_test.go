package jsonwire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// types are what the differential tests compare with: the same schema for
// jsonwire and protojson.
type types interface {
	protoregistry.MessageTypeResolver
	protoregistry.ExtensionTypeResolver
}

// reference converts through dynamic messages with protojson.
type reference struct {
	types types
	plans *jsonwire.Plans
}

func newReference(t types) *reference {
	return &reference{types: t, plans: jsonwire.NewPlans(jsonwire.TypeResolver{Types: t})}
}

func outputs() []jsonwire.Output {
	return []jsonwire.Output{
		{},
		{OmitDefaults: true},
		{UnsetAsNull: true},
		{ProtoNames: true, EnumNumbers: true},
		{UnsetAsNull: true, EnumNumbers: true, ProtoNames: true},
	}
}

// errNoReference says that protobuf-go panicked: dynamic messages do for a map
// entry whose key comes first rightly and then with another wire type.
var errNoReference = errors.New("protobuf-go panicked")

// toJSON is what protojson makes of wire data.
func (r *reference) toJSON(d protoreflect.MessageDescriptor, wire []byte, o jsonwire.Output) (out []byte, err error) {
	defer func() {
		if recover() != nil {
			err = errNoReference
		}
	}()
	m := dynamicpb.NewMessage(d)
	if err := (proto.UnmarshalOptions{Resolver: r.types}).Unmarshal(wire, m); err != nil {
		return nil, err
	}
	return protojson.MarshalOptions{
		UseProtoNames:     o.ProtoNames,
		UseEnumNumbers:    o.EnumNumbers,
		EmitDefaultValues: !o.OmitDefaults,
		EmitUnpopulated:   o.UnsetAsNull,
		Resolver:          r.types,
	}.Marshal(m)
}

// compareJSON converts wire data both ways and reports a difference.
func (r *reference) compareJSON(d protoreflect.MessageDescriptor, wire []byte) error {
	plan := r.plans.Message(d)
	for _, o := range outputs() {
		want, wantErr := r.toJSON(d, wire, o)
		got, gotErr := plan.AppendJSON([]byte("x"), wire, o)
		if got[0] != 'x' {
			return fmt.Errorf("%+v: dst is not kept", o)
		}
		got = got[1:]
		if wantErr == errNoReference {
			return nil
		}
		if isMaskError(wantErr) {
			continue // a deliberate difference: such paths are written as they are
		}
		if (wantErr == nil) != (gotErr == nil) {
			return fmt.Errorf("%+v\n wire %x\n protojson: %s %v\n jsonwire:  %s %v", o, wire, want, text(wantErr), got, text(gotErr))
		}
		if wantErr == nil && !sameJSON(want, got) {
			return fmt.Errorf("%+v\n wire %x\n protojson: %s\n jsonwire:  %s", o, wire, want, got)
		}
	}
	return nil
}

// isMaskError reports whether protojson has no way to write a path of a field mask.
func isMaskError(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "contains invalid path") || strings.Contains(err.Error(), "contains irreversible value"))
}

// text is an error only to be printed.
func text(err error) string { return fmt.Sprint(err) }

// sameJSON compares as JSON, and refuses an object with a key twice.
func sameJSON(a, b []byte) bool {
	x, okA := parsed(a)
	y, okB := parsed(b)
	return okA && okB && reflect.DeepEqual(x, y)
}

func parsed(b []byte) (any, bool) {
	dec := json.NewDecoder(bytesReader(b))
	dec.UseNumber()
	v, err := parseValue(dec)
	if err != nil || dec.More() {
		return nil, false
	}
	return v, true
}

func parseValue(dec *json.Decoder) (any, error) {
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		m := map[string]any{}
		for dec.More() {
			k, err := dec.Token()
			if err != nil {
				return nil, err
			}
			if _, twice := m[k.(string)]; twice {
				return nil, fmt.Errorf("key %q twice", k)
			}
			if m[k.(string)], err = parseValue(dec); err != nil {
				return nil, err
			}
		}
		_, err := dec.Token()
		return m, err
	case json.Delim('['):
		l := []any{}
		for dec.More() {
			v, err := parseValue(dec)
			if err != nil {
				return nil, err
			}
			l = append(l, v)
		}
		_, err := dec.Token()
		return l, err
	}
	return t, nil
}

// compareWire converts JSON both ways and reports a difference.
func (r *reference) compareWire(d protoreflect.MessageDescriptor, in []byte, ignore bool) error {
	want := dynamicpb.NewMessage(d)
	wantErr := protojson.UnmarshalOptions{Resolver: r.types, DiscardUnknown: ignore}.Unmarshal(in, want)
	wire, gotErr := r.plans.Message(d).AppendWire([]byte("x"), in, jsonwire.Input{IgnoreUnknown: ignore})
	if len(wire) == 0 || wire[0] != 'x' {
		return fmt.Errorf("dst is not kept")
	}
	wire = wire[1:]
	if wantErr == nil && isStricter(gotErr) || wantErr != nil && gotErr == nil && strings.Contains(wantErr.Error(), "*") && bytes.ContainsRune(in, '*') {
		return nil
	}
	if (wantErr == nil) != (gotErr == nil) {
		return fmt.Errorf("%s\n protojson: %v\n jsonwire:  %x %v", in, text(wantErr), wire, text(gotErr))
	}
	if wantErr != nil {
		return nil
	}
	got := dynamicpb.NewMessage(d)
	if err := (proto.UnmarshalOptions{Resolver: r.types}).Unmarshal(wire, got); err != nil {
		return fmt.Errorf("%s\n jsonwire: %x does not parse: %w", in, wire, err)
	}
	r.canonical(want)
	r.canonical(got)
	if !proto.Equal(want, got) {
		return fmt.Errorf("%s\n protojson: %v\n jsonwire:  %v", in, want, got)
	}
	return nil
}

var (
	refusedTime = regexp.MustCompile(`("(?:[^"\\\\]|\\\\.)*") is not a (timestamp|duration) `)
	rightTime   = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)
	rightSpan   = regexp.MustCompile(`^-?(0|[1-9]\d*)(\.\d{1,9})?s$`)
)

// isStricter reports whether an error refuses a timestamp or a duration that the
// JSON mapping does not have although protojson reads it (Semantics 315).
func isStricter(err error) bool {
	var e *jsonwire.Error
	if !errors.As(err, &e) {
		return false
	}
	m := refusedTime.FindStringSubmatch(e.Reason)
	if m == nil {
		return false
	}
	value, err := strconv.Unquote(m[1])
	right := rightTime
	if m[2] == "duration" {
		right = rightSpan
	}
	return err == nil && !right.MatchString(value)
}

// canonical writes the contents of all Any messages in m in one order.
func (r *reference) canonical(m protoreflect.Message) {
	if m.Descriptor().FullName() == "google.protobuf.Any" {
		fields := m.Descriptor().Fields()
		t, err := r.types.FindMessageByURL(m.Get(fields.ByNumber(1)).String())
		if err != nil {
			return
		}
		inner := dynamicpb.NewMessage(t.Descriptor())
		options := proto.UnmarshalOptions{Resolver: r.types, AllowPartial: true}
		if err := options.Unmarshal(m.Get(fields.ByNumber(2)).Bytes(), inner); err != nil {
			return
		}
		r.canonical(inner)
		b, _ := proto.MarshalOptions{Deterministic: true, AllowPartial: true}.Marshal(inner)
		if len(b) == 0 {
			m.Clear(fields.ByNumber(2))
			return
		}
		m.Set(fields.ByNumber(2), protoreflect.ValueOfBytes(b))
		return
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap() && f.MapValue().Message() != nil:
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				r.canonical(v.Message())
				return true
			})
		case f.IsMap() || f.Message() == nil:
		case f.IsList():
			for i := range v.List().Len() {
				r.canonical(v.List().Get(i).Message())
			}
		default:
			r.canonical(v.Message())
		}
		return true
	})
}

func mustAny(t testing.TB, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
