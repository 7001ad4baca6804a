package gateway

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/nearest"
)

// Describe describes a service, method, message, field or enum for people, by its
// full name; a method's may have a slash. Without a name it lists the services.
func (g *Gateway) Describe(symbol string) (string, error) {
	s := g.acquire()
	if s == nil {
		return "", fmt.Errorf("no configuration has been loaded yet")
	}
	defer s.release()
	d := describer{snapshot: s, routes: map[protoreflect.FullName][]*Route{}}
	for _, r := range s.routes {
		if m, ok := r.endpoint.method(); ok {
			d.routes[m.FullName()] = append(d.routes[m.FullName()], r)
		}
	}
	if symbol == "" {
		d.list()
		return d.text.String(), nil
	}
	name := protoreflect.FullName(strings.ReplaceAll(strings.Trim(symbol, "/."), "/", "."))
	found := s.declared(name)
	if found == nil {
		return "", s.unknownSymbol(symbol, string(name))
	}
	d.describe(found)
	return d.text.String(), nil
}

// declared finds a descriptor in the schemas.
func (s *Snapshot) declared(name protoreflect.FullName) protoreflect.Descriptor {
	for _, r := range s.registries {
		if d, err := r.FindDescriptorByName(name); err == nil {
			return d
		}
	}
	return nil
}

// unknownSymbol says what may have been meant.
func (s *Snapshot) unknownSymbol(symbol, name string) error {
	names := s.symbols()
	meant := nearest.Of(names, name)
	if meant == "" {
		meant = sameLast(names, name)
	}
	if meant == "" {
		meant = nearestLast(names, name)
	}
	if meant == "" {
		return fmt.Errorf("there is no %s; `transom describe` lists the services", symbol)
	}
	return fmt.Errorf("there is no %s; did you mean %s?", symbol, meant)
}

// nearestLast is the name whose last part is like that of another one; "" for none.
func nearestLast(names []string, name string) string {
	byLast := make(map[string]string, len(names))
	var parts []string
	for _, n := range names {
		last := n[strings.LastIndexByte(n, '.')+1:]
		if byLast[last] == "" {
			byLast[last] = n
			parts = append(parts, last)
		}
	}
	return byLast[nearest.Of(parts, name[strings.LastIndexByte(name, '.')+1:])]
}

// symbols lists the full names of services, methods, messages and enums, sorted, those
// of the services first.
func (s *Snapshot) symbols() []string {
	var services, types []string
	for _, r := range s.registries {
		for _, service := range r.Services() {
			services = append(services, string(service.FullName()))
			for i := range service.Methods().Len() {
				services = append(services, string(service.Methods().Get(i).FullName()))
			}
		}
		r.Files().RangeFiles(func(file protoreflect.FileDescriptor) bool {
			types = appendTypes(types, file.Messages(), file.Enums())
			return true
		})
	}
	slices.Sort(services)
	slices.Sort(types)
	return append(services, types...)
}

// appendTypes appends the names of messages and enums and of those within them.
func appendTypes(names []string, messages protoreflect.MessageDescriptors, enums protoreflect.EnumDescriptors) []string {
	for i := range enums.Len() {
		names = append(names, string(enums.Get(i).FullName()))
	}
	for i := range messages.Len() {
		if m := messages.Get(i); !m.IsMapEntry() {
			names = appendTypes(append(names, string(m.FullName())), m.Messages(), m.Enums())
		}
	}
	return names
}

// describer writes one description.
type describer struct {
	snapshot *Snapshot
	routes   map[protoreflect.FullName][]*Route
	text     strings.Builder
}

func (d *describer) line(indent int, format string, args ...any) {
	fmt.Fprintf(&d.text, "%s%s\n", strings.Repeat("  ", indent), fmt.Sprintf(format, args...))
}

// comment writes what stands before a declaration, or behind it.
func (d *describer) comment(indent int, of protoreflect.Descriptor) {
	at := of.ParentFile().SourceLocations().ByDescriptor(of)
	text := strings.TrimSpace(at.LeadingComments)
	if text == "" {
		text = strings.TrimSpace(at.TrailingComments)
	}
	if text == "" {
		return
	}
	for line := range strings.SplitSeq(text, "\n") {
		d.line(indent, "%s", strings.TrimRight("// "+strings.TrimSpace(line), " "))
	}
}

