package openapi

import "google.golang.org/protobuf/reflect/protoreflect"

// special is the schema of a message that JSON writes in a form of its own (Surface 214);
// nil for any other.
func (s *schemas) special(m protoreflect.MessageDescriptor, f form) *object {
	if isWrapper(m) {
		return orNull(scalarSchema(m.Fields().ByName("value").Kind(), f))
	}
	switch m.FullName() {
	case "google.protobuf.Timestamp":
		return obj("type", "string", "format", "date-time")
	case "google.protobuf.Duration":
		o := obj("type", "string", "pattern", `^-?[0-9]+(\.[0-9]{1,9})?s$`)
		o.fits = "3s"
		return o
	case "google.protobuf.FieldMask":
		return obj("type", "string", "description", "Paths of fields in lowerCamelCase, separated by commas.")
	case "google.protobuf.Struct":
		return obj("type", "object", "additionalProperties", true)
	case "google.protobuf.Value":
		return &object{}
	case "google.protobuf.ListValue":
		return obj("type", "array", "items", &object{})
	case "google.protobuf.Any":
		o := obj("type", "object", "properties", obj("@type", obj("type", "string", "description", "The URL of the message's type.")), "additionalProperties", true)
		o.fits = &object{} // a type has to be one that the reader knows
		return o
	case "google.protobuf.Empty":
		return obj("type", "object")
	}
	return nil
}

// isSpecial reports whether JSON writes a message in a form of its own.
func isSpecial(m protoreflect.MessageDescriptor) bool {
	return (&schemas{}).special(m, form{}) != nil
}

// isWrapper reports whether a message is one of google/protobuf/wrappers.proto.
func isWrapper(m protoreflect.MessageDescriptor) bool {
	switch m.FullName() {
	case "google.protobuf.DoubleValue", "google.protobuf.FloatValue", "google.protobuf.Int64Value",
		"google.protobuf.UInt64Value", "google.protobuf.Int32Value", "google.protobuf.UInt32Value",
		"google.protobuf.BoolValue", "google.protobuf.StringValue", "google.protobuf.BytesValue":
		return m.Fields().ByName("value") != nil
	}
	return false
}
