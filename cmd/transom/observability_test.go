package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/transom-gateway/transom/internal/observe"
)

var (
	// labelsOf finds the labels of a metric in what its description prints.
	labelsOf = regexp.MustCompile(`fqName: "([a-z_]+)".*constLabels: \{(.*)\}, variableLabels: \{([^}]*)\}`)
	// ofMetric is a metric's name in an expression, with what it selects.
	ofMetric = regexp.MustCompile(`\b((?:transom|go|process)_[a-z_]+)(\{[^}]*\})?`)
	// selects is one label of a selector.
	selects = regexp.MustCompile(`([a-z_]+)(?:=~|!~|!=|=)"`)
	// groups are the labels that an aggregation keeps.
	groups = regexp.MustCompile(`\bby \(([a-z_, ]*)\)`)
	// shows is a label in a legend or an annotation.
	shows = regexp.MustCompile(`\{\{ *(?:\$labels\.)?([a-z_]+) *\}\}`)
)

// described lists the labels of all metrics by their names.
func described() map[string][]string {
	all := map[string][]string{}
	to := make(chan *prometheus.Desc, 10_000)
	observe.NewMetrics("test").Registry().Describe(to)
	close(to)
	for d := range to {
		if found := labelsOf.FindStringSubmatch(d.String()); found != nil {
			all[found[1]] = strings.Split(found[3], ",")
			for _, l := range selects.FindAllStringSubmatch(found[2], -1) {
				all[found[1]] = append(all[found[1]], l[1])
			}
		}
	}
	return all
}

// wrongIn says what an expression, and what is shown beside it, name that no metric has.
func wrongIn(all map[string][]string, expression, shown string) (wrong []string) {
	known := []string{"le", "instance", "job"} // of histograms, and Prometheus' own
	found := ofMetric.FindAllStringSubmatch(expression, -1)
	if found == nil {
		wrong = append(wrong, "names no metric")
	}
	for _, m := range found {
		labels, ok := all[m[1]]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if base, cut := strings.CutSuffix(m[1], suffix); cut && !ok {
				labels, ok = all[base]
			}
		}
		if !ok {
			wrong = append(wrong, "there is no metric "+m[1])
		}
		known = append(known, labels...)
		for _, l := range selects.FindAllStringSubmatch(m[2], -1) {
			if !slices.Contains(append(labels, "instance", "job"), l[1]) {
				wrong = append(wrong, m[1]+" has no label "+l[1])
			}
		}
	}
	var named []string
	for _, g := range groups.FindAllStringSubmatch(expression, -1) {
		named = append(named, strings.Split(g[1], ", ")...)
	}
	for _, s := range shows.FindAllStringSubmatch(shown, -1) {
		named = append(named, s[1])
	}
	for _, l := range named {
		if !slices.Contains(known, l) {
			wrong = append(wrong, "no metric of it has the label "+l)
		}
	}
	return wrong
}

// TestDashboards: Surface 279: each panel of Grafana names metrics and labels that the gateway has.
func TestDashboards(t *testing.T) {
	all := described()
	files, err := filepath.Glob(filepath.Join(deployFolder, "grafana", "*.json"))
	if err != nil || len(files) != 5 {
		t.Fatalf("%d dashboards: %v", len(files), err)
	}
	ids := map[string]bool{}
	for _, file := range files {
		var board struct {
			UID, Title string
			Templating struct{ List []struct{ Query string } }
			Panels     []struct {
				Title   string
				Targets []struct{ Expr, LegendFormat string }
			}
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &board); err != nil || board.UID == "" || ids[board.UID] || len(board.Panels) == 0 {
			t.Errorf("%s: %v, %+v", file, err, board)
		}
		ids[board.UID] = true
		for _, v := range board.Templating.List {
			metric, label, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(v.Query, "label_values("), ")"), ", ")
			if !slices.Contains(all[metric], label) {
				t.Errorf("%s: the variable %q", file, v.Query)
			}
		}
		for _, p := range board.Panels {
			if len(p.Targets) == 0 {
				t.Errorf("%s: %s shows nothing", file, p.Title)
			}
			for _, target := range p.Targets {
				for _, wrong := range wrongIn(all, target.Expr, target.LegendFormat) {
					t.Errorf("%s: %s: %s: %s", file, p.Title, target.Expr, wrong)
				}
			}
		}
	}
	for expression, want := range map[string]string{
		"rate(transom_request_total[5m])":              "there is no metric transom_request_total",
		`sum by (code, rout) (transom_requests_total)`: "no metric of it has the label rout",
		`transom_requests_total{status="200"}`:         "transom_requests_total has no label status",
	} {
		if got := wrongIn(all, expression, ""); !slices.Contains(got, want) {
			t.Errorf("%s: %q, want %q", expression, got, want)
		}
	}
}

// TestRules: Surface 279: Prometheus reads its configuration and rules; each alert fires, and only where
// it is to; all name metrics and labels that the gateway has.
func TestRules(t *testing.T) {
	dir := folder(t, map[string]string{
		"prometheus.yaml": readDeployed(t, "compose/prometheus.yaml"), "rules.yaml": readDeployed(t, "prometheus/rules.yaml"), "rules_test.yaml": readDeployed(t, "prometheus/rules_test.yaml"),
	})
	for _, arguments := range [][]string{{"check", "config", "prometheus.yaml"}, {"check", "rules", "rules.yaml"}, {"test", "rules", "rules_test.yaml"}} {
		command := exec.CommandContext(t.Context(), "promtool", arguments...)
		command.Dir = dir
		if out, err := command.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(arguments, " "), err, out)
		}
	}
	rules, tests := readDeployed(t, "prometheus/rules.yaml"), readDeployed(t, "prometheus/rules_test.yaml")
	all := described()
	all["transom:requests:rate5m"], all["transom:requests_failed:rate5m"] = []string{"rpc"}, []string{"rpc"}
	named := regexp.MustCompile(`(?m)^ +(?:- (alert|record): (\S+)\n) +expr: (.*)\n((?: {8}.*\n)*)`).FindAllStringSubmatch(rules, -1)
	if len(named) < 10 {
		t.Fatalf("found %d rules", len(named))
	}
	for _, rule := range named {
		expression := strings.NewReplacer("transom:requests:rate5m", "transom_requests_total", "transom:requests_failed:rate5m", "transom_requests_total").Replace(rule[3])
		for _, wrong := range wrongIn(all, expression, rule[4]) {
			t.Errorf("%s: %s", rule[2], wrong)
		}
		if rule[1] == "alert" && strings.Count(tests, "alertname: "+rule[2]+" }")+strings.Count(tests, "alertname: "+rule[2]+", exp_alerts") != 2 {
			t.Errorf("%s: no test in which it is silent and one in which it fires", rule[2])
		}
	}
}
