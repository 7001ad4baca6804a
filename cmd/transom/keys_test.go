package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/admin"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// TestKeys: Traffic 90: a key of an unknown outcome is listed, shown and released by the command, as
// the audit log tells; one in flight by force alone.
func TestKeys(t *testing.T) {
	l := &ledger{done: map[string]int{}, entered: make(chan string, 10), leave: make(chan struct{})}
	backend := grpctest.ServeAny(t, l.serve)
	dir := folder(t, map[string]string{"protos/keyed.proto": keyedProto, "transom.yaml": fmt.Sprintf(
		`schemas: [{ directory: ./protos }]
upstreams: { ledger: { grpc: { target: %q } } }
policies: [{ selector: keyed.v1.Ledger.Pay, policy: { timeout: 0.2s } }]
`, backend)})
	g := startGateway(t, input{config: filepath.Join(dir, "transom.yaml")})
	keys := func(wantCode int, args ...string) (out, err string) {
		t.Helper()
		code, out, err := command(t, append([]string{"keys", "--admin", g.admin}, args...)...)
		if code != wantCode {
			t.Fatalf("%v: %d %s %s", args, code, out, err)
		}
		return out, err
	}
	if code, text := pay(t, http.DefaultClient, g.url, "k1"); code != http.StatusGatewayTimeout {
		t.Fatalf("%d %s", code, text)
	}
	<-l.entered
	if out, _ := keys(0, "list"); !strings.HasPrefix(out, "STATE ") || strings.Count(out, "\n") != 2 || !strings.Contains(out, "unknown") || !strings.Contains(out, "keyed.v1.Ledger/Pay") || !strings.Contains(out, "k1") {
		t.Errorf("%s", out)
	}
	var listed struct{ Keys []admin.Key }
	out, _ := keys(0, "list", "--json", "--key", "k1")
	if err := json.Unmarshal([]byte(out), &listed); err != nil || len(listed.Keys) != 1 {
		t.Fatalf("%v %s", err, out)
	}
	if out, _ := keys(0, "list", "--json", "--key", "k2"); !strings.Contains(out, `"keys": []`) {
		t.Errorf("%s", out)
	}
	id := listed.Keys[0].ID
	if out, _ := keys(0, "show", id); !strings.Contains(out, `"state": "unknown"`) {
		t.Errorf("%s", out)
	}
	if out, _ := keys(0, "release", id); out != "released\n" {
		t.Errorf("%s", out)
	}
	if _, err := keys(1, "show", id); !strings.HasPrefix(err, "found no key with this id") {
		t.Errorf("%s", err)
	}
	if _, err := keys(1, "release", id); !strings.HasPrefix(err, "found no key with this id") {
		t.Errorf("%s", err)
	}
	for _, args := range [][]string{{"show", "k1"}, {"show", id + "00"}, {"release", "k1"}} {
		if _, err := keys(1, args...); !strings.Contains(err, "expected 64 hexadecimal digits") {
			t.Errorf("%v: %s", args, err)
		}
	}
	for asked, want := range map[string]string{
		"keyed.v1.Ledger/Pai": `"keyed.v1.Ledger/Pai" is no method or route with the policy idempotency_key; did you mean "keyed.v1.Ledger/Pay"?`,
		"nosuch":              `"nosuch" is no method or route with the policy idempotency_key, as "keyed.v1.Ledger/Pay" is`,
	} {
		if _, err := keys(1, "list", "--rpc", asked); !strings.Contains(err, want) {
			t.Errorf("%s: %s", asked, err)
		}
	}
	if out, _ := keys(0, "list", "--rpc", "keyed.v1.Ledger.Pay"); strings.Count(out, "\n") != 1 {
		t.Errorf("%s", out)
	}
	close(l.leave)
	if code, text := pay(t, http.DefaultClient, g.url, "k1"); code != http.StatusOK {
		t.Errorf("%d %s", code, text)
	}
	if _, err := keys(1, "release", id); !strings.Contains(err, "force") {
		t.Errorf("%s", err)
	}
	keys(0, "release", "--force", id)
	if audit := g.log.String(); strings.Count(audit, "key_release") != 5 || !strings.Contains(audit, "unknown") {
		t.Errorf("%s", audit)
	}
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	for address, want := range map[string]string{
		"127.0.0.1:1": "--admin",
		g.url:         "no admin listener is at " + g.url + ": found a listener for clients, which answers 404 Not Found",
		other.URL:     "is --admin its address?",
	} {
		if code, _, err := command(t, "keys", "list", "--admin", address); code != 1 || !strings.Contains(err, want) {
			t.Errorf("%s: %d %s", address, code, err)
		}
	}
}

// TestKeysWithout: Traffic 90: a gateway that keeps no keys says so, which is no failure of its own, and
// one that wants a token names the variable that has it.
func TestKeysWithout(t *testing.T) {
	dir := folder(t, map[string]string{"protos/keyed.proto": strings.ReplaceAll(keyedProto, " idempotency_key: { scope: METHOD required: true }", ""), "transom.yaml": `schemas: [{ directory: ./protos }]
upstreams: { ledger: { grpc: { target: "127.0.0.1:1" } } }
`})
	g := startGateway(t, input{config: filepath.Join(dir, "transom.yaml")})
	if code, _, err := command(t, "keys", "list", "--admin", g.admin); code != 1 || !strings.Contains(err, "neither a method nor a route has the policy idempotency_key") {
		t.Errorf("%d %s", code, err)
	}
	closed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "a token", http.StatusUnauthorized) }))
	defer closed.Close()
	for token, want := range map[string]string{
		"":              "wants a token: set the environment variable TRANSOM_ADMIN_TOKEN to one of admin.tokens",
		"another token": "does not take the token of the environment variable TRANSOM_ADMIN_TOKEN",
	} {
		t.Setenv("TRANSOM_ADMIN_TOKEN", token)
		for _, args := range [][]string{{"keys", "list"}, {"events", "tail"}} {
			if code, _, err := command(t, append(args, "--admin", closed.URL)...); code != 1 || !strings.Contains(err, want) {
				t.Errorf("%v with %q: %d %s", args, token, code, err)
			}
		}
	}
}
