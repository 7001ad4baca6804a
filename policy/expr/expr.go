// Package expr compiles the CEL expressions of policies over a call: its claims,
// principal, roles, client certificate, headers, method and message.
package expr

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/policy"
)

const (
	// expressionCost bounds what one evaluation may do: some milliseconds.
	expressionCost = 100_000
	// expressionBytes bounds an expression's text.
	expressionBytes = 16 << 10
	// expressionCheck is how many steps pass between looks at the context.
	expressionCheck = 128
)

// Expression is a compiled CEL expression over a call: claims, principal,
// roles, cert, headers, method and request.
type Expression struct {
	// ReadsRequest tells that evaluate needs a message.
	ReadsRequest bool
	// ReadsResponse tells that it needs the answer's message, too.
	ReadsResponse bool
	// ReadsIdentity tells that it asks who calls: by claims, principal, roles or cert.
	ReadsIdentity bool

	program cel.Program
	input   protoreflect.MessageDescriptor
	output  protoreflect.MessageDescriptor
}

// New compiles the source that stands at the path of the policy; its
// result is of the type. A problem is noted and nil returned.
func New(s *policy.Scope, path, source string, want *cel.Type) *Expression {
	e, err := Compile(s, source, want)
	if err != nil {
		s.Refuse(path, "%s: %v", path, err)
		return nil
	}
	return e
}

// Compile compiles a source in a scope; its result is of the type.
func Compile(s *policy.Scope, source string, want *cel.Type) (*Expression, error) {
	return CompileWithResponse(s, source, want, nil)
}

// CompileWithResponse compiles a source that may read `response`, too, which is a message of that
// type; nil for none.
func CompileWithResponse(s *policy.Scope, source string, want *cel.Type, response protoreflect.MessageDescriptor) (*Expression, error) {
	environments := policy.Shared(s.Generation, newEnvironments)
	env, err := environments.base()
	if err != nil {
		return nil, err
	}
	parsed, issues := env.Parse(source)
	if issues.Err() != nil {
		return nil, celProblem(issues)
	}
	e := &Expression{
		ReadsRequest:  mentions(parsed, "request"),
		ReadsIdentity: mentions(parsed, "claims") || mentions(parsed, "principal") || mentions(parsed, "roles") || mentions(parsed, "cert"),
	}
	if e.ReadsRequest {
		if s.Method == nil {
			return nil, fmt.Errorf("found `request`, but a plain HTTP route has no message; use headers, claims, principal, roles or method")
		}
		e.input = s.Method.Input()
	}
	if response != nil && mentions(parsed, "response") {
		e.ReadsResponse, e.output = true, response
	}
	if e.input != nil || e.output != nil {
		if env, err = environments.with(env, e.input, e.output); err != nil {
			return nil, err
		}
	}
	checked, issues := env.Check(parsed)
	if issues.Err() != nil {
		return nil, celProblem(issues)
	}
	if got := checked.OutputType(); !got.IsExactType(want) && !got.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("the expression gives %s, expected %s", got, want)
	}
	e.program, err = env.Program(checked, cel.EvalOptions(cel.OptOptimize),
		cel.CostLimit(expressionCost), cel.InterruptCheckFrequency(expressionCheck))
	return e, err
}

// Evaluate answers for one call; message is only read by expressions with
// ReadsRequest. The error is a gRPC status error: INVALID_ARGUMENT for a message
// that is none, CANCELED or DEADLINE_EXCEEDED for a call that ended, else
// PERMISSION_DENIED: an expression without an answer admits nobody.
func (e *Expression) Evaluate(ctx context.Context, r *policy.Request, message []byte) (ref.Val, error) {
	return e.EvaluateWithResponse(ctx, r, message, nil)
}

// EvaluateWithResponse is Evaluate with the answer's message, which is only read by
// expressions with ReadsResponse.
func (e *Expression) EvaluateWithResponse(ctx context.Context, r *policy.Request, message, response []byte) (ref.Val, error) {
	vars := &callVariables{r: r}
	if e.ReadsResponse {
		m, err := Decode(e.output, response)
		if err != nil {
			return nil, status.Error(codes.Internal, "the answer is not a valid message of its type")
		}
		vars.response = m
	}
	if e.ReadsRequest {
		m, err := Decode(e.input, message)
		if err != nil {
			return nil, status.Error(codes.InvalidArgument, "the request is not a valid message of its type")
		}
		vars.message = m
	}
	value, _, err := e.program.ContextEval(ctx, vars)
	if err != nil {
		if ctx.Err() != nil {
			return nil, status.FromContextError(ctx.Err()).Err()
		}
		return nil, status.Error(codes.PermissionDenied, "a rule of this method does not apply to the request")
	}
	return value, nil
}

// callVariables makes each variable when the expression reads it.
type callVariables struct {
	r        *policy.Request
	message  *dynamicpb.Message
	response *dynamicpb.Message
}

var _ cel.Activation = (*callVariables)(nil)

// Parent tells that there are no further variables.
func (v *callVariables) Parent() cel.Activation { return nil }

