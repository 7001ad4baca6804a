//go:build validators || clients || schemathesis

package openapi

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// copyFiles copies the files of a folder, which name programs and their versions, into another.
func copyFiles(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// installPython puts what requirements.txt of a folder locks into an environment there.
func installPython(t *testing.T, folder string) {
	t.Helper()
	run(t, folder, "python3", "-m", "venv", "venv")
	run(t, folder, filepath.Join(folder, "venv/bin/pip"), "install", "-q", "--no-deps", "--disable-pip-version-check", "-r", "requirements.txt")
}

// run fails the test where a program does, and gives what it says.
func run(t *testing.T, folder string, command ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), command[0], command[1:]...)
	c.Dir = folder
	c.Env = append(os.Environ(), "REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %v\n%s", command, err, out)
	}
	return string(out)
}
