package schema

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/types/descriptorpb"
)

// reservedJSONName returns an error for the first field whose json_name cannot be
// one, as protoc does: "[…]" is how JSON names an extension.
func reservedJSONName(file *descriptorpb.FileDescriptorProto) error {
	for _, message := range file.GetMessageType() {
		if err := reservedIn(message, file.GetPackage()); err != nil {
			return err
		}
	}
	return nil
}

func reservedIn(message *descriptorpb.DescriptorProto, scope string) error {
	full := strings.TrimPrefix(scope+"."+message.GetName(), ".")
	for _, field := range message.GetField() {
		switch name := field.GetJsonName(); {
		case strings.HasPrefix(name, "[") && strings.HasSuffix(name, "]"):
			return fmt.Errorf("the field %q has the json_name %q, which is invalid: in JSON a name in brackets is that of an extension", full+"."+field.GetName(), name)
		case strings.Contains(name, "\x00"):
			return fmt.Errorf("the field %q has a json_name with a NUL character, which is invalid", full+"."+field.GetName())
		}
	}
	for _, nested := range message.GetNestedType() {
		if err := reservedIn(nested, full); err != nil {
			return err
		}
	}
	return nil
}

// isMessageSet reports whether the runtime refused a file for a MessageSet. protoc
// accepts it, so the rest of the folder is served without that file.
func isMessageSet(err error) bool { return strings.Contains(err.Error(), "is a MessageSet") }
