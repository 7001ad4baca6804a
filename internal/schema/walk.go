package schema

import (
	"iter"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// topLevel yields what a file adds to its package: declarations, and the values
// of its enums, which stand beside them.
func topLevel(file protoreflect.FileDescriptor) iter.Seq[protoreflect.Descriptor] {
	return func(yield func(protoreflect.Descriptor) bool) {
		for i := range file.Messages().Len() {
			if !yield(file.Messages().Get(i)) {
				return
			}
		}
		for i := range file.Services().Len() {
			if !yield(file.Services().Get(i)) {
				return
			}
		}
		for i := range file.Extensions().Len() {
			if !yield(file.Extensions().Get(i)) {
				return
			}
		}
		for i := range file.Enums().Len() {
			if !yieldEnum(file.Enums().Get(i), yield) {
				return
			}
		}
	}
}

func yieldEnum(enum protoreflect.EnumDescriptor, yield func(protoreflect.Descriptor) bool) bool {
	if !yield(enum) {
		return false
	}
	for i := range enum.Values().Len() {
		if !yield(enum.Values().Get(i)) {
			return false
		}
	}
	return true
}

// allExtensions yields the extensions of a file, nested ones too.
func allExtensions(file protoreflect.FileDescriptor) iter.Seq[protoreflect.ExtensionDescriptor] {
	return func(yield func(protoreflect.ExtensionDescriptor) bool) {
		_ = yieldExtensions(file.Extensions(), yield) && yieldNested(file.Messages(), yield)
	}
}

func yieldExtensions(extensions protoreflect.ExtensionDescriptors, yield func(protoreflect.ExtensionDescriptor) bool) bool {
	for i := range extensions.Len() {
		if !yield(extensions.Get(i)) {
			return false
		}
	}
	return true
}

func yieldNested(messages protoreflect.MessageDescriptors, yield func(protoreflect.ExtensionDescriptor) bool) bool {
	for i := range messages.Len() {
		message := messages.Get(i)
		if !yieldExtensions(message.Extensions(), yield) || !yieldNested(message.Messages(), yield) {
			return false
		}
	}
	return true
}
