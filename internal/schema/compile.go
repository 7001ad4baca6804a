package schema

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/bufbuild/protocompile/experimental/fdp"
	"github.com/bufbuild/protocompile/experimental/incremental"
	"github.com/bufbuild/protocompile/experimental/incremental/queries"
	"github.com/bufbuild/protocompile/experimental/ir"
	"github.com/bufbuild/protocompile/experimental/report"
	"github.com/bufbuild/protocompile/experimental/seq"
	"github.com/bufbuild/protocompile/experimental/source"
	"google.golang.org/protobuf/types/descriptorpb"
)

// This file is all that knows the compiler. Another one fits in its place if it
// turns texts into file descriptors with source information, and reports all
// problems of all files at once.

// sourceText is one .proto file to compile.
type sourceText struct {
	path string // as other files import it
	file string // as the user typed it
	root string // the folder it comes from
	text string
}

// compiled is what the compiler made.
type compiled struct {
	files    []*descriptorpb.FileDescriptorProto // in the order of the texts
	imported []*descriptorpb.FileDescriptorProto // built-in ones that are not linked into the binary

	// valid are, beside problems, the texts that have none and that import nothing
	// that has one.
	valid []sourceText

	// again are, beside problems, the texts with the names of groups in the
	// compiler's spelling, if that was a problem.
	again []sourceText
}

// compile compiles the texts, which may import each other and the built-in
// files. With a problem that is no warning there are no files. The root stands in
// messages.
func compile(ctx context.Context, root string, texts []sourceText) (compiled, Problems) {
	for range maxGroupPasses {
		result, problems := compileOnce(ctx, root, texts)
		if result.again == nil {
			return result, problems
		}
		texts = result.again
	}
	return compileOnce(ctx, root, texts)
}

func compileOnce(ctx context.Context, root string, texts []sourceText) (result compiled, problems Problems) {
	defer func() {
		// A defect of the compiler must not end the gateway: the schema in
		// service stays.
		if panicked := recover(); panicked != nil {
			result, problems = compiled{}, defect(panicked)
		}
	}()
	if len(texts) == 0 {
		return compiled{}, nil
	}
	opener := &sourceOpener{files: make(map[string]*source.File, len(texts))}
	paths := make([]string, len(texts))
	for i, text := range texts {
		paths[i] = text.path
		opener.files[text.path] = source.NewFile(text.file, text.text)
	}
	executor, session := incremental.New(), new(ir.Session)
	results, found, err := incremental.Run(ctx, executor, queries.Link{
		Opener:    opener,
		Session:   session,
		Workspace: source.NewWorkspace(paths...),
	})
	if err != nil {
		return compiled{}, stopped(err)
	}
	warnings := downgrade(found, opener)
	if hasErrors(found) {
		files, err := understood(ctx, executor, session, opener, paths)
		if err != nil {
			return compiled{}, stopped(err)
		}
		d := newDiagnosis(root, opener, files)
		d.texts = texts
		return compiled{valid: d.valid(found, texts), again: d.spellGroups(found, texts)}, append(d.problems(found), warnings...)
	}
	if results[0].Fatal != nil {
		return compiled{}, defect(results[0].Fatal)
	}
	result, err = descriptors(ctx, results[0].Value)
	switch {
	case ctx.Err() != nil:
		return compiled{}, stopped(ctx.Err())
	case err != nil:
		return compiled{}, defect(err)
	}
	return result, warnings
}

// stopped is the problem of a compilation that was not let finish.
func stopped(err error) Problems {
	return Problems{{Message: fmt.Sprintf("compiling stopped: %v", err)}}
}

// defect is the problem of a compiler that cannot go on.
func defect(cause any) Problems {
	return Problems{{Message: fmt.Sprintf("the proto compiler failed, which is a defect of it and not of your files: %v", cause)}}
}

// hasErrors reports whether the compiler found an error. What it warns of is style,
// and the business of a linter.
func hasErrors(found *report.Report) bool {
	return slices.ContainsFunc(found.Diagnostics, func(d report.Diagnostic) bool {
		return d.Level() <= report.Error
	})
}

// understood returns the files as far as the compiler understood them; those that
// it gave up are left out. It computes nothing anew.
func understood(ctx context.Context, executor *incremental.Executor, session *ir.Session, opener *sourceOpener, paths []string) ([]*ir.File, error) {
	asked := make([]incremental.Query[*ir.File], len(paths))
	for i, path := range paths {
		asked[i] = queries.IR{Opener: opener, Session: session, Path: path}
	}
	results, _, err := incremental.Run(ctx, executor, asked...)
	if err != nil {
		return nil, err
	}
	var files []*ir.File
	for _, result := range results {
		if result.Fatal == nil && result.Value != nil {
			files = append(files, result.Value)
		}
	}
	return files, nil
}

// sourceOpener gives the compiler the user's files, then the built-in ones.
type sourceOpener struct {
	files map[string]*source.File
}

// Open implements the compiler's interface.
func (o *sourceOpener) Open(path string) (*source.File, error) {
	if file, ok := o.files[path]; ok {
		return file, nil
	}
	if strings.HasPrefix(path, "google/protobuf/") {
		// The compiler's own copies: with comments, and newer than what is
		// linked in.
		return source.WKTs().Open(path)
	}
	if text, ok := wellKnownText(path); ok {
		return source.NewFile("<built-in>/"+path, text), nil
	}
	return nil, fs.ErrNotExist
}

// descriptors makes file descriptors of what the compiler understood, with the
// options in the types that the binary knows.
func descriptors(ctx context.Context, files []*ir.File) (compiled, error) {
	own := make(map[string]bool, len(files))
	for _, file := range files {
		own[file.Path()] = true
	}
	others := make(map[string]*ir.File)
	for _, file := range files {
		for imported := range seq.Values(file.TransitiveImports()) {
			if path := imported.Path(); !own[path] && wellKnownFile(path) == nil {
				others[path] = imported.File
			}
		}
	}
	all := append(slices.Clip(files), slices.Collect(maps.Values(others))...)
	made := make([]*descriptorpb.FileDescriptorProto, len(all))
	err := inParallel(ctx, len(all), func(i int) (err error) {
		made[i], err = descriptor(all[i], i < len(files))
		return err
	})
	return compiled{files: made[:len(files)], imported: made[len(files):]}, err
}

// descriptor makes one file descriptor. The compiler writes options as bytes of
// unknown fields: read again, they come in their types.
func descriptor(file *ir.File, withSource bool) (*descriptorpb.FileDescriptorProto, error) {
	wire, err := fdp.DescriptorProtoBytes(file,
		fdp.IncludeSourceCodeInfo(withSource),
		fdp.GenerateExtraOptionLocations(withSource),
	)
	if err != nil {
		return nil, err
	}
	made := new(descriptorpb.FileDescriptorProto)
	if err := unmarshalKnown(wire, made); err != nil || !withSource {
		return made, err
	}
	placeElements(file, made)
	return made, nil
}
