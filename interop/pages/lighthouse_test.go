//go:build lighthouse

package pages

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/installed"
)

// lighthouseAudit is what Lighthouse says of one question.
type lighthouseAudit struct {
	Title, DisplayValue, ScoreDisplayMode, Explanation, ErrorMessage string
	Score                                                            *float64
	Details                                                          struct{ Items json.RawMessage }
}

// lighthouseReport is what Lighthouse says of a page.
type lighthouseReport struct {
	RunWarnings  []string
	RuntimeError *struct{ Code, Message string }
	Categories   map[string]struct {
		Score     *float64
		AuditRefs []struct{ ID string }
	}
	Audits map[string]lighthouseAudit
}

// TestLighthouse: Surface 245: Lighthouse finds nothing to better in the accessibility of a page, nor in how it is made.
func TestLighthouse(t *testing.T) {
	folder := installed.Packages(t, installed.NPM, installed.Files(t, "lighthouse/package.json", "lighthouse/package-lock.json"))
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal(err)
	}
	g := gatewaytest.Start(t, gatewaytest.Options{Admin: true, Config: consolePolicies})
	for range 3 {
		g.Do(t, "GET", "/v1/shelves", "")
	}
	for _, p := range consolePages {
		if p.name == "schema" {
			p.hash = "#/schema?symbol=bookstore.v1.Shelf"
		}
		t.Run(p.name, func(t *testing.T) {
			l := lighthouse{filepath.Join(folder, ".bin/lighthouse"), chromium, g.Admin + "/console/" + p.hash}
			report, file, said := l.run(t)
			for n := 1; n < 3 && report.again(); n++ {
				t.Logf("lighthouse failed: %s: %s", report.RuntimeError.Code, report.RuntimeError.Message)
				report, file, said = l.run(t)
			}
			report.judge(t)
			if t.Failed() {
				t.Logf("the report: %s\nlighthouse said: %.4000s", keepReport(t, file), said)
			}
		})
	}
}

// lighthouse is the program, and what it looks at.
type lighthouse struct{ program, chromium, url string }

// run makes a report. It is in a file, as the program ends in an error before a pipe has taken all of it.
func (l lighthouse) run(t *testing.T) (r lighthouseReport, file, said string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "report.json")
	command := exec.CommandContext(t.Context(), l.program, l.url, "--quiet", "--output=json", "--output-path="+file,
		"--only-categories=accessibility,best-practices,performance", "--preset=desktop", "--chrome-flags=--headless=new --no-sandbox --disable-gpu")
	command.Env = append(command.Environ(), "CHROME_PATH="+l.chromium)
	out, failure := command.CombinedOutput()
	report, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(report, &r)
	}
	if err != nil || failure != nil && r.RuntimeError == nil {
		t.Fatalf("lighthouse: %v, its report: %v\n%.4000s\n%.2000s", failure, err, out, report)
	}
	return r, file, string(out)
}

// again reports whether Lighthouse asks for another run: on a busy machine the trace that Chromium records is at times without its
// beginning (NO_NAVSTART), which says nothing of the page.
func (r *lighthouseReport) again() bool {
	return r.RuntimeError != nil && strings.Contains(r.RuntimeError.Message, "Please run Lighthouse again")
}

// judge fails for each category that has no score or not the best, and says why.
func (r lighthouseReport) judge(t *testing.T) {
	if r.RuntimeError != nil {
		t.Errorf("lighthouse failed: %s: %s", r.RuntimeError.Code, r.RuntimeError.Message)
	}
	for _, warning := range r.RunWarnings {
		t.Logf("lighthouse warns: %s", warning)
	}
	for _, metric := range []string{"first-contentful-paint", "largest-contentful-paint", "total-blocking-time", "cumulative-layout-shift"} {
		t.Logf("%s: %s", metric, r.Audits[metric].DisplayValue)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Categories)) {
		c := r.Categories[name]
		if c.Score != nil {
			t.Logf("%s: %.0f", name, 100**c.Score)
		} else {
			t.Errorf("%s: no score", name)
		}
		if c.Score != nil && (*c.Score == 1 || name == "performance") { // how quick it is, the machine says
			continue
		}
		for _, ref := range c.AuditRefs {
			a := r.Audits[ref.ID]
			if a.ScoreDisplayMode == "error" || a.Score != nil && *a.Score < 1 {
				t.Errorf("%s: %s: %s: %s %s\n%.2000s", name, ref.ID, a.Title, a.Explanation, a.ErrorMessage, a.Details.Items)
			}
		}
	}
}

// keepReport keeps a report that has failed for whoever looks for its cause.
func keepReport(t *testing.T, report string) string {
	t.Helper()
	content, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := os.CreateTemp("", "lighthouse-*.json")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = kept.Close() }()
	if _, err := kept.Write(content); err != nil {
		t.Error(err)
	}
	return kept.Name()
}
