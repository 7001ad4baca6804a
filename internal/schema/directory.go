package schema

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Directory is the source of all .proto files below a folder. Imports are
// relative to the folder; files and folders whose name begins with a dot are
// skipped, symbolic links are followed. A file of the folder stands before a
// built-in one of the same import path.
func Directory(path string) Source { return directory{root: path} }

type directory struct{ root string }

// Name implements [Source].
func (d directory) Name() string { return d.root }

// Load implements [Source].
func (d directory) Load(ctx context.Context) (*Registry, Problems) {
	read := folderReader{root: d.root}
	read.folder(ctx, "", nil)
	if read.blind {
		return nil, read.problems.Sorted()
	}
	if len(read.texts) == 0 && len(read.problems) == 0 {
		return nil, Problems{{File: d.root, Message: "no .proto files in this folder or below it: give the folder that imports are relative to"}}
	}
	texts := readable(read.texts, read.unread)
	made, problems := compile(ctx, d.root, texts)
	if problems.Err() != nil {
		// The rest is compiled without the broken files, to be looked at.
		texts = made.valid
		var again Problems
		if made, again = compile(ctx, d.root, texts); len(again) > 0 {
			texts = nil
		}
	}
	problems = append(problems, read.problems...)
	if len(texts) == 0 {
		return nil, d.placed(problems)
	}
	registry, more := link(linkInput{
		source:   d.root,
		strict:   true,
		display:  d.display,
		files:    made.files,
		imported: made.imported,
		digest:   digestTexts(texts),
	})
	return registry, d.placed(append(problems, more...))
}

// placed names the folder where a problem has no file.
func (d directory) placed(problems Problems) Problems {
	for i := range problems {
		if problems[i].File == "" {
			problems[i].File = d.root
		}
	}
	return problems.Sorted()
}

// display is the name of a file as the user would type it.
func (d directory) display(importPath string) string {
	return filepath.Join(d.root, filepath.FromSlash(importPath))
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

// folderReader reads the .proto files of a folder within the bounds of a source.
type folderReader struct {
	root     string
	texts    []sourceText
	problems Problems
	unread   map[string]bool // the paths of .proto files that could not be read
	bytes    int64
	folders  int
	full     bool // a bound is reached and said
	blind    bool // there may be .proto files that nobody knows of
}

// folder reads one folder, sorted by name. The folders above it are given by
// their real paths, so that a link to one of them is seen as the loop it is.
func (r *folderReader) folder(ctx context.Context, rel string, above []string) {
	if err := ctx.Err(); err != nil {
		r.stop(rel, "reading stopped: %v", err)
		return
	}
	if r.folders++; r.folders > maxFolders {
		r.stop(rel, "more than %d folders: give the folder that holds the .proto files", maxFolders)
		return
	}
	name := filepath.Join(r.root, filepath.FromSlash(rel))
	actual, err := filepath.EvalSymlinks(name)
	if err != nil {
		r.cannotLook(rel, err)
		return
	}
	if slices.Contains(above, actual) {
		return
	}
	entries, err := os.ReadDir(name)
	if err != nil {
		r.cannotLook(rel, err)
		return
	}
	above = append(slices.Clip(above), actual)
	for _, entry := range entries {
		if r.full {
			return
		}
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		r.entry(ctx, path.Join(rel, entry.Name()), entry, above)
	}
}

// entry reads a file or a folder below.
func (r *folderReader) entry(ctx context.Context, rel string, entry os.DirEntry, above []string) {
	isProto := strings.HasSuffix(rel, ".proto")
	if !isProto && entry.Type().IsRegular() {
		return
	}
	info, err := os.Stat(filepath.Join(r.root, filepath.FromSlash(rel)))
	switch {
	case err != nil && isProto:
		r.cannotRead(rel, "cannot be read: %v", cause(err))
	case err != nil: // a dead link to something that is no .proto file
	case info.IsDir():
		r.folder(ctx, rel, above)
	case isProto && !info.Mode().IsRegular():
		r.cannotRead(rel, "is no regular file")
	case isProto:
		r.file(rel, info.Size())
	}
}

// file reads one .proto file.
func (r *folderReader) file(rel string, size int64) {
	switch {
	case size > maxFileBytes:
		r.cannotRead(rel, "is %d bytes long; a .proto file may have %d", size, maxFileBytes)
		return
	case len(r.texts) == maxFiles:
		r.stop(rel, "more than %d .proto files: give the folder that imports are relative to", maxFiles)
		return
	case r.bytes+size > maxSourceBytes:
		r.stop(rel, "the .proto files have more than %d bytes together", maxSourceBytes)
		return
	}
	name := filepath.Join(r.root, filepath.FromSlash(rel))
	text, err := readBounded(name, maxFileBytes)
	if err != nil {
		r.cannotRead(rel, "cannot be read: %v", cause(err))
		return
	}
	r.bytes += int64(len(text))
	r.texts = append(r.texts, sourceText{path: rel, file: name, text: string(text)})
}

func (r *folderReader) problem(rel, format string, args ...any) {
	r.problems = append(r.problems, Problem{
		File:    filepath.Join(r.root, filepath.FromSlash(rel)),
		Message: fmt.Sprintf(format, args...),
	})
}

// cannotRead is a problem of one .proto file.
func (r *folderReader) cannotRead(rel, format string, args ...any) {
	r.problem(rel, format, args...)
	if r.unread == nil {
		r.unread = make(map[string]bool)
	}
	r.unread[rel] = true
}

// cannotLook is a problem of a whole folder.
func (r *folderReader) cannotLook(rel string, err error) {
	r.problem(rel, "cannot be read: %v", cause(err))
	r.blind = true
}

// stop is a problem that ends the reading.
func (r *folderReader) stop(rel, format string, args ...any) {
	if !r.full {
		r.problem(rel, format, args...)
	}
	r.full, r.blind = true, true
}
