package interop

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/examples/secured/securedtest"
	"github.com/transom-gateway/transom/internal/testing/walkthrough"
)

const securedReadme = "../examples/secured/README.md"

// TestSecured plays the secured example by the clients that its own test does
// without.
func TestSecured(t *testing.T) {
	bin := securedtest.Build(t, "..")
	t.Run("grpcurl", func(t *testing.T) { testSecuredByGrpcurl(t, bin) })
	t.Run("a browser", func(t *testing.T) { testSecuredInABrowser(t, startSecuredPages(t, bin)) })
	t.Run("a browser and other pages", func(t *testing.T) { testSecuredAgainstOtherPages(t, startSecuredPages(t, bin)) })
	t.Run("a browser and forms", func(t *testing.T) { testSecuredAgainstForms(t, startSecuredPages(t, bin)) })
}

// testSecuredByGrpcurl plays the part for grpcurl of the README, with the real
// program.
func testSecuredByGrpcurl(t *testing.T, bin string) {
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "github.com/fullstorydev/grpcurl/cmd/grpcurl")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building grpcurl: %v\n%s", err, out)
	}
	stack := securedtest.Start(t, securedtest.Options{Bin: bin})
	shell := walkthrough.Shell{Dir: stack.Dir, Bin: bin, Replace: []string{"localhost:8080", stack.Host, "/tmp/", t.TempDir() + string(filepath.Separator)}}
	steps := walkthrough.Steps(securedPart(t, "tour: grpcurl"))
	if len(steps) == 0 {
		t.Fatal("the README has no commands for grpcurl")
	}
	shell.Run(t, steps)
}

// securedPart is what stands between a mark and the next end in the README, at
// the lines where it stands there.
func securedPart(t *testing.T, mark string) string {
	t.Helper()
	page, err := os.ReadFile(securedReadme)
	if err != nil {
		t.Fatal(err)
	}
	part := regexp.MustCompile(`(?s)<!-- ` + mark + ` -->(.*?)<!-- end -->`).FindSubmatchIndex(page)
	if part == nil {
		t.Fatalf("%s has no part <!-- %s -->", securedReadme, mark)
	}
	return strings.Repeat("\n", bytes.Count(page[:part[2]], []byte("\n"))) + string(page[part[2]:part[3]])
}
