package schema

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/types/descriptorpb"
)

// reservedJSONNames returns an error for each field whose json_name cannot be one, as
// protoc does: "[…]" is how JSON names an extension.
func reservedJSONNames(file *descriptorpb.FileDescriptorProto) []error {
	var errs []error
	for _, message := range file.GetMessageType() {
		errs = reservedIn(errs, message, file.GetPackage())
	}
	return errs
}

func reservedIn(errs []error, message *descriptorpb.DescriptorProto, scope string) []error {
	full := strings.TrimPrefix(scope+"."+message.GetName(), ".")
	for _, field := range message.GetField() {
		switch name := field.GetJsonName(); {
		case len(errs) >= maxErrorsPerFile:
			return errs
		case strings.HasPrefix(name, "[") && strings.HasSuffix(name, "]"):
			errs = append(errs, fmt.Errorf("the field %q has the json_name %q, which is invalid: in JSON a name in brackets is that of an extension", full+"."+field.GetName(), name))
		case strings.Contains(name, "\x00"):
			errs = append(errs, fmt.Errorf("the field %q has a json_name with a NUL character, which is invalid", full+"."+field.GetName()))
		}
	}
	for _, nested := range message.GetNestedType() {
		errs = reservedIn(errs, nested, full)
	}
	return errs
}

// isMessageSet reports whether the runtime refused a file for a MessageSet. protoc
// accepts it, so the rest of the folder is served without that file.
func isMessageSet(err error) bool { return strings.Contains(err.Error(), "is a MessageSet") }
