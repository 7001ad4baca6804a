package securedtest

import (
	"os/exec"
	"testing"
)

// Build compiles transom and lending-desk into a new folder that lives as long
// as the test, for Options.Bin. root is the folder of Transom's go.mod.
func Build(t testing.TB, root string) string {
	t.Helper()
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./cmd/transom", "./examples/secured/cmd/lending-desk")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the secured example: %v\n%s", err, out)
	}
	return bin
}
