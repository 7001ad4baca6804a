package schema

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"path/filepath"
	"strings"
)

// Directory is the source of all .proto files below a folder. Imports are
// relative to the folder; files and folders whose name begins with a dot are
// skipped, symbolic links are followed. A file of the folder stands before a
// built-in one of the same import path; a copy of a built-in file further below
// is the built-in one.
func Directory(path string) Source { return Directories(path) }

// Directories is the source of all .proto files below several folders, which see
// each other's files as with protoc's -I. A folder within another one is read as a
// folder of its own.
func Directories(paths ...string) Source { return directories(paths) }

type directories []string

// Name implements [Source].
func (d directories) Name() string { return strings.Join(d, ", ") }

// Load implements [Source].
func (d directories) Load(ctx context.Context) (*Registry, Problems) {
	read := d.read(ctx)
	if read.blind {
		return nil, read.problems.Sorted()
	}
	if len(read.texts) == 0 && len(read.problems) == 0 {
		return nil, Problems{{File: d.Name(), Message: "no .proto files in this folder or below it: give the folder that imports are relative to"}}
	}
	texts := readable(read.texts, read.unread)
	made, problems := compile(ctx, d.Name(), texts)
	if problems.Err() != nil {
		// The rest is compiled without the broken files, to be looked at.
		texts = made.valid
		var again Problems
		if made, again = compile(ctx, d.Name(), texts); again.Err() != nil {
			texts = nil
		}
	}
	problems = append(problems, read.problems...)
	if len(texts) == 0 {
		return nil, d.placed(problems)
	}
	registry, more := link(linkInput{
		source:   d.Name(),
		strict:   true,
		display:  d.display(read.texts),
		folders:  foldersOf(read.texts),
		files:    made.files,
		imported: made.imported,
		digest:   digestTexts(texts),
	})
	return registry, d.placed(append(problems, more...))
}

// placed names the folder where a problem has no file.
func (d directories) placed(problems Problems) Problems {
	for i := range problems {
		if problems[i].File == "" {
			problems[i].File = d.Name()
		}
	}
	return problems.Sorted()
}

// display returns what names a file as the user would type it.
func (d directories) display(texts []sourceText) func(importPath string) string {
	files := make(map[string]string, len(texts))
	for _, text := range texts {
		files[text.path] = text.file
	}
	return func(importPath string) string {
		if file, ok := files[importPath]; ok {
			return file
		}
		return filepath.Join(d[0], filepath.FromSlash(importPath))
	}
}

// foldersOf are the folders that the files come from, by import path.
func foldersOf(texts []sourceText) map[string]string {
	folders := make(map[string]string, len(texts))
	for _, text := range texts {
		folders[text.path] = text.root
	}
	return folders
}

// digestTexts hashes paths and texts, each with its length before it.
func digestTexts(texts []sourceText) [32]byte {
	hash := sha256.New()
	var size [8]byte
	for _, text := range texts {
		for _, part := range []string{text.path, text.text} {
			binary.LittleEndian.PutUint64(size[:], uint64(len(part)))
			_, _ = hash.Write(size[:]) // a hash never fails
			_, _ = hash.Write([]byte(part))
		}
	}
	return [32]byte(hash.Sum(nil))
}
