package schema

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/transom-gateway/transom/internal/regularfile"
)

// read reads all folders.
func (d directories) read(ctx context.Context) *folderReader {
	r := &folderReader{files: make(map[string]int)}
	roots := make(map[string]string, len(d)) // real path → as the user typed it
	for _, root := range d {
		if actual, err := regularfile.EvalSymlinks(root); err == nil {
			if actual, err = filepath.Abs(actual); err == nil {
				if _, again := roots[actual]; again {
					continue
				}
				roots[actual] = root
			}
		}
		r.roots = append(r.roots, root)
	}
	r.others = roots
	for _, root := range r.roots {
		r.root = root
		r.folder(ctx, "", nil)
	}
	return r
}

// folderReader reads the .proto files of folders within the bounds of a source.
type folderReader struct {
	roots    []string
	others   map[string]string // the roots by their real paths
	root     string            // the one that is read
	within   string            // below it, the path of another root that is gone through
	texts    []sourceText
	files    map[string]int // indexes of texts by import path
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
	actual, err := regularfile.EvalSymlinks(name)
	if err != nil {
		r.cannotLook(rel, err)
		return
	}
	if slices.Contains(above, actual) {
		return
	}
	if r.within == "" && rel != "" && r.isRoot(actual) {
		r.within = rel
		defer func() { r.within = "" }()
	}
	entries, err := regularfile.ReadDir(name)
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
	info, err := regularfile.Stat(filepath.Join(r.root, filepath.FromSlash(rel)))
	switch {
	case errors.Is(err, regularfile.ErrStalled):
		r.stop(rel, "cannot be read: %v", cause(err))
	case err != nil && isProto:
		r.cannotRead(rel, "cannot be read: %v", cause(err))
	case err != nil: // a dead link to something that is no .proto file
	case info.IsDir():
		r.folder(ctx, rel, above)
	case isProto && !info.Mode().IsRegular():
		r.cannotRead(rel, "is no regular file")
	case isProto:
		r.file(ctx, rel, info.Size())
	}
}

// isRoot reports whether a real path is that of one of the folders to read.
func (r *folderReader) isRoot(actual string) bool {
	actual, err := filepath.Abs(actual)
	_, root := r.others[actual]
	return err == nil && root
}

// file reads one .proto file.
func (r *folderReader) file(ctx context.Context, rel string, size int64) {
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
	if r.within != "" {
		// A file of another root: who imports it by this path means the same file.
		r.add(rel, name, forward(strings.TrimPrefix(rel, r.within+"/")))
		return
	}
	text, err := regularfile.ReadContext(ctx, name, maxFileBytes)
	if errors.Is(err, regularfile.ErrStalled) {
		r.stop(rel, "cannot be read: %v", cause(err))
		return
	}
	if err != nil {
		r.cannotRead(rel, "cannot be read: %v", cause(err))
		return
	}
	r.bytes += int64(len(text))
	if known := vendored(rel, string(text)); known != "" {
		r.add(rel, name, forward(known))
		return
	}
	scanned, problems := scanText(name, string(text))
	r.problems = append(r.problems, problems...)
	if problems.Err() != nil {
		r.markUnread(rel)
		return
	}
	r.add(rel, name, scanned)
}

// add adds a text, unless another folder has one of that import path.
func (r *folderReader) add(rel, name, text string) {
	if i, ok := r.files[rel]; ok {
		if first := r.texts[i]; first.text != text {
			r.problem(rel, "is another file than %s, and both are imported as %q: leave one of them out", first.file, rel)
		}
		return
	}
	if r.files == nil {
		r.files = make(map[string]int)
	}
	r.files[rel] = len(r.texts)
	r.texts = append(r.texts, sourceText{path: rel, file: name, root: r.root, text: text})
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
	r.markUnread(rel)
}

func (r *folderReader) markUnread(rel string) {
	if r.unread == nil {
		r.unread = make(map[string]bool)
	}
	r.unread[rel] = true
}

// cannotLook is a problem of a whole folder.
func (r *folderReader) cannotLook(rel string, err error) {
	if errors.Is(err, regularfile.ErrStalled) {
		r.stop(rel, "cannot be read: %v", cause(err)) // nor can what else is there
		return
	}
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
