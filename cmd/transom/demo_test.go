package main

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/examples/bookstore"
)

// TestDemoPrints does what the demo tells a newcomer to do, but for the lines for
// the console of a browser: interop plays those.
func TestDemoPrints(t *testing.T) {
	demo := startDemo(t)
	printed := demo.log.String()
	page := regexp.MustCompile(`Its page: (\S+)`).FindStringSubmatch(printed)
	if page == nil {
		t.Fatalf("no page is named:\n%s", printed)
	}
	if code, body := get(t, page[1]); code != 200 || !strings.HasPrefix(body, "<!doctype html>") {
		t.Errorf("the page: %d %.80s", code, body)
	}
	for _, line := range bookstore.TourInConsole() {
		if !strings.Contains(printed, "  "+line+"\n") {
			t.Errorf("not printed: %s", line)
		}
	}
	for _, line := range bookstore.TourByGRPC(strings.TrimPrefix(demo.url, "http://"), "") {
		if !strings.Contains(printed, "  "+line+"\n") {
			t.Errorf("not printed: %s", line)
		}
	}
	commands := regexp.MustCompile(`(?m)^  (curl .*)$`).FindAllStringSubmatch(printed, -1)
	if len(commands) != 5 {
		t.Fatalf("%d commands are printed, want 5:\n%s", len(commands), printed)
	}
	for _, c := range commands {
		t.Run(c[1], func(t *testing.T) {
			out, err := exec.CommandContext(t.Context(), "bash", "-c", c[1]+" --silent --show-error --fail-with-body").CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			if stream := strings.Contains(c[1], "text/event-stream"); stream && !strings.Contains(string(out), "\nevent: end\n") {
				t.Errorf("the stream has no end:\n%s", out)
			}
		})
	}
}

// TestDemoCalls does what the demo prints for transom call.
func TestDemoCalls(t *testing.T) {
	demo := startDemo(t)
	line := regexp.MustCompile(`(?m)^  transom (call \S+) -d '([^']+)' --upstream (\S+)$`).FindStringSubmatch(demo.log.String())
	if line == nil {
		t.Fatalf("no call is printed:\n%s", demo.log.String())
	}
	args := append(strings.Fields(line[1]), "-d", line[2], "--upstream", line[3])
	if code, out, told := command(t, args...); code != 0 || !strings.HasPrefix(out, `{"name":"shelves/1"`) {
		t.Errorf("%v: %d %s %s", args, code, out, told)
	}
}

func TestDemo(t *testing.T) {
	demo := startDemo(t)
	if code, body := get(t, demo.url+"/v1/shelves/1/books/1"); code != 200 || !strings.Contains(body, "Lighthouse") {
		t.Errorf("%d %s", code, body)
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/routes"} {
		if code, body := get(t, demo.admin+path); code != 200 {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	_, metrics := get(t, demo.admin+"/metrics")
	if !strings.Contains(metrics, `rpc="bookstore.v1.BookstoreService/GetBook"`) || strings.Contains(metrics, "shelves/1/books/1\"") {
		t.Error("metrics are not by RPC and route")
	}
	if code := demo.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if log := demo.log.String(); strings.Contains(log, "cannot be reached") {
		t.Errorf("the bookstore ends before the gateway:\n%s", log)
	}
}
