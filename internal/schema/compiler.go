package schema

import (
	"context"
	"iter"

	"github.com/bufbuild/protocompile/experimental/ast"
	"github.com/bufbuild/protocompile/experimental/fdp"
	"github.com/bufbuild/protocompile/experimental/incremental"
	"github.com/bufbuild/protocompile/experimental/incremental/queries"
	"github.com/bufbuild/protocompile/experimental/ir"
	"github.com/bufbuild/protocompile/experimental/report"
	"github.com/bufbuild/protocompile/experimental/report/rtags"
	"github.com/bufbuild/protocompile/experimental/seq"
	"github.com/bufbuild/protocompile/experimental/source"
	"github.com/bufbuild/protocompile/experimental/source/length"
)

// The compiler's packages are experimental: they change with each version of it. All
// that we use of them stands in this file, so that a change is met here.
type (
	// findings is what the compiler has to say of some files, finding one of them.
	findings = report.Report
	finding  = report.Diagnostic
	// sourceFile is the text of a file, spanner what stands somewhere in one.
	sourceFile = source.File
	spanner    = source.Spanner
	// understoodFile is a file as far as the compiler understood it.
	understoodFile = ir.File
	// messageValue and optionValue are values of options.
	messageValue = ir.MessageValue
	optionValue  = ir.Value
	// anyExpr, messageExpr and fieldExpr are how these were written.
	anyExpr     = ast.ExprAny
	messageExpr = ast.ExprDict
	fieldExpr   = ast.ExprField
)

const (
	// levelError is the level of errors; lower ones are worse, higher ones warnings.
	levelError = report.Error
	// levelDefect is that of the compiler's own failures.
	levelDefect = report.ICE

	// unknownSymbol is the tag of findings about names that nothing has.
	unknownSymbol = rtags.UnknownSymbol

	// inRunes is the unit in which columns are counted.
	inRunes = length.Runes

	fieldSymbol     = ir.SymbolKindField
	messageSymbol   = ir.SymbolKindMessage
	enumSymbol      = ir.SymbolKindEnum
	extensionSymbol = ir.SymbolKindExtension
)

// valuesOf goes over one of the compiler's sequences, numbered over its indexes too.
func valuesOf[T any](s seq.Indexer[T]) iter.Seq[T]       { return seq.Values(s) }
func numbered[T any](s seq.Indexer[T]) iter.Seq2[int, T] { return seq.All(s) }

// newSourceFile makes a file for the compiler.
func newSourceFile(path, text string) *sourceFile { return source.NewFile(path, text) }

// builtIn opens one of the compiler's own copies of google/protobuf: with comments, and
// newer than what is linked in.
func builtIn(path string) (*sourceFile, error) { return source.WKTs().Open(path) }

// compilation is one run of the compiler over files.
type compilation struct {
	executor *incremental.Executor
	session  *ir.Session
	opener   source.Opener
	paths    []string
}

func newCompilation(opener source.Opener, paths []string) *compilation {
	return &compilation{incremental.New(), new(ir.Session), opener, paths}
}

// link compiles all files. fatal is why there is no result, where the compiler has
// failed.
func (c *compilation) link(ctx context.Context) (files []*understoodFile, found *findings, fatal, err error) {
	results, found, err := incremental.Run(ctx, c.executor, queries.Link{
		Opener:    c.opener,
		Session:   c.session,
		Workspace: source.NewWorkspace(c.paths...),
	})
	if err != nil {
		return nil, nil, nil, err
	}
	return results[0].Value, found, results[0].Fatal, nil
}

// understood returns the files as far as the compiler understood them; those that
// it gave up are left out. It computes nothing anew.
func (c *compilation) understood(ctx context.Context) ([]*understoodFile, error) {
	asked := make([]incremental.Query[*ir.File], len(c.paths))
	for i, path := range c.paths {
		asked[i] = queries.IR{Opener: c.opener, Session: c.session, Path: path}
	}
	results, _, err := incremental.Run(ctx, c.executor, asked...)
	if err != nil {
		return nil, err
	}
	var files []*understoodFile
	for _, result := range results {
		if result.Fatal == nil && result.Value != nil {
			files = append(files, result.Value)
		}
	}
	return files, nil
}

// descriptorBytes is the descriptor of a file in wire format.
func descriptorBytes(file *understoodFile, withSource bool) ([]byte, error) {
	return fdp.DescriptorProtoBytes(file,
		fdp.IncludeSourceCodeInfo(withSource),
		fdp.GenerateExtraOptionLocations(withSource),
	)
}
