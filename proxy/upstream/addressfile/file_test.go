package addressfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/regularfile"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// put replaces a file in one step, as a careful script does.
func put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// TestWatch: Traffic 176: the file is read again when it changes; what is wrong with it
// is said.
func TestWatch(t *testing.T) {
	name := filepath.Join(t.TempDir(), "books.yaml")
	put(t, name, "- a:1")
	told := make(chan string, 10)
	f, err := Watch(name, func(all []Address, err error) { told <- fmt.Sprint(all, err) })
	if err != nil {
		t.Fatal(err)
	}
	if got := <-told; got != "[{a:1 1 0 }] <nil>" {
		t.Error(got)
	}
	for _, step := range []struct{ text, want string }{
		{"- a:1\n- b:1", "[{a:1 1 0 } {b:1 1 0 }] <nil>"},
		{"- a", "[] " + name + `:1:3: found "a", expected`},
		{"", "[] " + name + ": the file lists no address"},
		{"- c:1", "[{c:1 1 0 }] <nil>"},
	} {
		put(t, name, step.text)
		poll.Until(t, step.want, func() bool { return strings.HasPrefix(<-told, step.want) })
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	poll.Until(t, "the end of the file", func() bool { return strings.Contains(<-told, "no such file") })
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// TestRead: Traffic 176: what cannot be a list is not read.
func TestRead(t *testing.T) {
	name := filepath.Join(t.TempDir(), "books.yaml")
	if _, err := Watch(name, func([]Address, error) {}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	put(t, name, "")
	if err := os.Truncate(name, maxFile+1); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(name); !errors.Is(err, regularfile.ErrTooLarge) {
		t.Errorf("a large file: %v", err)
	}
	if _, err := Read("/dev/null"); !errors.Is(err, regularfile.ErrIrregular) {
		t.Errorf("a device: %v", err)
	}
	put(t, name, "[]")
	if _, err := Read(name); !errors.Is(err, ErrEmpty) {
		t.Errorf("an empty list: %v", err)
	}
	var many strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&many, "- { address: \"10.1.%d.%d:50051\", weight: 10, zone: europe-west1-b }\n", i/250, i%250)
	}
	put(t, name, many.String())
	if all, err := Read(name); len(all) != 10_000 || err != nil {
		t.Errorf("%d addresses, %v", len(all), err)
	}
}
