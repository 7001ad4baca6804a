package schema

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

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
	opener := &sourceOpener{files: make(map[string]*sourceFile, len(texts))}
	paths := make([]string, len(texts))
	for i, text := range texts {
		paths[i] = text.path
		opener.files[text.path] = newSourceFile(text.file, text.text)
	}
	compilation := newCompilation(opener, paths)
	linked, found, fatal, err := compilation.link(ctx)
	if err != nil {
		return compiled{}, stopped(err)
	}
	warnings := downgrade(found, opener)
	if hasErrors(found) {
		files, err := compilation.understood(ctx)
		if err != nil {
			return compiled{}, stopped(err)
		}
		d := newDiagnosis(root, opener, files)
		d.texts = texts
		return compiled{valid: d.valid(found, texts), again: d.spellGroups(found, texts)}, append(d.problems(found), warnings...)
	}
	if fatal != nil {
		return compiled{}, defect(fatal)
	}
	result, err = descriptors(ctx, linked)
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
func hasErrors(found *findings) bool {
	return slices.ContainsFunc(found.Diagnostics, func(d finding) bool {
		return d.Level() <= levelError
	})
}

// sourceOpener gives the compiler the user's files, then the built-in ones.
type sourceOpener struct {
	files map[string]*sourceFile
}

// Open implements the compiler's interface.
func (o *sourceOpener) Open(path string) (*sourceFile, error) {
	if file, ok := o.files[path]; ok {
		return file, nil
	}
	if strings.HasPrefix(path, "google/protobuf/") {
		return builtIn(path)
	}
	if text, ok := wellKnownText(path); ok {
		return newSourceFile("<built-in>/"+path, text), nil
	}
	return nil, fs.ErrNotExist
}

// descriptors makes file descriptors of what the compiler understood, with the
// options in the types that the binary knows.
func descriptors(ctx context.Context, files []*understoodFile) (compiled, error) {
	own := make(map[string]bool, len(files))
	for _, file := range files {
		own[file.Path()] = true
	}
	others := make(map[string]*understoodFile)
	for _, file := range files {
		for imported := range valuesOf(file.TransitiveImports()) {
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
func descriptor(file *understoodFile, withSource bool) (*descriptorpb.FileDescriptorProto, error) {
	wire, err := descriptorBytes(file, withSource)
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