// ResolveName finds a variable.
func (v *callVariables) ResolveName(name string) (any, bool) {
	switch name {
	case "claims":
		if v.r.Identity == nil || v.r.Identity.Claims == nil {
			return map[string]any{}, true
		}
		return v.r.Identity.Claims, true
	case "principal":
		if v.r.Identity == nil {
			return "", true
		}
		return v.r.Identity.Principal, true
	case "roles":
		if v.r.Identity == nil || v.r.Identity.Roles == nil {
			return []string{}, true
		}
		return v.r.Identity.Roles, true
	case "cert":
		return certificateValue(v.r.Certificate()), true
	case "headers":
		return lowerHeaders(v.r.HTTP.Header), true
	case "method":
		return v.r.RPC, true
	case "request":
		return v.message, v.message != nil
	case "response":
		return v.response, v.response != nil
	}
	return nil, false
}

// lowerHeaders joins the values of one name as RFC 9110 5.3 does. What a client
// says under the gateway's own names is not there.
func lowerHeaders(h http.Header) map[string]string {
	m := make(map[string]string, len(h))
	for name, values := range h {
		if lower := strings.ToLower(name); !strings.HasPrefix(lower, field.OwnPrefix) {
			m[lower] = strings.Join(values, ", ")
		}
	}
	return m
}

// environments are those of the expressions of one generation, made when needed.
type environments struct {
	plain *cel.Env
	// messages are those with `request`, `response` or both.
	messages map[messageTypes]*cel.Env
}

// messageTypes are the types of `request` and `response`; nil for one that is not read.
type messageTypes struct {
	request, response protoreflect.MessageDescriptor
}

func newEnvironments(*policy.Generation) *environments {
	return &environments{messages: map[messageTypes]*cel.Env{}}
}

// base is the environment of expressions without `request`.
func (e *environments) base() (*cel.Env, error) {
	if e.plain == nil {
		env, err := cel.NewEnv(
			cel.Variable("claims", cel.MapType(cel.StringType, cel.DynType)),
			cel.Variable("principal", cel.StringType),
			cel.Variable("roles", cel.ListType(cel.StringType)),
			cel.Variable("cert", cel.MapType(cel.StringType, cel.DynType)),
			cel.Variable("headers", cel.MapType(cel.StringType, cel.StringType)),
			cel.Variable("method", cel.StringType),
			cel.ParserExpressionSizeLimit(expressionBytes),
			ext.Strings(),
		)
		if err != nil {
			return nil, err
		}
		e.plain = env
	}
	return e.plain, nil
}

// with adds `request`, `response` or both; environments are kept, for they are large.
func (e *environments) with(base *cel.Env, request, response protoreflect.MessageDescriptor) (*cel.Env, error) {
	key := messageTypes{request, response}
	if env := e.messages[key]; env != nil {
		return env, nil
	}
	seen := map[string]bool{}
	var files []any
	var options []cel.EnvOption
	for name, m := range map[string]protoreflect.MessageDescriptor{"request": request, "response": response} {
		if m != nil {
			files = closure(m.ParentFile(), seen, files)
			options = append(options, cel.Variable(name, cel.ObjectType(string(m.FullName()))))
		}
	}
	env, err := base.Extend(append([]cel.EnvOption{cel.TypeDescs(files...)}, options...)...)
	if err != nil {
		return nil, err
	}
	e.messages[key] = env
	return env, nil
}

// closure lists a file and all it imports.
func closure(file protoreflect.FileDescriptor, seen map[string]bool, files []any) []any {
	if seen[file.Path()] || file.IsPlaceholder() {
		return files
	}
	seen[file.Path()] = true
	for i := range file.Imports().Len() {
		files = closure(file.Imports().Get(i).FileDescriptor, seen, files)
	}
	return append(files, schemaFile{file})
}

// schemaFile gives a file a path that no file linked into this binary has: CEL
// takes the linked one where the paths are equal, whatever is in it. The
// well-known types keep theirs, for CEL has its own idea of them.
type schemaFile struct{ protoreflect.FileDescriptor }

func (f schemaFile) Path() string {
	if path := f.FileDescriptor.Path(); strings.HasPrefix(path, "google/protobuf/") {
		return path
	}
	return "schema:" + f.FileDescriptor.Path()
}

// mentions reports whether a name stands in the expression.
func mentions(parsed *cel.Ast, name string) bool {
	found := false
	ast.PostOrderVisit(parsed.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		found = found || e.Kind() == ast.IdentKind && e.AsIdent() == name
	}))
	return found
}

// celProblem puts the first of CEL's findings on one line. Columns count from
// 1, in characters of the expression.
func celProblem(issues *cel.Issues) error {
	all := issues.Errors()
	if len(all) == 0 {
		return issues.Err()
	}
	first := all[0]
	return fmt.Errorf("the expression is wrong at %d:%d: %s", first.Location.Line(), first.Location.Column()+1,
		strings.ReplaceAll(first.Message, "\n", " "))
}
