package jsonwire

import (
	"strconv"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/jsonenumvalueoptionspb"
)

// enumPlan is an enum, compiled.
type enumPlan struct {
	desc protoreflect.EnumDescriptor
	// dense holds the quoted names of the numbers 0…; sparse those of the others.
	dense  []string
	sparse map[int32]string
	// numbers finds numbers by the names that input may use.
	numbers nameTable[int32]
}

// maxDense bounds the numbers that get a place in a table.
const maxDense = 1024

func newEnumPlan(d protoreflect.EnumDescriptor) *enumPlan {
	values := d.Values()
	e := &enumPlan{desc: d, numbers: newNameTable[int32](2 * values.Len())}
	for i := range values.Len() {
		v := values.Get(i)
		n := int32(v.Number())
		e.numbers.add(string(v.Name()), n)
		if first := values.ByNumber(v.Number()); first != v && first.Name() != v.Name() {
			continue // an alias; the first name is the one written
		}
		quoted, _ := appendString(nil, []byte(EnumName(v)))
		if n < 0 || n >= maxDense {
			if e.sparse == nil {
				e.sparse = map[int32]string{}
			}
			e.sparse[n] = string(quoted)
			continue
		}
		for int(n) >= len(e.dense) {
			e.dense = append(e.dense, "")
		}
		e.dense[n] = string(quoted)
	}
	for i := range values.Len() {
		e.numbers.add(EnumName(values.Get(i)), int32(values.Get(i).Number()))
	}
	return e
}

// name returns the quoted name of a number, or "".
func (e *enumPlan) name(n int32) string {
	if uint32(n) < uint32(len(e.dense)) {
		return e.dense[n]
	}
	return e.sparse[n]
}

// text returns the JSON of a number: its quoted name, or the number itself.
func (e *enumPlan) text(n int32) string {
	if s := e.name(n); s != "" {
		return s
	}
	return strconv.Itoa(int(n))
}

// EnumName is the name of a value in JSON: its own or the one that the option
// (pb.enumvalue.json) gives it.
func EnumName(v protoreflect.EnumValueDescriptor) string {
	options := v.Options()
	if options == nil || !options.ProtoReflect().IsValid() {
		return string(v.Name())
	}
	// Not proto.GetExtension: options may be dynamic messages.
	json, ok := options.ProtoReflect().Get(jsonenumvalueoptionspb.E_Json.TypeDescriptor()).Interface().(protoreflect.Message)
	if !ok {
		return string(v.Name())
	}
	f := json.Descriptor().Fields().ByName("string")
	if f == nil || f.IsList() || f.Kind() != protoreflect.StringKind || !json.Has(f) {
		return string(v.Name())
	}
	return json.Get(f).String()
}
