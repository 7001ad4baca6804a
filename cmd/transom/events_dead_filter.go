package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"
	"github.com/spf13/cobra"

	"github.com/transom-gateway/transom/internal/admin"
)

// deadFilter says which dead letters are meant (Events 170).
type deadFilter struct{ source string }

func (f *deadFilter) flag(c *cobra.Command) {
	c.Flags().StringVar(&f.source, "filter", "", "a CEL `expression` over letter, as list --json prints it, and event: letter.code == 'INVALID_ARGUMENT' && event.type.startsWith('user.')")
}

// compile makes it a function. What an event does not have makes an expression that asks for it say no.
func (f *deadFilter) compile() (func(admin.DeadLetter) (bool, error), error) {
	if f.source == "" {
		return func(admin.DeadLetter) (bool, error) { return true, nil }, nil
	}
	object := cel.MapType(cel.StringType, cel.DynType)
	env, err := cel.NewEnv(cel.Variable("letter", object), cel.Variable("event", object), ext.Strings(), cel.CrossTypeNumericComparisons(true))
	if err != nil {
		return nil, err
	}
	checked, issues := env.Compile(f.source)
	if err := issues.Err(); err != nil {
		return nil, fmt.Errorf("--filter: %s", strings.ReplaceAll(err.Error(), "\n", " "))
	}
	if got := checked.OutputType(); !got.IsExactType(cel.BoolType) && !got.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("--filter: found an expression that gives %s, expected bool", got)
	}
	program, err := env.Program(checked)
	if err != nil {
		return nil, fmt.Errorf("--filter: %w", err)
	}
	return func(d admin.DeadLetter) (bool, error) {
		text, err := json.Marshal(d)
		if err != nil {
			return false, err
		}
		letter := map[string]any{}
		if err := json.Unmarshal(text, &letter); err != nil {
			return false, err
		}
		event, _ := letter["event"].(map[string]any) // nil for what could not be read
		value, _, err := program.Eval(map[string]any{"letter": letter, "event": event})
		return err == nil && value == types.True, nil
	}, nil
}
