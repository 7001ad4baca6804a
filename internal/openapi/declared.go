package openapi

import (
	"encoding/base64"
	"math"
	"strconv"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/schema"
)

// declared is the schema of a field with what its declaration says of the value: the default of proto2, and the format of
// google.api.field_info.
func declared(value *object, field protoreflect.FieldDescriptor, in form) *object {
	info, _ := schema.Option(field, annotations.E_FieldInfo).(*annotations.FieldInfo)
	format := info.GetFormat()
	if !field.HasDefault() && format == annotations.FieldInfo_FORMAT_UNSPECIFIED {
		return value
	}
	value = value.clone()
	if field.HasDefault() {
		value.set("default", defaultJSON(field, in))
	}
	if value.get("type") != "string" || value.has("format") || value.has("pattern") {
		return value
	}
	switch format {
	case annotations.FieldInfo_UUID4:
		value.put("format", "uuid")
	case annotations.FieldInfo_IPV4:
		value.put("format", "ipv4")
	case annotations.FieldInfo_IPV6:
		value.put("format", "ipv6")
	case annotations.FieldInfo_IPV4_OR_IPV6:
		value.put("anyOf", list{obj("format", "ipv4"), obj("format", "ipv6")})
		value.fits = wellKnownFits["ip"]
	}
	return value
}

// defaultJSON is the default of a field as JSON has it; nil for one that is no number of JSON.
func defaultJSON(field protoreflect.FieldDescriptor, in form) any {
	v := field.Default()
	switch field.Kind() {
	case protoreflect.BoolKind:
		return v.Bool()
	case protoreflect.EnumKind:
		return enumJSON(field.Enum(), int32(v.Enum()), in)
	case protoreflect.BytesKind:
		return base64.StdEncoding.EncodeToString(v.Bytes())
	case protoreflect.StringKind:
		return v.String()
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		if f := v.Float(); !math.IsInf(f, 0) && !math.IsNaN(f) {
			bits := 64
			if field.Kind() == protoreflect.FloatKind {
				bits = 32
			}
			return number(strconv.FormatFloat(f, 'f', -1, bits))
		}
		return nil
	}
	if kind, _ := scalarSchema(field.Kind(), in).get("type").(string); kind == "string" {
		return v.String()
	}
	return number(v.String())
}