// list lists the services with their methods.
func (d *describer) list() {
	for _, r := range d.snapshot.registries {
		for _, service := range r.Services() {
			d.line(0, "%s%s", service.FullName(), d.hiddenMark(service))
			for i := range service.Methods().Len() {
				m := service.Methods().Get(i)
				d.line(1, "%s%s", signature(m), d.hiddenMark(m))
			}
		}
	}
}

func (d *describer) hiddenMark(of protoreflect.Descriptor) string {
	if d.snapshot.hidden[of.FullName()] {
		return "  (hidden)"
	}
	return ""
}

// signature is a method as a proto has it, with the short names of its own package.
func signature(m protoreflect.MethodDescriptor) string {
	stream := func(is bool, message protoreflect.MessageDescriptor) string {
		name := shortName(message, m.ParentFile().Package())
		if is {
			return "stream " + name
		}
		return name
	}
	return fmt.Sprintf("%s(%s) returns (%s)", m.Name(), stream(m.IsStreamingClient(), m.Input()), stream(m.IsStreamingServer(), m.Output()))
}

func shortName(d protoreflect.Descriptor, pkg protoreflect.FullName) string {
	return strings.TrimPrefix(string(d.FullName()), string(pkg)+".")
}

func (d *describer) describe(of protoreflect.Descriptor) {
	switch of := of.(type) {
	case protoreflect.ServiceDescriptor:
		d.comment(0, of)
		d.line(0, "service %s%s", of.FullName(), d.hiddenMark(of))
		for i := range of.Methods().Len() {
			d.line(0, "")
			d.method(1, of.Methods().Get(i))
		}
	case protoreflect.MethodDescriptor:
		d.method(0, of)
		d.line(0, "")
		d.message(of.Input())
		if of.Output() != of.Input() {
			d.line(0, "")
			d.message(of.Output())
		}
	case protoreflect.MessageDescriptor:
		d.message(of)
	case protoreflect.EnumDescriptor:
		d.enum(of)
	case protoreflect.FieldDescriptor:
		d.field(0, of)
	default:
		d.comment(0, of)
		d.line(0, "%s", of.FullName())
	}
}

// method writes a method with its routes and policies.
func (d *describer) method(indent int, m protoreflect.MethodDescriptor) {
	d.comment(indent, m)
	d.line(indent, "rpc %s%s", signature(m), d.hiddenMark(m))
	routes := d.routes[m.FullName()]
	for _, r := range routes {
		d.line(indent+1, "route   %s", r.rule)
	}
	if len(routes) == 0 {
		return
	}
	for _, e := range routes[0].guard.explained() {
		d.line(indent+1, "policy  %s: %s (%s)", e.Name, e.Summary, dash(e.Where))
	}
}

// message writes a message with its fields.
func (d *describer) message(m protoreflect.MessageDescriptor) {
	d.comment(0, m)
	d.line(0, "message %s", m.FullName())
	for i := range m.Fields().Len() {
		d.field(1, m.Fields().Get(i))
	}
}

func (d *describer) field(indent int, f protoreflect.FieldDescriptor) {
	d.comment(indent, f)
	text := fmt.Sprintf("%s %s = %d", fieldType(f), f.Name(), f.Number())
	if f.JSONName() != string(f.Name()) && !f.IsExtension() {
		text += fmt.Sprintf("  json %q", f.JSONName())
	}
	if o := f.ContainingOneof(); o != nil && !o.IsSynthetic() {
		text += fmt.Sprintf("  one of %s", o.Name())
	}
	d.line(indent, "%s", text)
}

// fieldType is the type as a proto has it.
func fieldType(f protoreflect.FieldDescriptor) string {
	name := f.Kind().String()
	switch {
	case f.IsMap():
		return fmt.Sprintf("map<%s, %s>", fieldType(f.MapKey()), fieldType(f.MapValue()))
	case f.Message() != nil:
		name = shortName(f.Message(), f.ParentFile().Package())
	case f.Enum() != nil:
		name = shortName(f.Enum(), f.ParentFile().Package())
	}
	switch {
	case f.IsList():
		return "repeated " + name
	case f.Cardinality() == protoreflect.Required:
		return "required " + name
	case f.HasOptionalKeyword():
		return "optional " + name
	}
	return name
}

func (d *describer) enum(e protoreflect.EnumDescriptor) {
	d.comment(0, e)
	d.line(0, "enum %s", e.FullName())
	for i := range e.Values().Len() {
		value := e.Values().Get(i)
		d.comment(1, value)
		d.line(1, "%s = %d", value.Name(), value.Number())
	}
}
