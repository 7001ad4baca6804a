//go:build schemathesis

package openapi

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/examples/secured/securedtest"
	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// answers are the checks of what is answered. That no server error is one of them stands apart, as some
// methods fail where they are asked to.
const answers = "status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance"

// failing are the methods of the bookstore that fail where they are asked to.
const failing = "_(Fail|Discuss)(_|$)"

// TestSchemathesis: Surface 220: of 5,000 cases that Schemathesis makes of the document, no call has a status that is
// not in it, an answer outside its schema, or an error of the server.
func TestSchemathesis(t *testing.T) {
	tools := t.TempDir()
	copyFiles(t, "schemathesis", tools)
	installPython(t, tools)
	t.Run("bookstore", func(t *testing.T) {
		g := gatewaytest.Start(t, gatewaytest.Options{Config: "openapi: { path: /openapi.json }\n"})
		document := g.Do(t, "GET", "/openapi.json", "").Body
		n := cases(t, tools, document, "--url", g.URL, "--checks", "not_a_server_error,"+answers, "--exclude-operation-id-regex", "_WebSocket$|"+failing, "-n", "40")
		n += cases(t, tools, document, "--url", g.URL, "--checks", answers, "--include-operation-id-regex", failing, "--exclude-operation-id-regex", "_WebSocket$", "-n", "40")
		if n < 5000 {
			t.Errorf("%d cases, want 5,000", n)
		}
	})
	t.Run("secured", func(t *testing.T) {
		bin := securedtest.Build(t, "../..")
		stack := securedtest.Start(t, securedtest.Options{Bin: bin})
		printed := exec.CommandContext(t.Context(), filepath.Join(bin, "transom"), "openapi", "--config", "examples/secured/transom.yaml")
		printed.Dir = stack.Dir
		document, err := printed.Output()
		if err != nil {
			t.Fatal(err)
		}
		n := cases(t, tools, string(document), "--url", stack.URL, "--checks", "not_a_server_error,ignored_auth,"+answers, "--exclude-operation-id-regex", "_WebSocket$", "-n", "500",
			"--header", "Authorization: Bearer "+token(t, stack))
		if n < 5000 {
			t.Errorf("%d cases, want 5,000", n)
		}
	})
}

// generated is what Schemathesis says of its cases.
var generated = regexp.MustCompile(`(\d+) generated`)

// cases has Schemathesis make cases of a document, and tells how many these were.
func cases(t *testing.T, folder, document string, arguments ...string) int {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, "openapi.json"), []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SCHEMATHESIS_HOOKS", "hooks")
	command := []string{filepath.Join(folder, "venv/bin/schemathesis"), "run", "openapi.json", "--phases", "examples,coverage,fuzzing", "--suppress-health-check", "all", "--seed", "1",
		"--continue-on-failure", "--no-shrink", "--no-color", "--warnings", "off", "--generation-database", "none", "--request-timeout", "60"}
	said := run(t, folder, append(command, arguments...)...)
	found := generated.FindStringSubmatch(said)
	if found == nil {
		t.Fatalf("it does not say how many cases there were:\n%s", said)
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d cases", n)
	return n
}

// token is one of a keeper of the desk.
func token(t *testing.T, stack *securedtest.Stack) string {
	t.Helper()
	answer, err := http.Post(stack.URL+"/v1/tokens", "application/json", strings.NewReader(`{"user": "kim", "password": "keys-to-the-shed"}`)) //nolint:noctx // of a test
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var said struct{ Token string }
	if err := json.NewDecoder(answer.Body).Decode(&said); err != nil || said.Token == "" {
		t.Fatalf("%s: %v", answer.Status, err)
	}
	return said.Token
}
