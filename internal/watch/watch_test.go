package watch

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quick is for tests of events: without one, nothing looks.
var quick = timing{quiet: 5 * time.Millisecond, longest: 50 * time.Millisecond, look: time.Hour, poll: time.Hour}

// watching starts a Watcher and gives the channel of its calls.
func watching(t *testing.T, paths ...string) <-chan struct{} {
	t.Helper()
	events, err := fsnotify.NewWatcher()
	must(t, err)
	return watchingWith(t, events, quick, paths...)
}

func watchingWith(t *testing.T, events *fsnotify.Watcher, tm timing, paths ...string) <-chan struct{} {
	t.Helper()
	changes := make(chan struct{}, 100)
	w, err := newWatcher(paths, events, tm, func() { changes <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return changes
}

func wait(t *testing.T, changes <-chan struct{}) {
	t.Helper()
	select {
	case <-changes:
	case <-time.After(time.Minute):
		t.Fatal("the change was not seen")
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWatcher(t *testing.T) {
	tests := []struct {
		name string
		// paths are watched, within the folder that prepare fills.
		paths   []string
		prepare func(t *testing.T, dir string)
		change  func(t *testing.T, dir string)
	}{
		{
			"a file is written", []string{"a.yaml"},
			func(t *testing.T, dir string) { write(t, dir+"/a.yaml", "1") },
			func(t *testing.T, dir string) { write(t, dir+"/a.yaml", "22") },
		},
		{
			"a file is replaced by one of its size and time", []string{"a.yaml"},
			func(t *testing.T, dir string) { write(t, dir+"/a.yaml", "1"); write(t, dir+"/b", "2") },
			func(t *testing.T, dir string) {
				info, err := os.Stat(dir + "/a.yaml")
				must(t, err)
				must(t, os.Chtimes(dir+"/b", info.ModTime(), info.ModTime()))
				must(t, os.Rename(dir+"/b", dir+"/a.yaml"))
			},
		},
		{
			"a file appears", []string{"a.yaml"},
			func(*testing.T, string) {},
			func(t *testing.T, dir string) { write(t, dir+"/a.yaml", "1") },
		},
		{
			"a file goes", []string{"a.yaml"},
			func(t *testing.T, dir string) { write(t, dir+"/a.yaml", "1") },
			func(t *testing.T, dir string) { must(t, os.Remove(dir+"/a.yaml")) },
		},
		{
			"a folder appears above a file", []string{"x/y/a.yaml"},
			func(*testing.T, string) {},
			func(t *testing.T, dir string) {
				must(t, os.MkdirAll(dir+"/x/y", 0o700))
				write(t, dir+"/x/y/a.yaml", "1")
			},
		},
		{
			"a file appears in a folder", []string{"protos"},
			func(t *testing.T, dir string) { must(t, os.Mkdir(dir+"/protos", 0o700)) },
			func(t *testing.T, dir string) { write(t, dir+"/protos/a.proto", "1") },
		},
		{
			"a file changes below a folder", []string{"protos"},
			func(t *testing.T, dir string) {
				must(t, os.MkdirAll(dir+"/protos/a/b", 0o700))
				write(t, dir+"/protos/a/b/a.proto", "1")
			},
			func(t *testing.T, dir string) { write(t, dir+"/protos/a/b/a.proto", "22") },
		},
		{
			"a folder is moved away", []string{"protos"},
			func(t *testing.T, dir string) { must(t, os.MkdirAll(dir+"/protos/a", 0o700)) },
			func(t *testing.T, dir string) { must(t, os.Rename(dir+"/protos/a", dir+"/a")) },
		},
		{
			"a linked file changes where it is", []string{"a.yaml"},
			func(t *testing.T, dir string) {
				must(t, os.Mkdir(dir+"/real", 0o700))
				write(t, dir+"/real/a.yaml", "1")
				must(t, os.Symlink("real/a.yaml", dir+"/a.yaml"))
			},
			func(t *testing.T, dir string) { write(t, dir+"/real/a.yaml", "22") },
		},
		{
			"a ConfigMap is swapped under a file", []string{"a.yaml"}, configMap, swapConfigMap,
		},
		{
			"a ConfigMap is swapped under a folder", []string{"."}, configMap, swapConfigMap,
		},
		{
			"folders that lead to each other", []string{"protos"},
			func(t *testing.T, dir string) {
				must(t, os.Mkdir(dir+"/protos", 0o700))
				must(t, os.Symlink("..", dir+"/protos/up"))
				must(t, os.Symlink(".", dir+"/protos/here"))
			},
			func(t *testing.T, dir string) { write(t, dir+"/protos/a.proto", "1") },
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			test.prepare(t, dir)
			var paths []string
			for _, p := range test.paths {
				paths = append(paths, filepath.Join(dir, p))
			}
			changes := watching(t, paths...)
			test.change(t, dir)
			wait(t, changes)
		})
	}
}

// configMap lays files out as Kubernetes does: a name leads through ..data to a
// folder of one version.
func configMap(t *testing.T, dir string) {
	must(t, os.Mkdir(dir+"/..1", 0o700))
	write(t, dir+"/..1/a.yaml", "1")
	must(t, os.Symlink("..1", dir+"/..data"))
	must(t, os.Symlink("..data/a.yaml", dir+"/a.yaml"))
}

func swapConfigMap(t *testing.T, dir string) {
	must(t, os.Mkdir(dir+"/..2", 0o700))
	write(t, dir+"/..2/a.yaml", "2")
	must(t, os.Symlink("..2", dir+"/..data_tmp"))
	must(t, os.Rename(dir+"/..data_tmp", dir+"/..data"))
	must(t, os.RemoveAll(dir+"/..1"))
}

// TestLater holds that what came after New is watched as what was there before.
// A look may fall between any two steps of a change, so each step here is one
// that cannot be seen half done.
func TestLater(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()+"/a.proto"
	write(t, elsewhere, "1")
	changes := watching(t, dir)
	folders := []string{dir + "/a", dir + "/a/b", dir + "/a/b/c"}
	for _, folder := range folders {
		must(t, os.Mkdir(folder, 0o700))
		wait(t, changes)
	}
	must(t, os.Rename(elsewhere, dir+"/a/b/c/a.proto"))
	wait(t, changes)
	must(t, os.Rename(dir+"/a/b/c/a.proto", elsewhere))
	wait(t, changes)
	for _, folder := range slices.Backward(folders) {
		must(t, os.Remove(folder))
		wait(t, changes)
	}
	must(t, os.Mkdir(dir+"/a", 0o700))
	wait(t, changes)
	must(t, os.Rename(elsewhere, dir+"/a/b.proto"))
	wait(t, changes)
}

// TestWithoutEvents holds that a look now and then sees what no event tells:
// where the system gives none, and where it gives those of other folders only.
func TestWithoutEvents(t *testing.T) {
	dir := t.TempDir()
	changes := watchingWith(t, nil, timing{look: time.Hour, poll: 5 * time.Millisecond}, dir)
	write(t, dir+"/a.proto", "1")
	wait(t, changes)

	must(t, os.MkdirAll(dir+"/real/b", 0o700))
	must(t, os.Symlink("real/b", dir+"/link"))
	events, err := fsnotify.NewWatcher()
	must(t, err)
	slow := timing{quiet: 5 * time.Millisecond, longest: 5 * time.Millisecond, look: 5 * time.Millisecond, poll: time.Hour}
	changes = watchingWith(t, events, slow, dir+"/link/a.proto")
	must(t, os.RemoveAll(dir+"/real")) // two levels above: nobody listens there
	must(t, os.MkdirAll(dir+"/real/b", 0o700))
	write(t, dir+"/real/b/a.proto", "1")
	wait(t, changes)
}

func TestCloseTwice(t *testing.T) {
	w, err := New([]string{t.TempDir()}, func() {})
	must(t, err)
	must(t, w.Close())
	must(t, w.Close())
}

// TestCallsDoNotOverlap holds that changes during a call lead to one more.
func TestCallsDoNotOverlap(t *testing.T) {
	dir := t.TempDir()
	entered, goOn := make(chan struct{}), make(chan struct{})
	running := 0
	events, err := fsnotify.NewWatcher()
	must(t, err)
	w, err := newWatcher([]string{dir}, events, quick, func() {
		if running++; running > 1 {
			t.Error("two calls at once")
		}
		entered <- struct{}{}
		<-goOn
		running--
	})
	must(t, err)
	write(t, dir+"/a.proto", "1")
	<-entered
	write(t, dir+"/a.proto", "22")
	goOn <- struct{}{}
	<-entered
	goOn <- struct{}{}
	must(t, w.Close())
}

func TestPictureIgnores(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a.proto", "1")
	hear := func(string) bool { return true }
	before := look([]string{dir}, hear)
	for _, name := range []string{".a.proto.swp", "a.proto~", ".#a.proto", "#a.proto#", "4913", "a.swp", ".hidden"} {
		write(t, filepath.Join(dir, name), "1")
	}
	must(t, os.Mkdir(dir+"/.git", 0o700))
	write(t, dir+"/.git/HEAD", "1")
	if !before.equal(look([]string{dir}, hear)) {
		t.Error("an editor's own file counts")
	}
	write(t, dir+"/b.proto", "1")
	if before.equal(look([]string{dir}, hear)) {
		t.Error("a new file does not count")
	}
	if !look([]string{dir}, func(string) bool { return false }).deaf {
		t.Error("a folder without events is not noticed")
	}
}

func TestBurst(t *testing.T) {
	b := burst{timing: timing{quiet: 100 * time.Millisecond, longest: time.Second}}
	start := time.Now()
	for _, step := range []struct{ at, want time.Duration }{
		{0, 100 * time.Millisecond},
		{90 * time.Millisecond, 100 * time.Millisecond},
		{850 * time.Millisecond, 100 * time.Millisecond},
		{940 * time.Millisecond, 60 * time.Millisecond},
		{2 * time.Second, 0},
	} {
		if got := b.event(start.Add(step.at)); got != step.want {
			t.Errorf("after %v: wait %v, want %v", step.at, got, step.want)
		}
	}
}

func TestPassing(t *testing.T) {
	for name, want := range map[string]bool{
		"a.proto": false, "transom.yaml": false, "..data": false, "#": false, "swp": false,
		".a.proto.swp": true, "a.proto.swo": true, "a~": true, ".#a": true, "#a#": true, "4913": true,
	} {
		if passing(name) != want {
			t.Errorf("passing(%q) = %v", name, !want)
		}
	}
}

// stallable is a Watcher whose looks can be had stall.
func stallable(t *testing.T, seen func(picture) picture) (*Watcher, <-chan struct{}) {
	t.Helper()
	dir := t.TempDir()
	write(t, dir+"/a.yaml", "1")
	changes := make(chan struct{}, 100)
	w := &Watcher{
		paths: []string{dir}, timing: timing{quiet: time.Millisecond, longest: time.Millisecond, look: time.Millisecond, poll: time.Millisecond},
		look: func(paths []string, listen func(string) bool) picture { return seen(look(paths, listen)) },
		stop: make(chan struct{}), done: make(chan struct{}), onChange: func() { changes <- struct{}{} },
	}
	w.changed()
	go w.run()
	return w, changes
}

// TestStalledFiles: what a file system holds that does not answer has not changed, and has
// once it answers, for what read it meanwhile has failed (Semantics 322).
func TestStalledFiles(t *testing.T) {
	var stalled atomic.Bool
	looks := make(chan struct{})
	w, changes := stallable(t, func(p picture) picture {
		select {
		case looks <- struct{}{}:
		default:
		}
		if stalled.Load() {
			return picture{stalled: true}
		}
		return p
	})
	stalled.Store(true)
	for range 3 {
		<-looks // one that had begun, and two without an answer
	}
	select {
	case <-changes:
		t.Error("a file system that does not answer is a change")
	default:
	}
	stalled.Store(false)
	wait(t, changes)
	must(t, w.Close())
}

// TestCloseDuringStalledLook: a look that does not end holds up nobody who closes.
func TestCloseDuringStalledLook(t *testing.T) {
	var first atomic.Bool
	reading, goOn := make(chan struct{}), make(chan struct{})
	w, _ := stallable(t, func(p picture) picture {
		if first.CompareAndSwap(false, true) {
			return p
		}
		close(reading)
		<-goOn
		return p
	})
	<-reading
	if err := w.Close(); !errors.Is(err, errLooking) {
		t.Errorf("%v", err)
	}
	close(goOn)
	<-w.done // it ends by itself
}
