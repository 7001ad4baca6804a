package openapi

import (
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/schema"
)

// dialect is a generator of OpenAPI documents whose options protos may have (Surface 219).
type dialect struct {
	name     string
	number   protoreflect.FieldNumber
	packages []protoreflect.FullName
}

// dialects are those that are read, the weakest first.
var dialects = []*dialect{
	{"protoc-gen-openapiv2", 1042, []protoreflect.FullName{"grpc.gateway.protoc_gen_openapiv2.options"}},
	{"gnostic", 1143, []protoreflect.FullName{"openapi.v3", "gnostic.openapi.v3"}},
	{"protoc-gen-openapiv3", 1295, []protoreflect.FullName{"grpc.gateway.protoc_gen_openapiv3.options"}},
}

// fragment is a part of a document that an option says.
type fragment struct {
	of *dialect
	*object
}

// Remark is something about the document that whoever writes the protos should know.
type Remark struct {
	// At is the element that it is about.
	At protoreflect.Descriptor
	// Message says what was found and what became of it.
	Message string
}

// remark notes a remark, each once.
func (w *writer) remark(d protoreflect.Descriptor, message string) {
	key := remarked{message, d.FullName(), d.ParentFile().Path()}
	if !w.remarked[key] {
		w.remarked[key] = true
		w.remarks = append(w.remarks, Remark{d, message})
	}
}

// remarked is what tells remarks apart.
type remarked struct {
	message string
	at      protoreflect.FullName
	path    string
}

// unused notes a part of an option that does not come into the document.
func (w *writer) unused(d protoreflect.Descriptor, of *dialect, part, why string) {
	w.remark(d, "the OpenAPI document is without `"+part+"` of the option of "+of.name+": "+why)
}

// fragments are what the options of an element say, the weakest first.
func (w *writer) fragments(d protoreflect.Descriptor) []fragment {
	if known, ok := w.source.fragments[d]; ok {
		for _, r := range known.remarks {
			w.remark(r.At, r.Message)
		}
		return known.of
	}
	var all []fragment
	before := len(w.remarks)
	for _, of := range dialects {
		message, unknown := schema.OptionMessage(d, of.number)
		switch {
		case unknown:
			w.remark(d, "the OpenAPI document is without the option of "+of.name+", whose type no file says: import the file that declares it, and keep it in the descriptor set")
		case message == nil:
		case !slices.Contains(of.packages, message.Descriptor().ParentFile().Package()):
			// Somebody's own option has the number.
		default:
			c := &converter{writer: w, at: d, of: of}
			if o, ok := readParts(c.message(message, "")).(*object); ok && len(o.keys) > 0 {
				all = append(all, fragment{of, o})
			}
		}
	}
	w.source.fragments[d] = &fragmentsOf{all, slices.Clone(w.remarks[min(before, len(w.remarks)):])}
	return all
}

// fragmentsOf is what the options of one element say, and what is to be remarked of them.
type fragmentsOf struct {
	of      []fragment
	remarks []Remark
}

// converter writes the message of an option as what it stands for in OpenAPI 3.1.
type converter struct {
	writer *writer
	at     protoreflect.Descriptor
	of     *dialect
	depth  int
}

// unused notes a part of the option.
func (c *converter) unused(part, why string) { c.writer.unused(c.at, c.of, part, why) }

// message converts a message at a path of the option.
func (c *converter) message(m protoreflect.Message, path string) any {
	if c.depth++; c.depth > maxValueDepth {
		c.unused("…", "it is nested deeper than 100 messages")
		return &object{}
	}
	defer func() { c.depth-- }()
	d := m.Descriptor()
	if len(m.GetUnknown()) > 0 {
		c.unused(strings.TrimPrefix(path+".?", "."), "it has fields that the type "+string(d.FullName())+" has not")
	}
	if d.FullName() == "google.protobuf.Value" {
		return structValue(m)
	}
	if convert := special[string(d.Name())+"@"+c.of.name]; convert != nil {
		return convert(c, m, path)
	}
	name := string(d.Name())
	if c.of.name == "gnostic" && (strings.HasSuffix(name, "OrReference") || d.Oneofs().Len() == 1 && d.Fields().Len() == d.Oneofs().Get(0).Fields().Len()) {
		return c.only(m, path)
	}
	o := &object{}
	c.members(o, m, path)
	return o
}

// only converts the one field that is set, of a message that stands for a choice.
func (c *converter) only(m protoreflect.Message, path string) any {
	for i := range m.Descriptor().Fields().Len() {
		if f := m.Descriptor().Fields().Get(i); m.Has(f) {
			return c.value(f, m.Get(f), path)
		}
	}
	return &object{}
}

