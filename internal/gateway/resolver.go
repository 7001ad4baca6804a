package gateway

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/schema"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// types are what a schema.Registry and the types linked into the program have
// in common.
type types interface {
	FindMessageByName(protoreflect.FullName) (protoreflect.MessageType, error)
	FindExtensionByName(protoreflect.FullName) (protoreflect.ExtensionType, error)
	FindExtensionByNumber(protoreflect.FullName, protoreflect.FieldNumber) (protoreflect.ExtensionType, error)
}

// resolver finds descriptors where others find types.
type resolver struct{ types types }

var (
	_ jsonwire.Resolver = resolver{}
	_ policy.Extensions = resolver{}
)

// Position tells where an option of a descriptor was written, for policies that
// find a rule wrong; nothing where the types know no files.
func (r resolver) Position(d protoreflect.Descriptor, option ...int32) (file string, line, column int) {
	if known, ok := r.types.(*schema.Registry); ok {
		return known.Position(d, option...)
	}
	return d.ParentFile().Path(), 0, 0
}

// FindMessageByName implements jsonwire.Resolver.
func (r resolver) FindMessageByName(name protoreflect.FullName) (protoreflect.MessageDescriptor, error) {
	t, err := r.types.FindMessageByName(name)
	if err != nil {
		return nil, err
	}
	return t.Descriptor(), nil
}

// FindExtensionByName implements jsonwire.Resolver and policy.Extensions.
func (r resolver) FindExtensionByName(name protoreflect.FullName) (protoreflect.ExtensionDescriptor, error) {
	t, err := r.types.FindExtensionByName(name)
	if err != nil {
		return nil, err
	}
	return t.TypeDescriptor(), nil
}

// FindExtensionByNumber implements jsonwire.Resolver and policy.Extensions.
func (r resolver) FindExtensionByNumber(message protoreflect.FullName, field protoreflect.FieldNumber) (protoreflect.ExtensionDescriptor, error) {
	t, err := r.types.FindExtensionByNumber(message, field)
	if err != nil {
		return nil, err
	}
	return t.TypeDescriptor(), nil
}
