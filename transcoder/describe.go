package transcoder

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// Description is what a binding does, for those who describe it to others.
type Description struct {
	// Method is the RPC, with its settings.
	Method *Method
	// HTTPMethod is the verb of the request, "*" for any; Template is the path.
	HTTPMethod string
	Template   *Template
	// Variables are the fields of the template's variables, in their order.
	Variables []*jsonwire.Field
	// Query: parameters of the query set fields of the request that neither the path nor
	// the body sets.
	Query bool
	// WholeBody: the body is the whole message. Else it is BodyField, nil for no body.
	WholeBody bool
	BodyField *jsonwire.Field
	// Mask is the field of the request that the body's keys fill, nil for none.
	Mask protoreflect.FieldDescriptor
	// Response is the field that the answer is; nil for the whole message.
	Response protoreflect.FieldDescriptor
	// RawBody and RawAnswer: the body, the answer, is the bytes of a google.api.HttpBody.
	RawBody, RawAnswer bool
}

// Describe says what the binding does.
func (b *Binding) Describe() Description {
	d := Description{
		Method: b.Method, HTTPMethod: b.HTTPMethod, Template: b.Template, Variables: b.variables,
		Query: b.Body.Kind != bodyAll, WholeBody: b.Body.Kind == bodyAll,
		RawBody: b.Body.Raw, RawAnswer: b.answer.raw,
	}
	if b.Body.Kind == BodyField {
		d.BodyField = b.Body.Field
	}
	if b.Body.mask != nil {
		d.Mask = b.Body.mask.Descriptor()
	}
	if b.answer.field != nil {
		d.Response = b.answer.field.Descriptor()
	}
	return d
}
