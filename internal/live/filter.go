package live

import (
	"fmt"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"

	"github.com/transom-gateway/transom/internal/nearest"
)

const (
	// filterBytes bounds a filter's text, filterCost what it may do for one call.
	filterBytes = 4 << 10
	filterCost  = 10_000
)

// filter is a compiled expression over a Record.
type filter struct{ program cel.Program }

// environment has the names of a Record; the same for all filters.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	options := []cel.EnvOption{ext.Strings(), cel.CrossTypeNumericComparisons(true), cel.ParserExpressionSizeLimit(filterBytes)}
	for name, v := range variables {
		options = append(options, cel.Variable(name, celTypes[v.kind]))
	}
	return cel.NewEnv(options...)
})

var celTypes = map[kind]*cel.Type{
	text: cel.StringType, integer: cel.IntType, number: cel.DoubleType, truth: cel.BoolType,
	moment: cel.TimestampType,
}

// newFilter compiles a filter; nil for "".
func newFilter(source string) (*filter, error) {
	if strings.TrimSpace(source) == "" {
		return nil, nil
	}
	if len(source) > filterBytes {
		return nil, fmt.Errorf("filter: found %d bytes, expected %d at most", len(source), filterBytes)
	}
	env, err := environment()
	if err != nil {
		return nil, err
	}
	checked, issues := env.Compile(source)
	if issues.Err() != nil {
		return nil, problem(issues)
	}
	if got := checked.OutputType(); !got.IsExactType(cel.BoolType) && !got.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("filter:1:1: found an expression that gives %s, expected bool, as in status >= 500", got)
	}
	program, err := env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(filterCost))
	if err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	return &filter{program}, nil
}

// problem puts the first of CEL's findings on one line, with its place.
func problem(issues *cel.Issues) error {
	all := issues.Errors()
	if len(all) == 0 {
		return fmt.Errorf("filter: %w", issues.Err())
	}
	first := all[0]
	message := strings.ReplaceAll(first.Message, "\n", " ")
	if _, after, ok := strings.Cut(message, "undeclared reference to '"); ok {
		name, _, _ := strings.Cut(after, "'")
		message = fmt.Sprintf("there is no %.100q", name)
		names := make([]string, 0, len(variables))
		for known := range variables {
			names = append(names, known)
		}
		if meant := nearest.Of(names, name); meant != "" {
			message += "; did you mean " + meant + "?"
		} else {
			message += "; the names are those of the access log, such as status, path, rpc, code, duration_ms and principal"
		}
	}
	return fmt.Errorf("filter:%d:%d: %s", first.Location.Line(), first.Location.Column()+1, message)
}

// takes reports whether the filter takes a call. One that asks for what the call does not have,
// or for too much, does not.
func (f *filter) takes(r *Record) bool {
	value, _, err := f.program.Eval((*values)(r))
	return err == nil && value == types.True
}

// values are the variables of one call.
type values Record

var _ cel.Activation = (*values)(nil)

// Parent tells that there are no further variables.
func (*values) Parent() cel.Activation { return nil }

// ResolveName finds a variable.
func (r *values) ResolveName(name string) (any, bool) {
	v, ok := variables[name]
	if !ok {
		return nil, false
	}
	return v.of((*Record)(r)), true
}
