package jsonwire

import (
	"bytes"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Resolver finds the types that messages name only at run time: the contents of
// an Any and extensions. It is safe for concurrent use. An error means that the
// schema has no such type.
type Resolver interface {
	// FindMessageByName finds a message by its full name.
	FindMessageByName(protoreflect.FullName) (protoreflect.MessageDescriptor, error)
	// FindExtensionByName finds an extension field by its full name.
	FindExtensionByName(protoreflect.FullName) (protoreflect.ExtensionDescriptor, error)
	// FindExtensionByNumber finds an extension of a message by its number.
	FindExtensionByNumber(message protoreflect.FullName, field protoreflect.FieldNumber) (protoreflect.ExtensionDescriptor, error)
}

// Plans are the compiled messages of one schema. They are safe for concurrent
// use and compile a message when it is first needed.
type Plans struct {
	resolver Resolver
	hidden   func(protoreflect.FieldDescriptor) bool

	mu       sync.Mutex
	messages map[protoreflect.MessageDescriptor]*Plan
	enums    map[protoreflect.EnumDescriptor]*enumPlan
	// byName holds what Any messages have named so far; replaced, never changed.
	byName atomic.Pointer[map[string]*Plan]
}

// NewPlans returns an empty cache. A nil resolver finds nothing.
func NewPlans(r Resolver) *Plans {
	s := &Plans{
		resolver: r,
		messages: map[protoreflect.MessageDescriptor]*Plan{},
		enums:    map[protoreflect.EnumDescriptor]*enumPlan{},
	}
	s.byName.Store(&map[string]*Plan{})
	return s
}

// Hide says which fields no error may repeat the values of. It is called before
// any plan is asked for; hidden is called once for each field.
func (s *Plans) Hide(hidden func(protoreflect.FieldDescriptor) bool) { s.hidden = hidden }

// Message returns the plan of a message.
func (s *Plans) Message(d protoreflect.MessageDescriptor) *Plan {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.messages[d]
	if p == nil {
		p = newPlan(s, d)
		s.messages[d] = p
	}
	return p
}

// enum is called while a plan is compiled, under the lock.
func (s *Plans) enum(d protoreflect.EnumDescriptor) *enumPlan {
	e := s.enums[d]
	if e == nil {
		e = newEnumPlan(d)
		s.enums[d] = e
	}
	return e
}

// byURL returns the plan of what a type URL names: what follows the last slash
// is a full name.
func (s *Plans) byURL(url []byte) (*Plan, error) {
	name := url[bytes.LastIndexByte(url, '/')+1:]
	if p := (*s.byName.Load())[string(name)]; p != nil {
		return p, nil
	}
	full := protoreflect.FullName(name)
	if s.resolver == nil || !full.IsValid() {
		return nil, fmt.Errorf("the schema has no message %q", clip(string(full)))
	}
	d, err := s.resolver.FindMessageByName(full)
	if err != nil || d == nil {
		return nil, fmt.Errorf("the schema has no message %q", clip(string(full)))
	}
	p := s.Message(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	next := maps.Clone(*s.byName.Load())
	next[string(full)] = p
	s.byName.Store(&next)
	return p, nil
}
