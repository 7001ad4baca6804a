// Package validate is the field validate: it checks the protovalidate rules of a method's
// requests, so that the backend never sees what breaks them.
package validate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/problem"
	"github.com/transom-gateway/transom/internal/schema"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/expr"
)

const (
	// thoroughBytes is the size up to which all violations of a message are looked
	// for; a larger one is answered with the first. A violation takes some 600 bytes,
	// and one byte of a message can be one.
	thoroughBytes = 16 << 10
	// maxViolations bounds the details of a refusal: they travel in a header.
	maxViolations = 20
	// maxViolationText bounds each text in bytes; paths hold keys of the client's.
	maxViolationText = 200
)

// validation checks the protovalidate rules of a method's requests. A method
// whose request has no rules has no validation.
type validation struct {
	rpc       string
	input     protoreflect.MessageDescriptor
	validator protovalidate.Validator
	log       *slog.Logger
}

var _ policy.MessageChecker = (*validation)(nil)

// Name implements Part.
func (p *validation) Name() string { return "validate" }

// Validator is what checks the rules, which it has compiled. Others may ask it, too.
func (p *validation) Validator() protovalidate.Validator { return p.validator }

// Summary is one line for explain.
func (p *validation) Summary() string { return "the rules of " + string(p.input.FullName()) }

// Admit implements Admitter: there is nothing to see yet.
func (p *validation) Admit(ctx context.Context, _ *policy.Request) (context.Context, policy.Done, error) {
	return ctx, nil, nil
}

// Message implements MessageChecker.
func (p *validation) Message(_ context.Context, _ *policy.Request, message []byte) error {
	if len(message) > freeMessages && tooManyMessages(p.input, message) {
		return status.Error(codes.ResourceExhausted, "the request consists of too many empty messages")
	}
	m, err := expr.Decode(p.input, message)
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "the request is not a valid %s message", p.input.FullName())
	}
	if len(message) > thoroughBytes {
		err = p.validator.Validate(m, protovalidate.WithFailFast())
	} else {
		err = p.validator.Validate(m)
	}
	if err == nil {
		return nil
	}
	var invalid *protovalidate.ValidationError
	if errors.As(err, &invalid) {
		return violated(p.input, invalid.Violations)
	}
	// The error may quote the request, which is none of the log's business.
	p.log.Warn("a validation rule cannot be evaluated; the request is refused", "rpc", p.rpc, "message", p.input.FullName())
	return status.Error(codes.Internal, "a rule of the request cannot be evaluated")
}

// violated makes the refusal: what is wrong in words, and each violation with
// its field and the id of its rule.
func violated(root protoreflect.MessageDescriptor, violations []*protovalidate.Violation) error {
	detail := &errdetails.BadRequest{}
	for _, v := range violations[:min(len(violations), maxViolations)] {
		field, text := describeViolation(root, v)
		detail.FieldViolations = append(detail.FieldViolations, &errdetails.BadRequest_FieldViolation{
			Field: problem.Clip(field, maxViolationText), Description: problem.Clip(text, maxViolationText), Reason: v.Proto.GetRuleId(),
		})
	}
	text := "the request is not valid"
	if len(detail.FieldViolations) > 0 {
		first := detail.FieldViolations[0]
		if text = first.Description; first.Field != "" {
			text = first.Field + ": " + text
		}
	}
	if more := len(violations) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return policy.Refusal(codes.InvalidArgument, text, detail)
}

// describeViolation says where and what. At and below a sensitive field neither
// may quote the request: the rule's message could, and a path holds the keys of
// maps.
func describeViolation(root protoreflect.MessageDescriptor, v *protovalidate.Violation) (field, text string) {
	path := v.Proto.GetField()
	if n := firstSensitive(root, path.GetElements()); n >= 0 {
		last := proto.CloneOf(path.GetElements()[n])
		last.ClearSubscript()
		path = validate.FieldPath_builder{Elements: append(slices.Clone(path.GetElements()[:n]), last)}.Build()
		return protovalidate.FieldPathString(path), "the value is not valid"
	}
	if text = v.Proto.GetMessage(); text == "" {
		text = "does not fit the rule " + v.Proto.GetRuleId()
	}
	return protovalidate.FieldPathString(path), text
}

// firstSensitive finds the first sensitive field on a path, -1 for none.
func firstSensitive(m protoreflect.MessageDescriptor, path []*validate.FieldPathElement) int {
	for n, element := range path {
		if m == nil {
			break
		}
		field := m.Fields().ByNumber(protoreflect.FieldNumber(element.GetFieldNumber()))
		if field == nil {
			break // an extension, or a oneof, which has no number
		}
		if schema.FieldOptions(field).GetSensitive() {
			return n
		}
		if m = field.Message(); field.IsMap() {
			m = field.MapValue().Message()
		}
	}
	return -1
}
