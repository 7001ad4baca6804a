package server_test

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/admin"
	"github.com/transom-gateway/transom/internal/gateway"
	"github.com/transom-gateway/transom/internal/server"
)

// TestOperated: Surface 231, 237 and 267: the configuration's tokens decide who is let in, and
// its file gets the lines of the audit log, those of reloads that nobody asked for
// here among them. No other file is written.
func TestOperated(t *testing.T) {
	audit := filepath.Join(t.TempDir(), "audit.jsonl")
	o := options(t, `listeners: [{ address: "127.0.0.1:0" }]
upstreams: { books: { grpc: { target: "127.0.0.1:1" } } }
maintenance: [{ name: books }]
admin:
  address: "0.0.0.0:0"
  tokens: [{ name: ops, token: "a token that operates", role: OPERATE }, { name: eye, token: "a token that reads" }]
  audit: { file: "`+audit+`", fsync: true }
`, io.Discard)
	const proto = `syntax = "proto3"; package p; message M {} service S { rpc Get(M) returns (M); }`
	if err := os.WriteFile(filepath.Join(filepath.Dir(o.File.Path), "p.proto"), []byte(proto), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Gateway.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := server.Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer func() { _ = s.Close() }()
	before := contents(t, filepath.Dir(o.File.Path))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	_, port, _ := strings.Cut(strings.TrimPrefix(s.Admin().String(), "[::]"), ":")
	ask := func(method, path, token string) int {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:"+port+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		return response.StatusCode
	}
	for _, test := range []struct {
		method, path, token string
		want                int
	}{
		{"GET", "/healthz", "", 200},
		{"GET", "/upstreams", "", 401},
		{"GET", "/upstreams", "a token that reads", 200},
		{"POST", "/upstreams/books/endpoint?address=127.0.0.1:1&state=out", "a token that reads", 403},
		{"POST", "/upstreams/books/endpoint?address=127.0.0.1:1&state=out", "a token that operates", 200},
		{"POST", "/upstreams/books/endpoint?address=127.0.0.1:2&state=out", "a token that operates", 404},
		{"POST", "/upstreams/boks/endpoint?address=127.0.0.1:1&state=out", "a token that operates", 404},
		{"POST", "/upstreams/books/circuit?state=open", "a token that operates", 404},
		{"GET", "/maintenance", "a token that reads", 200},
		{"POST", "/maintenance/books?state=on", "a token that reads", 403},
		{"POST", "/maintenance/books?state=on", "a token that operates", 200},
		{"POST", "/maintenance/books?state=maybe", "a token that operates", 400},
		{"POST", "/maintenance/boks?state=on", "a token that operates", 404},
	} {
		if got := ask(test.method, test.path, test.token); got != test.want {
			t.Errorf("%s %s with %q: %d, want %d", test.method, test.path, test.token, got, test.want)
		}
	}
	s1 := o.Gateway.Status()
	s.Reloaded("SIGHUP", nil, gateway.Change{}, nil)
	s.Reloaded("SIGHUP", s1, gateway.Change{}, errors.New("a\nb"))
	s.Reloaded("a change of files or servers", s1, gateway.Change{}, nil) // which changed nothing
	if after := contents(t, filepath.Dir(o.File.Path)); !maps.Equal(after, before) {
		t.Errorf("operations have changed files: %q, before %q", after, before)
	}
	lines, err := os.ReadFile(audit)
	if err != nil {
		t.Fatal(err)
	}
	var events []string
	for line := range strings.Lines(string(lines)) {
		var e admin.Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		events = append(events, strings.TrimSpace(e.Event+" "+e.Who))
	}
	if got, want := strings.Join(events, ", "), "auth_failed, auth_failed token eye, endpoint token ops, endpoint token ops, endpoint token ops, circuit token ops, auth_failed token eye, maintenance token ops, maintenance token ops, maintenance token ops, reload SIGHUP, reload SIGHUP"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// contents are those of the files of a folder, by their names.
func contents(t *testing.T, folder string) map[string]string {
	t.Helper()
	all := map[string]string{}
	names, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || len(names) == 0 {
		t.Fatalf("%s has %d files, %v", folder, len(names), err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(text)
	}
	return all
}