// value converts the value of a field. Options may be of types that somebody else has written.
func (c *converter) value(f protoreflect.FieldDescriptor, v protoreflect.Value, path string) any {
	switch {
	case f.IsMap():
		return c.mapping(f, v.Map(), path)
	case f.IsList():
		var l list
		for i := range v.List().Len() {
			l = append(l, c.single(f, v.List().Get(i), path))
		}
		return l
	}
	return c.single(f, v, path)
}

// isPairs reports whether a field is a list of messages.
func isPairs(f protoreflect.FieldDescriptor) bool { return f.IsList() && f.Message() != nil }

// members adds the fields that are set.
func (c *converter) members(o *object, m protoreflect.Message, path string) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if !m.Has(f) {
			continue
		}
		name := strings.TrimPrefix(path+"."+string(f.Name()), ".")
		switch {
		case f.Name() == "extensions" && f.IsMap():
			c.extensions(o, c.mapping(f, m.Get(f).Map(), name), name)
		case f.Name() == "specification_extension" && isPairs(f):
			c.extensions(o, c.named(m.Get(f).List(), name), name)
		case isPairs(f) && (f.Name() == "additional_properties" || f.Name() == "response_or_reference" || f.Name() == "path" && c.of.name == "gnostic"):
			named := c.named(m.Get(f).List(), name)
			for i, key := range named.keys {
				o.put(key, named.values[i])
			}
		default:
			o.put(memberName(f), c.value(f, m.Get(f), name))
		}
	}
}

// memberName is what OpenAPI calls a field.
func memberName(f protoreflect.FieldDescriptor) string {
	if f.Name() == "_ref" || f.Name() == "ref" {
		return "$ref"
	}
	return f.JSONName()
}

// extensions adds members of users' own, whose names begin with x-.
func (c *converter) extensions(o, from *object, path string) {
	for i, name := range from.keys {
		switch {
		case !strings.HasPrefix(name, "x-"):
			c.unused(path+"."+name, "the name of an extension begins with x-")
		case strings.HasPrefix(name, "x-transom-"):
			c.unused(path+"."+name, "names that begin with x-transom- are the gateway's")
		default:
			o.put(name, from.values[i])
		}
	}
}

// named is an object of gnostic's pairs of names and values.
func (c *converter) named(pairs protoreflect.List, path string) *object {
	o := &object{}
	for i := range pairs.Len() {
		pair := pairs.Get(i).Message()
		name, value := pair.Descriptor().Fields().ByName("name"), pair.Descriptor().Fields().ByName("value")
		if name == nil || value == nil {
			continue
		}
		key := pair.Get(name).String()
		o.put(key, c.value(value, pair.Get(value), path+"."+key))
	}
	return o
}

// mapping is an object of a map, in the order of keys.
func (c *converter) mapping(f protoreflect.FieldDescriptor, m protoreflect.Map, path string) *object {
	values := map[string]protoreflect.Value{}
	m.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		values[k.String()] = v
		return true
	})
	o := &object{}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		o.add(key, c.single(f.MapValue(), values[key], path+"."+key))
	}
	return o
}

// single converts one value.
func (c *converter) single(f protoreflect.FieldDescriptor, v protoreflect.Value, path string) any {
	switch f.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return c.message(v.Message(), path)
	case protoreflect.EnumKind:
		if e := f.Enum().Values().ByNumber(v.Enum()); e != nil {
			return enumWord(f.Enum(), e)
		}
		return int64(v.Enum())
	case protoreflect.BoolKind:
		return v.Bool()
	case protoreflect.StringKind:
		return v.String()
	case protoreflect.DoubleKind, protoreflect.FloatKind:
		return floatNumber(v.Float())
	case protoreflect.Uint64Kind, protoreflect.Uint32Kind, protoreflect.Fixed32Kind, protoreflect.Fixed64Kind:
		return number(v.String())
	case protoreflect.BytesKind:
		return string(v.Bytes())
	}
	return v.Int()
}

// enumWord is what OpenAPI calls the value of an enum of grpc-gateway's options.
func enumWord(of protoreflect.EnumDescriptor, v protoreflect.EnumValueDescriptor) string {
	word := string(v.Name())
	for _, prefix := range []string{"TYPE_", "IN_", "FLOW_"} {
		word = strings.TrimPrefix(word, prefix)
	}
	if of.Name() == "Scheme" {
		return strings.ToLower(word)
	}
	first, rest, _ := strings.Cut(strings.ToLower(word), "_")
	for part := range strings.SplitSeq(rest, "_") {
		switch part {
		case "":
		case "tls":
			first += "TLS"
		default:
			first += strings.ToUpper(part[:1]) + part[1:]
		}
	}
	return first
}
