package policy

import (
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
)

// disabledField is the field by which a policy takes back what a wider place says.
const disabledField protoreflect.Name = "disabled"

// takeBack takes out of the merged policy what is disabled at the narrowest place
// that speaks of it (Semantics 329).
func (s *Scope) takeBack() {
	merged := s.Policy.ProtoReflect()
	merged.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if s.isTakenBack(field, value) {
			s.drop(field)
		}
		return true
	})
}

// drop takes a field out of the merged policy.
func (s *Scope) drop(field protoreflect.FieldDescriptor) {
	s.Policy.ProtoReflect().Clear(field)
	delete(s.origin, field.Name())
}

// isTakenBack reports whether a field's value says that nothing holds.
func (s *Scope) isTakenBack(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
	name := string(field.Name())
	switch {
	case name == "validate":
		return false // rules hold where nothing is said: disabled is a setting like others
	case field.IsList():
		list := value.List()
		for i := range list.Len() {
			if !isDisabled(list.Get(i).Message()) {
				continue
			}
			if list.Len() > 1 || countSet(list.Get(i).Message()) > 1 {
				s.Refuse(name, "%s: found disabled: true beside others; expected it alone, as it takes the whole list back", name)
			}
			return true
		}
		return false
	case field.Message() == nil:
		return false // hidden: false says it itself
	case field.Message().FullName() == (&durationpb.Duration{}).ProtoReflect().Descriptor().FullName():
		return countSet(value.Message()) == 0 // 0s
	case !isDisabled(value.Message()):
		return false
	}
	if countSet(value.Message()) > 1 {
		s.Refuse(name+".disabled", "%s: found disabled: true beside other fields; expected it alone, as it takes all of %s back", name, name)
	}
	return true
}

func isDisabled(m protoreflect.Message) bool {
	field := m.Descriptor().Fields().ByName(disabledField)
	return field != nil && m.Get(field).Bool()
}

// countSet is the number of fields that are set.
func countSet(m protoreflect.Message) int {
	n := 0
	m.Range(func(protoreflect.FieldDescriptor, protoreflect.Value) bool {
		n++
		return true
	})
	return n
}

// leaveInapplicable takes out of the merged policy what was inherited and cannot
// hold for the method. What was written for this very method stays, for it is
// refused (Semantics 329).
func (s *Scope) leaveInapplicable() {
	if s.target.PlainHTTP {
		s.leaveMessages()
	}
	if s.Method == nil {
		return
	}
	for _, name := range []protoreflect.Name{"login", "logout", "idle_timeout"} {
		unary := name != "idle_timeout"
		if unary != s.Stream() {
			continue
		}
		field := s.Policy.ProtoReflect().Descriptor().Fields().ByName(name)
		switch {
		case !s.Policy.ProtoReflect().Has(field):
		case !s.Exact(name):
			s.drop(field)
		case name == "idle_timeout":
			s.Refuse("idle_timeout", "idle_timeout: the method does not stream, so that it is never idle; timeout bounds how long it may take")
		}
	}
}

// leaveMessages takes out of the policy of a plain HTTP route what looks at messages, as
// leaveInapplicable does.
func (s *Scope) leaveMessages() {
	for _, name := range []protoreflect.Name{"validate", "json", "login", "logout", "response_metadata", "hidden"} {
		field := s.Policy.ProtoReflect().Descriptor().Fields().ByName(name)
		switch {
		case !s.Policy.ProtoReflect().Has(field):
		case s.Exact(name):
			s.Refuse(string(name), "%s: it is for gRPC methods, and this is a plain HTTP route: remove it", name)
		default:
			s.drop(field)
		}
	}
}
