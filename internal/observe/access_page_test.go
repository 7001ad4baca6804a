package observe

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/policy"
)

// TestAccessLogPage: docs/metrics.md lists the fields of the access log, all that there
// are and no others (Semantics 321).
func TestAccessLogPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## The access log\n")
	section, _, _ = strings.Cut(section, "\n## ")
	said := map[string]bool{} // whether they are in every line
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || !strings.HasPrefix(line, "| `") {
			continue
		}
		for _, name := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(cells[1], -1) {
			said[name[1]] = strings.TrimSpace(cells[2]) == "always"
		}
	}
	if got := keys(logged(t, "", nil, &policy.Outcome{})); !slices.Equal(got, always(said)) {
		t.Errorf("every line has  %v\nthe page says  %v", got, always(said))
	}
	all := logged(t, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", &policy.Identity{Principal: "ada"},
		&policy.Outcome{Code: codes.PermissionDenied, Message: "no", Own: true, Cause: "EOF", Attempts: 2, Hedged: 1, RetryDenied: "budget", Endpoint: "10.0.0.1:50051"})
	if got, want := keys(all), slices.Sorted(maps.Keys(said)); !slices.Equal(got, want) {
		t.Errorf("a full line has  %v\nthe page says    %v", got, want)
	}
}

func always(said map[string]bool) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(said)), func(name string) bool { return !said[name] })
}

func keys(line map[string]any) []string { return slices.Sorted(maps.Keys(line)) }

// logged is the line of one call: the barest, or one that says all there is to say.
func logged(t *testing.T, traceparent string, identity *policy.Identity, o *policy.Outcome) (line map[string]any) {
	t.Helper()
	var out bytes.Buffer
	telemetry := setup(t, nil, &out)
	set := policy.NewSet(nil, telemetry.Policies(routes(telemetry))...)
	r := request("/v1/shelves/1/books/2")
	if identity != nil {
		r.HTTP.Header.Set("Traceparent", traceparent)
		r.HTTP.Header.Set("User-Agent", "test")
		r.Identity, r.RefusedBy = identity, "auth"
		r.Branch, r.BranchMeant, r.Replayed, r.KeyPassed, r.Cache.Result = "stable", "canary", true, true, "stale"
		r.Operator = "token ops"
	}
	play(t, set, r, o)
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	return line
}
