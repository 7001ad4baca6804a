package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/transom-gateway/transom/internal/observe"
	"github.com/transom-gateway/transom/internal/testing/keytest"
	"github.com/transom-gateway/transom/internal/testing/walkthrough"
)

// TestGuidePages runs the examples of the pages that lead through a task.
func TestGuidePages(t *testing.T) {
	bin := commandFolder(t)
	for _, name := range []string{"behaviour", "metrics", "openapi", "streams", "subscriptions", "troubleshooting"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			page := readPage(t, "../../docs/"+name+".md")
			dir := exampleFolder(t, page)
			gateway := startGateway(t, input{config: filepath.Join(dir, "transom.yaml")})
			walkthrough.Shell{Dir: dir, Bin: bin, Replace: []string{
				"localhost:8080", strings.TrimPrefix(gateway.url, "http://"),
				"localhost:9901", strings.TrimPrefix(gateway.admin, "http://"),
			}}.Run(t, walkthrough.Steps(page))
		})
	}
}

// TestProductionConfiguration checks the configuration of docs/production.md, with files of
// this test for those of the page.
func TestProductionConfiguration(t *testing.T) {
	dir := exampleFolder(t, "")
	for _, block := range walkthrough.Blocks(readPage(t, "../../docs/production.md")) {
		if block.File == "transom.yaml" {
			certificate, key := keytest.Certificate(t, "gateway.example")
			write(t, filepath.Join(dir, "cert.pem"), certificate)
			write(t, filepath.Join(dir, "key.pem"), key)
			write(t, filepath.Join(dir, "redis-url"), "redis://127.0.0.1:1")
			write(t, filepath.Join(dir, block.File), strings.NewReplacer(
				"/etc/transom/", "", "/run/secrets/redis-url", "redis-url").Replace(block.Text))
		}
	}
	code, out, err := command(t, "check", "--config", filepath.Join(dir, "transom.yaml"))
	if code != 0 || !strings.HasPrefix(out, "ok:") {
		t.Errorf("check gives %d %s %s", code, out, err)
	}
}

var metricName = regexp.MustCompile(`fqName: "(transom_[a-z_]+)"`)

// TestMetricsAreDocumented compares the table of docs/metrics.md with the metrics there are.
func TestMetricsAreDocumented(t *testing.T) {
	said := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(transom_[a-z_]+)` \\|").FindAllStringSubmatch(readPage(t, "../../docs/metrics.md"), -1) {
		said[row[1]] = true
	}
	described := make(chan *prometheus.Desc, 10_000)
	observe.NewMetrics("test").Registry().Describe(described)
	close(described)
	for d := range described {
		name := metricName.FindStringSubmatch(d.String())
		if name == nil {
			continue // the Go runtime's and the process's
		}
		if _, ok := said[name[1]]; !ok {
			t.Errorf("docs/metrics.md has no row for %s", name[1])
		}
		said[name[1]] = false
	}
	for name, missing := range said {
		if missing {
			t.Errorf("docs/metrics.md has a row for %s, which is no metric", name)
		}
	}
}
