package secured_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/examples/secured/securedtest"
	"github.com/transom-gateway/transom/internal/testing/walkthrough"
)

var tours = regexp.MustCompile(`(?s)<!-- tour: curl -->.*?<!-- end -->`)

// TestPrograms plays the example with the real programs: the desk, the gateway,
// curl. The README's parts for grpcurl and for browsers are played in the module
// interop.
func TestPrograms(t *testing.T) {
	bin := securedtest.Build(t, "../..")
	t.Run("the README", func(t *testing.T) { testReadme(t, bin) })
	t.Run("shared sessions", func(t *testing.T) { testSharedSessions(t, bin) })
}

func testReadme(t *testing.T, bin string) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	stack := securedtest.Start(t, securedtest.Options{Bin: bin})
	shell := walkthrough.Shell{Dir: stack.Dir, Bin: bin, Replace: []string{"localhost:8080", stack.Host, "/tmp/", t.TempDir() + "/"}}
	shell.Run(t, steps(string(page)))
	for _, secret := range []string{"sawdust-and-glue", "keys-to-the-shed", "hunter2", "guess-number", "eyJ", "__Host-transom-session="} {
		if strings.Contains(stack.Log(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

// steps are those of all tours, with the lines of the page.
func steps(page string) []walkthrough.Step {
	var all []walkthrough.Step
	for _, at := range tours.FindAllStringIndex(page, -1) {
		above := strings.Count(page[:at[0]], "\n")
		for _, step := range walkthrough.Steps(page[at[0]:at[1]]) {
			step.Line += above
			all = append(all, step)
		}
	}
	return all
}

// TestMakeTarget finds the README's first command in the Makefile.
func TestMakeTarget(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "make", "-n", "-C", "../..", "run-secured").CombinedOutput()
	if want := "\nbin/lending-desk -gateway bin/transom\n"; err != nil || !strings.Contains(string(out), want) {
		t.Errorf("make run-secured: %v\n%s\nwant %s", err, out, want)
	}
}
