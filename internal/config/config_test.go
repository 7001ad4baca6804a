package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
)

// update rewrites what the scenarios expect.
var update = os.Getenv("TRANSOM_UPDATE") != ""

func testEnv(name string) (string, bool) {
	value, ok := map[string]string{"PORT": "8080", "EMPTY": ""}[name]
	return value, ok
}

func load(t *testing.T, path string) (*File, Problems, []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, problems := Parse(path, data, testEnv)
	return f, problems, data
}

// TestBad plays testdata/bad: each file ends with the problems it has, as
// comments. TRANSOM_UPDATE=1 writes them.
func TestBad(t *testing.T) {
	paths, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	const mark = "# problems:\n"
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			_, problems, data := load(t, path)
			if strings.Contains(problems.Error(), "hunter2") {
				t.Errorf("a secret stands in the problems:\n%v", problems)
			}
			got := mark
			for _, p := range problems {
				p.File = filepath.Base(p.File)
				got += "#   " + p.String() + "\n"
			}
			input, want, _ := strings.Cut(string(data), mark)
			if update {
				if err := os.WriteFile(path, []byte(input+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if len(problems) == 0 {
				t.Error("no problems")
			}
			if d := cmp.Diff(mark+want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestGood plays testdata/good: each file has its Config as JSON beside it.
// TRANSOM_UPDATE=1 writes it.
func TestGood(t *testing.T) {
	paths, err := filepath.Glob("testdata/good/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			f, problems, _ := load(t, path)
			if err := problems.Err(); err != nil {
				t.Fatal(err)
			}
			compact, err := protojson.Marshal(f.Config)
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if err := json.Indent(&got, compact, "", "  "); err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(path, ".yaml") + ".json"
			if update {
				if err := os.WriteFile(golden, append(got.Bytes(), '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got.String()+"\n"); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestPositions(t *testing.T) {
	f, problems, data := load(t, "testdata/good/everything.yaml")
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(data), "\n")
	tests := []struct {
		path []any
		want string // what stands there
	}{
		{[]any{"admin", "address"}, `"-"`},
		{[]any{"listeners", 0, "address"}, `":${PORT}"`},
		{[]any{"listeners", 1, "tls", "client_ca"}, "../files/cert.pem, clientCa"},
		{[]any{"upstreams", "shelves", "grpc", "keepalive"}, "30s"},
		{[]any{"policies", 0, "policy"}, "{ timeout: 3s"},
		{[]any{"policies", 0, "policy", "timeout"}, "3s"},
		{[]any{"policies", 0, "policy", "rate_limit", 0, "key"}, "PRINCIPAL"},
		{[]any{"policies", 0, "policy", "rate_limit", 0, "cel"}, "{ requests"}, // not there: what is around it
		{[]any{"http_rules", 1, "additional_bindings", 0, "custom", "path"}, "/v3/book"},
	}
	for _, test := range tests {
		line, column := f.Position(test.path...)
		if line == 0 {
			t.Errorf("%v has no place", test.path)
			continue
		}
		if got := lines[line-1][column-1:]; !strings.HasPrefix(got, strings.Split(test.want, ", ")[0]) {
			t.Errorf("%v stands at %q, want %q", test.path, got, test.want)
		}
	}
	if got, want := f.Where("auth.jwt[1].secret"), "testdata/good/everything.yaml:46:"; !strings.HasPrefix(got, want) {
		t.Errorf("Where = %s, want %s…", got, want)
	}
}

func TestReferences(t *testing.T) {
	f, problems, _ := load(t, "testdata/good/everything.yaml")
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	want := []string{"testdata/files/secret", "testdata/files/key.pem", "testdata/files/redis"}
	if d := cmp.Diff(want, f.References); d != "" {
		t.Error(d)
	}
	if got := f.Config.Auth.Jwt[1].GetSecret(); got != "a-secret-of-thirty-two-bytes-or-more" {
		t.Errorf("secret %q", got)
	}
}

func TestLoad(t *testing.T) {
	if _, problems := Load("testdata/none.yaml"); len(problems) != 1 || !strings.Contains(problems.Error(), "testdata/none.yaml: there is no such file") {
		t.Error(problems)
	}
	if f, problems := Load("testdata/good/minimal.yaml"); problems.Err() != nil || f.Directory != "testdata/good" {
		t.Error(problems)
	}
	large := filepath.Join(t.TempDir(), "large.yaml")
	if err := os.WriteFile(large, make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, problems := Load(large); len(problems) != 1 || !strings.Contains(problems.Error(), "larger than") {
		t.Error(problems)
	}
}

// TestDesignExample reads the example of the design page, without the parts
// that are refused until they have an effect.
func TestDesignExample(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"cert.pem", "key.pem", "api.binpb"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "jwt"), []byte(strings.Repeat("x", minSecret)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "protos"), 0o700); err != nil {
		t.Fatal(err)
	}
	example := `
listeners:
  - address: ":8080"                     # HTTP/1.1 and cleartext HTTP/2 on one port
  - address: ":8443"
    tls: { certificate: cert.pem, key: key.pem }   # reloaded when the files change
    http3: true
admin: { address: "127.0.0.1:9901" }
schemas:
  - directory: ./protos                  # watched; a change is one atomic swap
  - descriptor_set: api.binpb
  - reflection: { upstream: books }
upstreams:
  books:  { grpc: { target: "dns:///books:50051" }, services: ["bookstore.v1.*"] }
  legacy: { http: { servers: ["10.0.0.5:3000", "10.0.0.6:3000"], health_check: { path: /healthz } } }
http_rules:                              # google.api.http rules for protos you cannot edit
  - { selector: bookstore.v1.BookstoreService.GetBook, get: "/v2/{name=shelves/*/books/*}" }
policies:                                # the same Policy message as in the options, for protos you cannot edit
  - selector: bookstore.v1.BookstoreService.*
    policy: { timeout: 3s, rate_limit: [{ requests: 100, per: 60s, burst: 20, key: PRINCIPAL }] }
routes:                                  # plain HTTP upstreams
  - match: { path_prefix: /legacy/ }
    upstream: legacy
    rewrite: { strip_prefix: /legacy }
    policy: { auth: { jwt: {} } }
auth:
  jwt:                                   # keys: one of jwks_url, jwks_file, public_key (PEM), secret (HMAC); any value may be file:PATH
    - { issuer: "https://id.example", audience: bookstore, jwks_url: "https://id.example/keys" }
    - { issuer: internal, audience: bookstore, secret: "file:` + dir + `/jwt" }
  session: { cookie: session_id, ttl: 1h }
stores: { redis: { url: "redis://127.0.0.1:6379/0" } }   # without it: in memory
events: { kafka: { brokers: ["localhost:9092"] }, nats: { url: "nats://localhost" } }
telemetry: { log: {}, otlp: {} }
compatibility: NONE                      # or GRPC_GATEWAY, ENVOY
`
	path := filepath.Join(dir, "transom.yaml")
	_, problems := Parse(path, []byte(example), nil)
	if len(problems) > 0 {
		t.Error(problems)
	}
}

func TestForFlags(t *testing.T) {
	f := ForFlags([]string{"testdata/files/protos"}, []string{"testdata/files/api.binpb"}, true, "localhost:50051", "", "")
	if err := f.Check().Err(); err != nil {
		t.Fatal(err)
	}
	got, err := protojson.Marshal(f.Config)
	if err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, got); err != nil {
		t.Fatal(err)
	}
	want := `{"listeners":[{"address":":8080"}],"admin":{"address":"127.0.0.1:9901"},"schemas":[{"directory":"testdata/files/protos"},` +
		`{"descriptorSet":"testdata/files/api.binpb"},{"reflection":{"upstream":"default","poll":"30s"}}],` +
		`"upstreams":{"default":{"grpc":{"target":"localhost:50051","connections":1},"services":["*"]}},"shutdownTimeout":"30s"}`
	if d := cmp.Diff(want, compact.String()); d != "" {
		t.Error(d)
	}
	f = ForFlags([]string{"testdata/none"}, []string{"testdata"}, false, "localhost", "nowhere", "elsewhere")
	want = strings.Join([]string{
		`--admin: found "elsewhere", expected "host:port", such as "127.0.0.1:9901", or "unix:/path"`,
		`--descriptor-set: testdata is a folder, expected a file`,
		`--listen: found "nowhere", expected "host:port", ":port", "unix:/path" or "systemd:NAME"`,
		`--upstream: found "localhost", expected "host:port", "dns:///host:port", "unix:/path", "srv:///name", "file:///path" or "k8s:///service.namespace:port"`,
		`testdata/none: there is no such folder`,
	}, "\n")
	if d := cmp.Diff(want, f.Check().Error()); d != "" {
		t.Error(d)
	}
}

// FuzzParse holds that no input makes Parse panic or hang, and that each problem
// has a place in it.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.yaml", "testdata/bad/*.yaml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, problems := Parse("testdata/good/fuzz.yaml", data, testEnv)
		if file == nil && len(problems) == 0 {
			t.Fatal("neither a file nor a problem")
		}
		for _, p := range problems {
			if p.Line < 1 || p.Column < 1 || p.Message == "" {
				t.Fatalf("%+v", p)
			}
		}
	})
}

// TestBounds holds that a hostile file costs no more than a large one, and that
// the list of problems ends.
func TestBounds(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString("trusted_proxies: &a0 [10.0.0.0/8]\nhttp_rules:\n- &b0 { selector: a.B.C, get: /a }\n")
	for i := range 40 { // each names the one before it twice
		fmt.Fprintf(&bomb, "- &b%d { additional_bindings: [*b%d, *b%d] }\n", i+1, i, i)
	}
	tests := []struct {
		name, input, want string
	}{
		{"aliases of aliases", bomb.String(), "found more than 100000 values"},
		{"many problems", "trusted_proxies: [" + strings.Repeat("x, ", 50_000) + "]", `found "x", expected an address range`},
		{"many broken values", "trusted_proxies: [" + strings.Repeat("[], ", 50_000) + "]", "found a list, expected a text"},
		{"deep", "defaults: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000), "found a list, expected a mapping"},
		{"deeper than the parser goes", strings.Repeat("[", 20_000), "not YAML: exceeded max depth"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, problems := Parse("a.yaml", []byte(test.input), nil)
			if len(problems) > 2*maxProblems || !strings.Contains(problems.Error(), test.want) {
				t.Errorf("%d problems, the first %.300s", len(problems), problems.Error())
			}
		})
	}
}

func TestExpand(t *testing.T) {
	env := func(name string) (string, bool) {
		value, ok := map[string]string{"A": "1", "_b2": "two", "EMPTY": ""}[name]
		return value, ok
	}
	tests := []struct{ text, want, err string }{
		{text: "plain", want: "plain"},
		{text: "${A}-${_b2}", want: "1-two"},
		{text: "${EMPTY}", want: ""},
		{text: "${EMPTY:-x}${NONE:-y}${A:-z}", want: "xy1"},
		{text: "${NONE:-}", want: ""},
		{text: "${NONE:-a:-b}", want: "a:-b"},
		{text: "$$ $${A} $a a$ $", want: "$ ${A} $a a$ $"},
		{text: "${A", err: `"${" without "}"`},
		{text: "${1}", err: "no name of a variable"},
		{text: "${A.B}", err: "no name of a variable"},
		{text: "${NONE}", err: "NONE is not set"},
	}
	for _, test := range tests {
		got, err := expand(test.text, env, func(string) bool { return false })
		if got != test.want || (err != nil) != (test.err != "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("expand(%q) = %q, %v", test.text, got, err)
		}
	}
}
