package stream

import (
	"errors"
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"

	"github.com/transom-gateway/transom/events"
)

// Bounds of expressions. Those of clients are smaller than those of operators.
const (
	allowBytes  = 16 << 10
	allowCost   = 100_000
	filterBytes = 1 << 10
	filterCost  = 10_000
)

// Caller is who listens, as `allow` sees it.
type Caller struct {
	Principal string
	Roles     []string
	Claims    map[string]any
}

func (c *Caller) variables(event any) map[string]any {
	claims, roles := c.Claims, c.Roles
	if claims == nil {
		claims = map[string]any{}
	}
	if roles == nil {
		roles = []string{}
	}
	return map[string]any{"claims": claims, "principal": c.Principal, "roles": roles, "event": event}
}

// languages are the environments of expressions.
type languages struct{ allow, filter *cel.Env }

func newLanguages() (l languages, err error) {
	event := cel.Variable("event", cel.MapType(cel.StringType, cel.DynType))
	common := []cel.EnvOption{event, ext.Strings(), cel.CrossTypeNumericComparisons(true)}
	l.allow, err = cel.NewEnv(append(common,
		cel.Variable("claims", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("principal", cel.StringType),
		cel.Variable("roles", cel.ListType(cel.StringType)),
		cel.ParserExpressionSizeLimit(allowBytes))...)
	if err != nil {
		return l, err
	}
	l.filter, err = cel.NewEnv(append(common, cel.ParserExpressionSizeLimit(filterBytes), cel.ParserRecursionLimit(50))...)
	return l, err
}

// compile compiles an expression that says yes or no, which may cost so much.
func compile(env *cel.Env, source string, cost uint64, more ...cel.EvalOption) (cel.Program, *cel.Ast, error) {
	checked, err := check(env, source)
	if err != nil {
		return nil, nil, err
	}
	program, err := plan(env, checked, cost, more...)
	return program, checked, err
}

// compileFilter compiles an expression of a client.
func compileFilter(env *cel.Env, source string) (cel.Program, error) {
	checked, err := check(env, source)
	if err != nil {
		return nil, err
	}
	if err := checkRegexps(checked); err != nil { // before the program is made, which has them compiled
		return nil, err
	}
	return plan(env, checked, filterCost)
}

func plan(env *cel.Env, checked *cel.Ast, cost uint64, more ...cel.EvalOption) (cel.Program, error) {
	return env.Program(checked, cel.EvalOptions(append(more, cel.OptOptimize)...), cel.CostLimit(cost))
}

// check parses an expression, which is to say yes or no.
func check(env *cel.Env, source string) (*cel.Ast, error) {
	checked, issues := env.Compile(source)
	if err := issues.Err(); err != nil {
		if all := issues.Errors(); len(all) > 0 {
			at := all[0].Location
			err = fmt.Errorf("the expression is wrong at %d:%d: %s", at.Line(), at.Column()+1, strings.ReplaceAll(all[0].Message, "\n", " "))
		}
		return nil, err
	}
	if got := checked.OutputType(); !got.IsExactType(cel.BoolType) && !got.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("the expression gives %s, expected bool", got)
	}
	return checked, nil
}

// filtered reports whether a filter of clients wants an event. Of all filters only so many are asked at once that
// half of the processors are left: each is cheap, but clients may bring thousands of them.
func (h *Hub) filtered(filter cel.Program, e *entry, r *rule) bool {
	variables := map[string]any{"event": e.variables(r)} // what is left out for clients, their filters do not see
	h.filtering <- struct{}{}
	defer func() { <-h.filtering }()
	return yes(filter, variables)
}

// yes reports whether a program says so; one that fails does not.
func yes(p cel.Program, variables any) bool {
	value, _, err := p.Eval(variables)
	return err == nil && value == types.True
}

// never reports whether a program of allow says no to a caller whatever the event is.
func never(p cel.Program, c *Caller) bool {
	variables := c.variables(nil)
	delete(variables, "event")
	partial, err := cel.PartialVars(variables, cel.AttributePattern("event"))
	if err != nil {
		return true
	}
	value, _, err := p.Eval(partial)
	return err != nil || value == types.False
}

// mentions lists which of the names stand in an expression.
func mentions(checked *cel.Ast, names ...string) map[string]bool {
	found := map[string]bool{}
	ast.PostOrderVisit(checked.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.IdentKind {
			for _, name := range names {
				found[name] = found[name] || e.AsIdent() == name
			}
		}
	}))
	return found
}

// Bounds of types.
const (
	maxTypes    = 32
	maxTypeText = 256
)

// typeSet are patterns of types; an empty one takes all.
type typeSet []string

var errTypes = errors.New(`expected a type such as "user.click", or the first words of some and a star, such as "user.*"`)

func newTypeSet(patterns []string) (typeSet, error) {
	if len(patterns) > maxTypes {
		return nil, fmt.Errorf("found %d types, expected up to %d", len(patterns), maxTypes)
	}
	for _, p := range patterns {
		if len(p) > maxTypeText || !events.IsTypes(p) {
			return nil, fmt.Errorf("found the type %.100q, %w", p, errTypes)
		}
	}
	return patterns, nil
}

func (s typeSet) has(kind string) bool {
	for _, p := range s {
		if front, open := strings.CutSuffix(p, "*"); p == kind || open && strings.HasPrefix(kind, front) {
			return true
		}
	}
	return len(s) == 0
}
