//go:build lighthouse

package pages

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/installed"
)

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
			command := exec.CommandContext(t.Context(), filepath.Join(folder, ".bin/lighthouse"), g.Admin+"/console/"+p.hash, "--quiet", "--output=json",
				"--only-categories=accessibility,best-practices,performance", "--preset=desktop", "--chrome-flags=--headless=new --no-sandbox --disable-gpu")
			command.Env = append(command.Environ(), "CHROME_PATH="+chromium)
			out, err := command.Output()
			var report struct {
				Categories map[string]struct {
					Score     *float64
					AuditRefs []struct{ ID string }
				}
				Audits map[string]struct {
					Title, DisplayValue string
					Score               *float64
				}
			}
			if err != nil || json.Unmarshal(out, &report) != nil {
				t.Fatalf("lighthouse: %v\n%.1000s", err, out)
			}
			for _, metric := range []string{"first-contentful-paint", "largest-contentful-paint", "total-blocking-time", "cumulative-layout-shift"} {
				t.Logf("%s: %s", metric, report.Audits[metric].DisplayValue)
			}
			for name, c := range report.Categories {
				if c.Score == nil {
					t.Errorf("%s: no score", name)
					continue
				}
				t.Logf("%s: %.0f", name, 100**c.Score)
				if name == "performance" || *c.Score == 1 { // how quick it is, the machine says
					continue
				}
				for _, ref := range c.AuditRefs {
					if a := report.Audits[ref.ID]; a.Score != nil && *a.Score < 1 {
						t.Errorf("%s: %s: %s", name, ref.ID, a.Title)
					}
				}
			}
		})
	}
}
