package watch

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/transom-gateway/transom/internal/regularfile"
)

// maxFiles bounds a picture: a folder with more is somebody's mistake.
const maxFiles = 200_000

// picture is what a look at files has seen: what their names lead to, through
// symbolic links.
type picture struct {
	files map[string]fs.FileInfo
	// deaf tells that some folder gives no events.
	deaf bool
	// stalled: some file system did not answer, and the picture ends there.
	stalled bool
}

// look takes a picture of files and of folders with all below them, and calls
// listen for each folder in which something may happen to them.
func look(paths []string, listen func(folder string) bool) picture {
	l := &looker{picture: picture{files: map[string]fs.FileInfo{}}, listen: listen, heard: map[string]bool{}}
	for _, path := range paths {
		l.around(path)
		if actual, err := regularfile.EvalSymlinks(path); l.answers(err) && err == nil && actual != path {
			l.around(actual)
		}
		l.file(path, nil)
		if l.picture.stalled {
			break
		}
	}
	return l.picture
}

// equal reports whether both have seen the same files.
func (p picture) equal(other picture) bool {
	return maps.EqualFunc(p.files, other.files, func(a, b fs.FileInfo) bool {
		if a.IsDir() && b.IsDir() {
			return true // its files speak for themselves
		}
		return a.Mode() == b.Mode() && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && os.SameFile(a, b)
	})
}

// looker takes one picture.
type looker struct {
	picture picture
	listen  func(folder string) bool
	heard   map[string]bool
}

// answers notes by an error whether a file system does not answer. Where one does not,
// nothing else is looked at: each look would wait.
func (l *looker) answers(err error) bool {
	l.picture.stalled = l.picture.stalled || errors.Is(err, regularfile.ErrStalled)
	return !l.picture.stalled
}

// around listens to the folder that path is in, or to the nearest one above
// that is there.
func (l *looker) around(path string) {
	for {
		above := filepath.Dir(path)
		info, err := regularfile.Stat(above)
		if !l.answers(err) {
			return
		}
		if err == nil && info.IsDir() || above == path {
			l.hear(above)
			return
		}
		path = above
	}
}

func (l *looker) hear(folder string) {
	if l.heard[folder] {
		return
	}
	l.heard[folder] = true
	if !l.listen(folder) {
		l.picture.deaf = true
	}
}

// file looks at a file, or at a folder and what is below it. above are the real
// paths of the folders it is in: a link to one of them is a loop.
func (l *looker) file(path string, above []string) {
	if len(l.picture.files) >= maxFiles || l.picture.stalled {
		return
	}
	info, err := regularfile.Stat(path)
	if !l.answers(err) || err != nil {
		return // it is not there: that is seen, too
	}
	l.picture.files[path] = info
	if !info.IsDir() {
		return
	}
	actual, err := regularfile.EvalSymlinks(path)
	if !l.answers(err) || err != nil || slices.Contains(above, actual) {
		return
	}
	l.hear(path) // before it is read, so that nothing falls between
	entries, err := regularfile.ReadDir(path)
	if !l.answers(err) || err != nil {
		return
	}
	above = append(slices.Clip(above), actual)
	for _, entry := range entries {
		if name := entry.Name(); !strings.HasPrefix(name, ".") && !passing(name) {
			l.file(filepath.Join(path, name), above)
		}
	}
}
