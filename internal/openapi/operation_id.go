package openapi

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Repeated is an operationId that options give to two methods.
type Repeated struct {
	ID string
	// Method has it by an option of the field Option, Other by that of OtherOption, or by its name where that is 0.
	Method, Other       protoreflect.MethodDescriptor
	Option, OtherOption protoreflect.FieldNumber
}

// Repeated lists the operationIds that options give to two methods, in the order of the methods.
func (s *Source) Repeated() []Repeated { return s.repeated }

// operationID is what a method is called by, and the option that says so; 0 for its own name.
type operationID struct {
	text   string
	option protoreflect.FieldNumber
}

// name gives the routes their operationIds (Surface 207).
func (s *Source) name() {
	w := s.writer(Version31)
	bases := map[*described]operationID{}
	owners := map[string]*described{}
	for _, r := range s.routes {
		r.tag = s.serviceName(r.Method.Descriptor.Parent())
		for _, f := range w.fragments(r.Method.Descriptor.Parent()) {
			if name, _ := f.get("name").(string); name != "" {
				r.tag = name
			}
		}
		bases[r] = s.baseID(w, r)
		if other := owners[bases[r].text]; other == nil {
			owners[bases[r].text] = r
		} else if other.Method.RPC != r.Method.RPC {
			s.repeat(bases[other], bases[r], other, r)
		}
	}
	s.number(bases, owners)
}

// baseID is that of the first rule of a method: its option's, or one made of the names of service and method.
func (s *Source) baseID(w *writer, r *described) operationID {
	d := r.Method.Descriptor
	id := operationID{text: strings.ReplaceAll(s.serviceName(d.Parent()), ".", "_") + "_" + string(d.Name())}
	for _, f := range w.fragments(d) {
		if text, _ := f.get("operationId").(string); text != "" {
			id = operationID{text, f.of.number}
		}
	}
	return id
}

// repeat notes that two methods have one operationId.
func (s *Source) repeat(first, second operationID, a, b *described) {
	if second.option == 0 {
		first, second, a, b = second, first, b, a
	}
	if second.option == 0 {
		s.remarks = append(s.remarks, Remark{a.Method.Descriptor, fmt.Sprintf("found the operationId %q, which %s has, too: one of them has a number behind it in the OpenAPI document; give each its own", first.text, b.Method.RPC)})
		return
	}
	r := Repeated{second.text, b.Method.Descriptor, a.Method.Descriptor, second.option, first.option}
	if !slices.Contains(s.repeated, r) {
		s.repeated = append(s.repeated, r)
	}
}

// number gives the further rules of a method, and those that share a name, numbers.
func (s *Source) number(bases map[*described]operationID, owners map[string]*described) {
	s.ids = map[string]bool{}
	for _, r := range s.routes {
		base := bases[r].text
		id := base
		taken := func(one string) bool { return s.ids[one] || one != base && owners[one] != nil }
		for n := 2; slices.ContainsFunc(idsOf(r, id), taken); n++ {
			id = fmt.Sprintf("%s%s%d", base, s.numberMark(), n)
		}
		r.id = id
		for _, one := range idsOf(r, id) {
			s.ids[one] = true
		}
	}
}

// webSocketID is behind the operationId of a GET that opens a WebSocket.
const webSocketID = "_WebSocket"

// idsOf are an operationId of a route and those of its operations that follow from it.
func idsOf(r *described, id string) []string {
	all := []string{id}
	if r.HTTPMethod == "*" {
		for _, method := range httpMethods("*") {
			all = append(all, id+"_"+method)
		}
	}
	if !r.Method.Shape.Unary() {
		all = append(all, id+webSocketID)
	}
	return all
}

// numberMark stands before the number of a further rule of a method.
func (s *Source) numberMark() string {
	if s.api.GRPCGateway {
		return ""
	}
	return "_"
}
