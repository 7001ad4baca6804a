package schema

import (
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// HTTPRule returns the google.api.http option of a method, or nil.
func HTTPRule(method protoreflect.MethodDescriptor) *annotations.HttpRule {
	rule, _ := option(method, annotations.E_Http).(*annotations.HttpRule)
	return rule
}

// MethodPolicy returns the transom.v1.method option of a method, or nil.
func MethodPolicy(method protoreflect.MethodDescriptor) *transomv1.Policy {
	policy, _ := option(method, transomv1.E_Method).(*transomv1.Policy)
	return policy
}

// ServicePolicy returns the transom.v1.service option of a service, or nil.
func ServicePolicy(service protoreflect.ServiceDescriptor) *transomv1.Policy {
	policy, _ := option(service, transomv1.E_Service).(*transomv1.Policy)
	return policy
}

// FieldOptions returns the transom.v1.field option of a field, or nil.
func FieldOptions(field protoreflect.FieldDescriptor) *transomv1.FieldOptions {
	options, _ := option(field, transomv1.E_Field).(*transomv1.FieldOptions)
	return options
}

// FieldBehavior returns the google.api.field_behavior option of a field; nil for none.
func FieldBehavior(field protoreflect.FieldDescriptor) []annotations.FieldBehavior {
	behaviour, _ := option(field, annotations.E_FieldBehavior).([]annotations.FieldBehavior)
	return behaviour
}

// Option returns the value of any option message that the binary knows, such as
// (buf.validate.field) or an OpenAPI annotation, in its generated type; nil when
// it is not set or is no message. The extension must extend the kind of options
// that d has.
func Option(d protoreflect.Descriptor, extension protoreflect.ExtensionType) proto.Message {
	value, _ := option(d, extension).(proto.Message)
	return value
}

// option reads one extension of a descriptor's options in its generated type,
// wherever the descriptor comes from: a compiler, a set or a server give the
// same option as a message of the generated type, as a dynamic one or as bytes
// that nobody has looked at (proto.GetExtension panics on the second and misses
// the third). It is called when a schema loads, not on a request.
func option(d protoreflect.Descriptor, extension protoreflect.ExtensionType) any {
	options := d.Options()
	if options == nil || !options.ProtoReflect().IsValid() {
		return nil
	}
	if options.ProtoReflect().Descriptor().FullName() != extension.TypeDescriptor().ContainingMessage().FullName() {
		return nil
	}
	if generated(options, extension) {
		return proto.GetExtension(options, extension)
	}
	if !mayHold(options, extension) {
		return nil
	}
	typed := remarshal(options, extension)
	if typed == nil || !proto.HasExtension(typed, extension) {
		return nil
	}
	return proto.GetExtension(typed, extension)
}

// generated reports whether the option is set, in its generated type.
func generated(options proto.Message, extension protoreflect.ExtensionType) bool {
	found := false
	options.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		typed, ok := field.(protoreflect.ExtensionTypeDescriptor)
		found = ok && typed.Type() == extension
		return !found
	})
	return found
}

// mayHold reports whether the option can be there in another form, so that most
// descriptors are not marshalled for nothing.
func mayHold(options proto.Message, extension protoreflect.ExtensionType) bool {
	message := options.ProtoReflect()
	if len(message.GetUnknown()) > 0 {
		return true
	}
	found := false
	message.Range(func(field protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		found = field.Number() == extension.TypeDescriptor().Number()
		return !found
	})
	return found
}

// remarshal returns the options as their generated type, with one extension in
// its own. All others stay bytes, so that somebody's private option under a
// number which the binary uses for another is in nobody's way. Bytes that do not
// fit the extension itself count as not set.
func remarshal(options proto.Message, extension protoreflect.ExtensionType) proto.Message {
	generated, err := protoregistry.GlobalTypes.FindMessageByName(extension.TypeDescriptor().ContainingMessage().FullName())
	if err != nil {
		return nil
	}
	wire, err := proto.MarshalOptions{AllowPartial: true}.Marshal(options)
	if err != nil {
		return generated.Zero().Interface()
	}
	only := new(protoregistry.Types)
	if err := only.RegisterExtension(extension); err != nil {
		return generated.Zero().Interface()
	}
	into := generated.New().Interface()
	read := proto.UnmarshalOptions{AllowPartial: true, Resolver: only, RecursionLimit: maxNesting}
	if read.Unmarshal(wire, into) != nil {
		return generated.Zero().Interface()
	}
	return into
}

// unmarshalKnown reads a message with its extensions in the generated types; if
// one of them does not fit, it keeps all extensions as bytes.
func unmarshalKnown(wire []byte, into proto.Message) error {
	known := proto.UnmarshalOptions{AllowPartial: true, Resolver: protoregistry.GlobalTypes, RecursionLimit: maxNesting}
	if known.Unmarshal(wire, into) == nil {
		return nil
	}
	raw := known
	raw.Resolver = new(protoregistry.Types)
	return raw.Unmarshal(wire, into)
}

// maxNesting bounds how deep messages of a descriptor may nest.
const maxNesting = 256
