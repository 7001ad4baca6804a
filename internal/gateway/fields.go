package gateway

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/transom-gateway/transom/internal/projection"
)

// maxFormMessages bounds the messages whose fields are told at once.
const maxFormMessages = 300

// FormField is a field of a message, for those who fill it in.
type FormField struct {
	// Name is that in JSON, Proto the one in the proto where that is another.
	Name  string `json:"name"`
	Proto string `json:"proto,omitempty"`
	// Type is that of a single value, as the proto has it; Message or enum by its full name.
	Type string `json:"type"`
	// Kind is scalar, enum or message.
	Kind string `json:"kind"`
	// Key is the type of the keys of a map.
	Key      string `json:"key,omitempty"`
	Repeated bool   `json:"repeated,omitempty"`
	// Oneof is the oneof that the field is a member of.
	Oneof   string   `json:"oneof,omitempty"`
	Enum    []string `json:"enum,omitempty"`
	Comment string   `json:"comment,omitempty"`
	// Rules are those of protovalidate, in the words of its protos.
	Rules []string `json:"rules,omitempty"`
	// Sensitive marks what nobody but the caller and the backend may see.
	Sensitive bool `json:"sensitive,omitempty"`
}

// Fields lists the fields of a message and of those in it, by their full names. There are at
// most 300 messages.
func (g *Gateway) Fields(symbol string) (map[string][]FormField, error) {
	s := g.acquire()
	if s == nil {
		return nil, fmt.Errorf("no configuration has been loaded yet")
	}
	defer s.release()
	root, ok := s.declared(protoreflect.FullName(symbol)).(protoreflect.MessageDescriptor)
	if !ok {
		root, ok = s.linkedMessage(protoreflect.FullName(symbol))
	}
	if !ok {
		return nil, fmt.Errorf("there is no message %s; /describe lists all names", symbol)
	}
	all := map[string][]FormField{}
	for next := []protoreflect.MessageDescriptor{root}; len(next) > 0 && len(all) < maxFormMessages; next = next[1:] {
		m := next[0]
		if all[string(m.FullName())] != nil {
			continue
		}
		list := []FormField{}
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			list = append(list, formField(f))
			if value := valueOf(f); value.Message() != nil {
				next = append(next, value.Message())
			}
		}
		all[string(m.FullName())] = list
	}
	return all, nil
}

// linkedMessage finds a message of the gateway's own services.
func (s *Snapshot) linkedMessage(name protoreflect.FullName) (protoreflect.MessageDescriptor, bool) {
	for _, r := range s.routes {
		if m, ok := r.endpoint.method(); ok {
			for _, d := range []protoreflect.MessageDescriptor{m.Input(), m.Output()} {
				if d.FullName() == name {
					return d, true
				}
			}
		}
	}
	return nil, false
}

// valueOf is the field of a map's values, or the field itself.
func valueOf(f protoreflect.FieldDescriptor) protoreflect.FieldDescriptor {
	if f.IsMap() {
		return f.MapValue()
	}
	return f
}

func formField(f protoreflect.FieldDescriptor) FormField {
	value := valueOf(f)
	field := FormField{Name: f.JSONName(), Type: value.Kind().String(), Kind: "scalar", Repeated: f.IsList(), Sensitive: projection.Sensitive(f)}
	if string(f.Name()) != field.Name {
		field.Proto = string(f.Name())
	}
	if f.IsMap() {
		field.Key = f.MapKey().Kind().String()
	}
	switch {
	case value.Message() != nil:
		field.Kind, field.Type = "message", string(value.Message().FullName())
	case value.Enum() != nil:
		field.Kind, field.Type = "enum", string(value.Enum().FullName())
		for i := range min(value.Enum().Values().Len(), 1000) {
			field.Enum = append(field.Enum, string(value.Enum().Values().Get(i).Name()))
		}
	}
	if o := f.ContainingOneof(); o != nil && !o.IsSynthetic() {
		field.Oneof = string(o.Name())
	}
	at := f.ParentFile().SourceLocations().ByDescriptor(f)
	field.Comment = strings.TrimSpace(at.LeadingComments)
	if field.Comment == "" {
		field.Comment = strings.TrimSpace(at.TrailingComments)
	}
	field.Rules = ruleTexts(f)
	return field
}

// Details writes the details of a status as a JSON array. One whose type nobody knows stays
// in base64.
func (g *Gateway) Details(st *spb.Status) json.RawMessage {
	s := g.acquire()
	if s == nil {
		return nil
	}
	defer s.release()
	list := []json.RawMessage{}
	for _, detail := range st.GetDetails() {
		list = append(list, s.detail(detail))
	}
	b, err := json.Marshal(list)
	if err != nil {
		return nil // it was JSON before
	}
	return b
}

func (s *Snapshot) detail(detail *anypb.Any) json.RawMessage {
	for _, r := range s.registries {
		if b, err := (protojson.MarshalOptions{Resolver: r}).Marshal(detail); err == nil {
			return b
		}
	}
	if b, err := protojson.Marshal(detail); err == nil { // by the types that the program has
		return b
	}
	b, err := json.Marshal(map[string]string{"@type": detail.GetTypeUrl(), "value": base64.StdEncoding.EncodeToString(detail.GetValue())})
	if err != nil {
		return json.RawMessage("{}") // texts have a form in JSON
	}
	return b
}

// Taken is the route that a request would take, by its method, path and conditions; "" for none.
func (g *Gateway) Taken(r *http.Request) string {
	s := g.acquire()
	if s == nil {
		return ""
	}
	defer s.release()
	var m match
	route, _ := s.find(r, &m) // what is wrong with the request is told to who makes it
	if route == nil {
		return ""
	}
	return route.listing.rule()
}
