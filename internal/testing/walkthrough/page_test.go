package walkthrough

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/poll"
)

const page = "# Title\n\n```proto file=a/b.proto\nmessage M {}\n```\n\n" +
	"```console\n$ echo one\none\n$ printf 'a\\r\\nb\\n' &&\n> echo c\na\n…\nc\n```\n\n" +
	"```\n$ no language, no command\n```\n\n```console\n$ cat file\nheld\n```\n"

func TestBlocks(t *testing.T) {
	blocks := Blocks(page)
	if len(blocks) != 3 {
		t.Fatalf("%d blocks: %+v", len(blocks), blocks)
	}
	if want := (Block{Language: "proto", File: "a/b.proto", Text: "message M {}\n", Line: 4}); blocks[0] != want {
		t.Errorf("%+v, want %+v", blocks[0], want)
	}
}

func TestStepsRun(t *testing.T) {
	steps := Steps(page)
	if len(steps) != 3 || steps[0].Line != 8 || steps[1].Command != "printf 'a\\r\\nb\\n' &&\necho c" {
		t.Fatalf("%+v", steps)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("held\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	Shell{Dir: dir}.Run(t, steps)
}

// verdict is a test that only notes whether it failed.
type verdict struct {
	testing.TB
	failures int
}

func (v *verdict) Helper()               {}
func (v *verdict) Errorf(string, ...any) { v.failures++ }

func TestRunTellsWhatDiffers(t *testing.T) {
	for name, text := range map[string]string{
		"other output":   "```console\n$ echo one\ntwo\n```\n",
		"an exit code":   "```console\n$ false\n```\n",
		"no such option": "```console\n$ cat missing\nheld\n```\n",
	} {
		v := &verdict{TB: t}
		if (Shell{Dir: t.TempDir()}).Run(v, Steps(text)); v.failures == 0 {
			t.Errorf("%s: nobody noticed", name)
		}
	}
}

// TestNobodyStaysBehind has a command that leaves a child in the background,
// which holds the output open.
func TestNobodyStaysBehind(t *testing.T) {
	dir := t.TempDir()
	steps := Steps("```console\n$ sleep 3600 & echo $! > pid; echo begun\nbegun\n```\n")
	v := &verdict{TB: t}
	Shell{Dir: dir}.Run(v, steps) // that it waited in vain for the output is an error
	pid, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	poll.Until(t, "the child to end", func() bool {
		state, err := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(string(pid)), "stat"))
		return err != nil || strings.Contains(string(state), ") Z ")
	})
}

// TestAFolderStays: what comes after a "cd" alone runs there.
func TestAFolderStays(t *testing.T) {
	steps := Steps("```console\n$ mkdir books\n$ cd books\n$ basename \"$PWD\"\nbooks\n```\n")
	Shell{Dir: t.TempDir()}.Run(t, steps)
}
