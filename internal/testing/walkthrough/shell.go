package walkthrough

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is the longest one command of a page may take.
const patience = time.Minute

// Shell runs the commands of a page, each in a bash of its own.
type Shell struct {
	// Dir is where they run; files that one writes are there for the next.
	Dir string
	// Bin is a folder in front of the PATH; empty for none.
	Bin string
	// Replace is pairs of what the page says and what is meant here, for example
	// "localhost:8080" and the address of a test's own server.
	Replace []string
	// Env is further NAME=value pairs.
	Env []string
}

// Run runs the steps in order. A command that prints something else, or ends
// with an error where the page does not show one, fails the test and does not
// keep the others from running.
func (s Shell) Run(t testing.TB, steps []Step) {
	t.Helper()
	for _, step := range steps {
		if dir, ok := strings.CutPrefix(step.Command, "cd "); ok && !strings.ContainsAny(dir, " \n;&|") {
			s.Dir = filepath.Join(s.Dir, dir) // for the steps that follow, as in a terminal
			continue
		}
		out, err := s.run(t.Context(), step.Command)
		t.Logf("line %d: $ %s\n%s", step.Line, step.Command, out) // -v shows a page's author what to write
		if err != nil {
			t.Errorf("line %d: $ %s\n%v\n%s", step.Line, step.Command, err, out)
		}
		if !step.Want.MatchString(out) {
			t.Errorf("line %d: $ %s\nprinted\n%s\nthe page says\n%s", step.Line, step.Command, out, step.Printed)
		}
	}
}

func (s Shell) run(ctx context.Context, command string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	line := strings.NewReplacer(s.Replace...).Replace(command)
	bash := exec.CommandContext(ctx, "bash", "-c", line)
	bash.Dir = s.Dir
	bash.Env = append(os.Environ(), s.Env...)
	if s.Bin != "" {
		bash.Env = append(bash.Env, "PATH="+s.Bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	}
	// What a command starts in the background ends with it, whatever happens.
	bash.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	bash.Cancel = func() error { return syscall.Kill(-bash.Process.Pid, syscall.SIGKILL) }
	bash.WaitDelay = time.Second
	out, err := bash.CombinedOutput()
	if bash.Process != nil {
		_ = syscall.Kill(-bash.Process.Pid, syscall.SIGKILL) // mostly nobody is left
	}
	// Header lines of HTTP end with a carriage return that no page shows.
	return strings.ReplaceAll(string(out), "\r\n", "\n"), err
}

// Build compiles commands into a new folder that lives as long as the test, for
// Shell.Bin. packages are import paths or folders such as "../../cmd/transom".
func Build(t testing.TB, packages ...string) string {
	t.Helper()
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", append([]string{"build", "-o", bin}, packages...)...)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building %v: %v\n%s", packages, err, out)
	}
	return bin
}
