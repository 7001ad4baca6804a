package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
)

// TestEffective: Surface 234: the configuration in effect is YAML that means the same, but for secrets, which
// are masked wherever they stand; each line says where it comes from.
func TestEffective(t *testing.T) {
	const text = `listeners: [{ address: ":${PORT:-8080}", idle_timeout: 90s }]
admin: { tokens: [{ name: ops, token: "a token that operates", role: OPERATE }] }
schemas: [{ directory: . }]
upstreams:
  books: { grpc: { target: "a:1", balancing: { sticky: { cookie: c, secret: "hunter2 hunter2 hunter2 hunter2 hunter2" } } } }
  "odd name": { http: { servers: ["b:1", "c:1"] } }
auth: { jwt: [{ issuer: "no", secret: "hunter2 hunter2 hunter2 hunter2 hunter2" }] }
stores: { redis: { url: "redis://user:hunter2@r:6379/0" } }
policies: [{ selector: "*", policy: { timeout: 1500ms, auth: { anonymous: {} } } }]
`
	env := func(string) (string, bool) { return "", false }
	file, problems := Parse("transom.yaml", []byte(text), env)
	if file == nil {
		t.Fatal(problems)
	}
	var all []string
	where := map[string]string{}
	for _, line := range file.Effective() {
		all = append(all, line.Text)
		where[strings.TrimSpace(line.Text)] = line.Where
	}
	yaml := strings.Join(all, "\n") + "\n"
	if strings.Contains(yaml, "hunter2") || strings.Contains(yaml, "that operates") {
		t.Errorf("a secret is told:\n%s", yaml)
	}
	for line, want := range map[string]string{
		`- address: ":8080"`:               "transom.yaml:1:24",
		"idle_timeout: 1m30s":              "transom.yaml:1:56",
		`token: "(masked)"`:                "transom.yaml:2:39",
		`"odd name":`:                      "transom.yaml:6:15",
		`servers: ["b:1", "c:1"]`:          "transom.yaml:6:34",
		`- issuer: "no"`:                   "transom.yaml:7:25",
		`url: "redis://(masked)@r:6379/0"`: "transom.yaml:8:25",
		"timeout: 1.5s":                    "transom.yaml:9:48",
		"anonymous: {}":                    "transom.yaml:9:75",
	} {
		if got, ok := where[line]; !ok || got != want {
			t.Errorf("%s comes from %q, expected %q", line, got, want)
		}
	}
	again, _ := Parse("again.yaml", []byte(yaml), env)
	if again == nil {
		t.Fatalf("what is in effect cannot be read again:\n%s", yaml)
	}
	for _, f := range []*File{file, again} { // which differ in these alone
		f.Config.Auth, f.Config.Admin, f.Config.Stores, f.Config.GetUpstreams()["books"].GetGrpc().Balancing = nil, nil, nil, nil
	}
	if !proto.Equal(file.Config, again.Config) {
		t.Errorf("what is in effect means something else:\n%v\n%v", file.Config, again.Config)
	}
}

// TestEffectiveTellsNoReference: Surface 234: what a file: reference leads to is masked.
func TestEffectiveTellsNoReference(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "s"), []byte(strings.Repeat("hunter2", 6)), 0o600); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "transom.yaml")
	file, _ := Parse(name, []byte("schemas: [{ directory: . }]\nauth: { jwt: [{ issuer: i, secret: \"file:s\" }] }\n"), nil)
	for _, line := range file.Effective() {
		if strings.Contains(line.Text, "hunter2") {
			t.Error(line.Text)
		}
	}
}
