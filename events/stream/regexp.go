package stream

import (
	"errors"
	"fmt"
	"regexp/syntax"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
)

// maxRegexp is how large the program of a client's regular expression may be, in instructions. A text of
// a few bytes, such as "(.{100}){10}", may stand for very many.
const maxRegexp = 1000

var errRegexp = errors.New("expected the regular expression of matches as a text of its own, so that it is compiled once")

// checkRegexps bounds the regular expressions of a client's filter: the cost of an expression counts a
// pattern's length only once it is compiled, and not what repetitions make of it.
func checkRegexps(checked *cel.Ast) (err error) {
	ast.PostOrderVisit(checked.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if err != nil || e.Kind() != ast.CallKind || e.AsCall().FunctionName() != "matches" {
			return
		}
		arguments := e.AsCall().Args()
		if len(arguments) == 0 {
			return
		}
		pattern := arguments[len(arguments)-1]
		if pattern.Kind() != ast.LiteralKind {
			err = errRegexp
			return
		}
		text, ok := pattern.AsLiteral().(types.String)
		if !ok {
			err = errRegexp
			return
		}
		err = checkRegexp(string(text))
	}))
	return err
}

func checkRegexp(pattern string) error {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return err
	}
	if instructions(parsed) > maxRegexp {
		return fmt.Errorf("found a regular expression that repeats too much, expected one of up to %d characters with its repetitions written out", maxRegexp)
	}
	return nil
}

// instructions is how large the program of a regular expression is, roughly; it stops counting where
// that is too large.
func instructions(r *syntax.Regexp) int {
	n := 1
	switch r.Op {
	case syntax.OpLiteral, syntax.OpCharClass:
		n = len(r.Rune)
	}
	for _, sub := range r.Sub {
		n = min(n+instructions(sub), maxRegexp+1)
	}
	if r.Op == syntax.OpRepeat {
		n = min(n*max(r.Min, r.Max, 1), maxRegexp+1)
	}
	return n
}
