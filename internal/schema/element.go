package schema

import (
	"slices"

	"google.golang.org/protobuf/types/descriptorpb"
)

// elements finds the places of what stands within the lists of HTTP rules and
// policies. The compiler says where an option's own fields stand, but of a list
// only where each of its parts begins, and an array counts as one part.
type elements struct {
	at map[string][]int32 // spans by pathKey
	// paths are the keys of at, in the order of the text.
	paths [][]int32
}

// maxElementDepth bounds how deep options are gone through; rules and policies
// do not nest so far.
const maxElementDepth = 16

// placeElements adds the places of what stands within lists to a file's source
// information.
func placeElements(file *understoodFile, made *descriptorpb.FileDescriptorProto) {
	e := &elements{at: map[string][]int32{}}
	for i, service := range numbered(file.Services()) {
		path := []int32{6, int32(i)}
		e.options(service.Options(), append(path, 3))
		for j, method := range numbered(service.Methods()) {
			e.options(method.Options(), append(slices.Clip(path), 2, int32(j), 4))
		}
	}
	if len(e.at) == 0 {
		return
	}
	info := made.GetSourceCodeInfo()
	for _, location := range info.GetLocation() {
		if span, ok := e.at[pathKey(location.GetPath())]; ok {
			location.Span = span
			delete(e.at, pathKey(location.GetPath()))
		}
	}
	for _, path := range e.paths {
		if span, ok := e.at[pathKey(path)]; ok {
			info.Location = append(info.Location, &descriptorpb.SourceCodeInfo_Location{Path: path, Span: span})
		}
	}
}

// options goes through the rule and the policy among some options.
func (e *elements) options(options messageValue, path []int32) {
	for value := range options.Fields() {
		if number := value.Field().Number(); number == HTTPOption || number == PolicyOption {
			e.message(value.AsMessage(), append(slices.Clip(path), number), messageExpr{}, false)
		}
	}
}

// message goes through a message. Inside a list the compiler has placed none of
// its fields; in an array it does not know either what they were made of, but for
// the literal of the whole.
func (e *elements) message(m messageValue, path []int32, literal messageExpr, inside bool) {
	if len(path) > maxElementDepth {
		return
	}
	for value := range m.Fields() {
		path := append(slices.Clip(path), value.Field().Number())
		if value.Field().IsRepeated() {
			e.list(value, path)
			continue
		}
		at, nested := value.OptionSpan(), value.ValueAST().AsDict()
		if field := fieldIn(literal, value.Field().Name()); at == nil && !field.IsZero() {
			at, nested = field, field.Value().AsDict()
		}
		if inside {
			e.place(path, at)
		}
		e.message(value.AsMessage(), path, nested, inside)
	}
}

// fieldIn is the field of that name in a literal.
func fieldIn(literal messageExpr, name string) fieldExpr {
	if literal.IsZero() {
		return fieldExpr{}
	}
	for field := range valuesOf(literal.Elements()) {
		if !field.IsZero() && field.Key().Span().Text() == name {
			return field
		}
	}
	return fieldExpr{}
}

// list goes through a list, which may stand in several parts: fields of the same
// name, each a value or an array of them.
func (e *elements) list(list optionValue, path []int32) {
	parts, values := list.OptionSpans(), list.ValueASTs()
	part, before := -1, 0 // how many elements of the same part came before
	for i, element := range numbered(list.Elements()) {
		if at := element.ValueNodeIndex(); at != part {
			part, before = at, 0
		} else {
			before++
		}
		if part < 0 || part >= parts.Len() || part >= values.Len() {
			return
		}
		path := append(slices.Clip(path), int32(i))
		at, literal := written(parts.At(part), values.At(part), before)
		e.place(path, at)
		e.message(element.AsMessage(), path, literal, true)
	}
}

// written is where an element stands, in an array or as the whole part, and the
// literal that it is if it is a message.
func written(part spanner, value anyExpr, index int) (spanner, messageExpr) {
	if array := value.AsArray(); !array.IsZero() && index < array.Elements().Len() {
		value = array.Elements().At(index)
		return value, value.AsDict()
	}
	return part, value.AsDict()
}

// place notes where a path stands.
func (e *elements) place(path []int32, at spanner) {
	if at == nil || at.Span().IsZero() {
		return
	}
	start, end := at.Span().StartLoc(), at.Span().EndLoc()
	span := []int32{int32(start.Line - 1), int32(start.Column - 1)}
	if end.Line != start.Line {
		span = append(span, int32(end.Line-1))
	}
	e.at[pathKey(path)] = append(span, int32(end.Column-1))
	e.paths = append(e.paths, path)
}

// pathKey is a path as the key of a map.
func pathKey(path []int32) string {
	key := make([]byte, 0, 4*len(path))
	for _, n := range path {
		key = append(key, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return string(key)
}
