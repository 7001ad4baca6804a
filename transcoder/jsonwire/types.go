package jsonwire

import "google.golang.org/protobuf/reflect/protoreflect"

// Types finds the types of messages and extensions, as a registry of protobuf's has them.
type Types interface {
	FindMessageByName(protoreflect.FullName) (protoreflect.MessageType, error)
	FindExtensionByName(protoreflect.FullName) (protoreflect.ExtensionType, error)
	FindExtensionByNumber(message protoreflect.FullName, field protoreflect.FieldNumber) (protoreflect.ExtensionType, error)
}

// TypeResolver finds descriptors where others find types.
type TypeResolver struct{ Types Types }

var _ Resolver = TypeResolver{}

// FindMessageByName implements Resolver.
func (r TypeResolver) FindMessageByName(name protoreflect.FullName) (protoreflect.MessageDescriptor, error) {
	t, err := r.Types.FindMessageByName(name)
	if err != nil {
		return nil, err
	}
	return t.Descriptor(), nil
}

// FindExtensionByName implements Resolver.
func (r TypeResolver) FindExtensionByName(name protoreflect.FullName) (protoreflect.ExtensionDescriptor, error) {
	t, err := r.Types.FindExtensionByName(name)
	if err != nil {
		return nil, err
	}
	return t.TypeDescriptor(), nil
}

// FindExtensionByNumber implements Resolver.
func (r TypeResolver) FindExtensionByNumber(message protoreflect.FullName, field protoreflect.FieldNumber) (protoreflect.ExtensionDescriptor, error) {
	t, err := r.Types.FindExtensionByNumber(message, field)
	if err != nil {
		return nil, err
	}
	return t.TypeDescriptor(), nil
}
