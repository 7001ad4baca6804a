package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/server"
	"github.com/transom-gateway/transom/internal/testing/logtext"
)

// command runs one command line in this process.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), args, streams{in: strings.NewReader(""), out: &out, err: &err})
	return code, out.String(), err.String()
}

// folder writes files into a new folder.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const goodProto = `syntax = "proto3";
package p.v1;
import "google/api/annotations.proto";
service S {
  rpc Get(Message) returns (Message) { option (google.api.http) = { get: "/v1/{name=things/*}" }; }
  rpc List(Message) returns (stream Message) { option (google.api.http) = { get: "/v1/things" }; }
}
message Message { string name = 1; int32 n = 2; repeated string list = 3; }
`

func TestVersion(t *testing.T) {
	if code, out, _ := command(t, "version"); code != 0 || !strings.HasPrefix(out, "transom ") {
		t.Errorf("%d %q", code, out)
	}
}

func TestWrongUsage(t *testing.T) {
	for line, want := range map[string]string{
		"nothing":                        `transom: unknown command "nothing" for "transom"`,
		"serve --nothing":                "transom: unknown flag: --nothing\nSee 'transom serve --help'.",
		"serve --upstrem localhost:1":    "transom: unknown flag: --upstrem; did you mean --upstream?\nSee",
		"serve ./protos":                 "transom: serve needs --upstream",
		"check --reflect":                "transom: --reflect needs --upstream",
		"routes template/transom.yaml":   `transom: found "template/transom.yaml", which is a file; a configuration is named by --config template/transom.yaml`,
		"check --config a.yaml ./protos": "transom: --config goes alone",
		"explain GET":                    "transom: found 1 argument, expected a method, a path, then folders: transom explain METHOD PATH [FOLDER...] [flags]",
		"explain GET v1/x ./protos":      `transom: found the path "v1/x", expected one that begins with a slash`,
		"explain GET /v1/x#y ./protos":   `transom: found the path "/v1/x#y", expected one without # and spaces, which are written %23 and %20`,
		"init":                           "transom: found 0 arguments, expected the folder to write: transom init DIR",
		"version now":                    "transom: found 1 argument, expected none: transom version",
		"call":                           "transom: found 0 arguments, expected a method, then folders: transom call",
	} {
		if code, _, err := command(t, strings.Fields(line)...); code != exitUsage || !strings.HasPrefix(err, want) {
			t.Errorf("%s: exit code %d, %q", line, code, err)
		}
	}
}

// What the command line says is named as it was typed, and once.
func TestWrongFlags(t *testing.T) {
	dir := folder(t, map[string]string{"p.proto": goodProto, "set.binpb": "x"})
	none := filepath.Join(dir, "none")
	for line, want := range map[string]string{
		"check " + none:                                             none + ": there is no such folder\n",
		"check " + filepath.Join(dir, "p.proto"):                    filepath.Join(dir, "p.proto") + " is a file, expected a folder\n",
		"check --descriptor-set " + none:                            "--descriptor-set: " + none + ": there is no such file\n",
		"check " + dir + " --upstream localhost":                    `--upstream: found "localhost", expected "host:port", "dns:///host:port", "unix:/path", "srv:///name", "file:///path" or "k8s:///service.namespace:port"` + "\n",
		"serve " + dir + " --upstream a:1 --listen 8080":            `--listen: found "8080", expected "host:port", ":port", "unix:/path" or "systemd:NAME"; did you mean ":8080"?` + "\n",
		"serve " + dir + " --upstream a:1 --listen :0 --admin here": `--admin: found "here", expected "host:port", such as "127.0.0.1:9901", or "unix:/path"` + "\n",
		"serve --config " + filepath.Join(dir, "none.yaml"):         "cannot read the configuration: " + filepath.Join(dir, "none.yaml") + ": there is no such file; `transom init DIR` writes one to start from\n",
		"check --config " + dir:                                     "cannot read the configuration: " + dir + " is a folder, expected a file\n",
	} {
		if code, _, err := command(t, strings.Fields(line)...); code != exitProblem || err != want {
			t.Errorf("%s: exit code %d, %q, want %q", line, code, err, want)
		}
	}
}

func TestInit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	if code, _, err := command(t, "init", dir); code != 0 {
		t.Fatal(err)
	}
	if code, out, err := command(t, "check", "--config", filepath.Join(dir, "transom.yaml")); code != 0 {
		t.Error(out, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "transom.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	// What stands there as comments is right without the marks.
	plain := regexp.MustCompile(`(?m)^( *)# ( *(?:- )?[a-z]+:.*)$`).ReplaceAllString(string(text), "$1$2")
	if err := os.WriteFile(filepath.Join(dir, "plain.yaml"), []byte(plain), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, err := command(t, "check", "--config", filepath.Join(dir, "plain.yaml")); code != 0 || out != "ok: 2 routes\n" {
		t.Errorf("%s%s\n%s", out, err, plain)
	}
	if code, _, err := command(t, "init", dir); code != exitProblem || !strings.Contains(err, "overwrites nothing") {
		t.Errorf("%d %s", code, err)
	}
}

// running is a command that serves in the background.
type running struct {
	url, admin string
	stop       func() int
	log        *logtext.Text
}

// startDemo runs the demo until stop or the end of the test.
func startDemo(t *testing.T) *running {
	t.Helper()
	in := input{listen: "127.0.0.1:0", admin: "127.0.0.1:0"}
	return startServing(t, func(ctx context.Context, s streams, started func(*server.Server)) error {
		return demo(ctx, in, s, false, started)
	})
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func TestPortInUse(t *testing.T) {
	demo := startDemo(t)
	dir := folder(t, map[string]string{"p.proto": goodProto})
	code, _, err := command(t, "serve", dir, "--upstream", "localhost:1", "--listen", strings.TrimPrefix(demo.url, "http://"), "--admin", "-")
	if code != exitProblem || !strings.Contains(err, "--listen: listen tcp ") || !strings.Contains(err, "address already in use: another program listens there; end it, or choose another address\n") {
		t.Errorf("%d %s", code, err)
	}
}
