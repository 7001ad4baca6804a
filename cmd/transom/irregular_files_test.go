package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/keytest"
)

// irregular are what may stand in the place of a file, by how it is put there.
var irregular = map[string]func(path string) error{
	"a pipe":   func(path string) error { return syscall.Mkfifo(path, 0o600) },
	"a folder": func(path string) error { return os.Mkdir(path, 0o700) },
	"a file of a terabyte": func(path string) error {
		return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 1<<40)) // it takes no room
	},
}

// irregularFiles are the files that a gateway is made of, by name, and what is said of
// each in whose place something else stands.
var irregularFiles = map[string]map[string]string{
	"transom.yaml": {
		"a pipe": "transom.yaml is no regular file, but a pipe, a socket or a device; write it to a file", "a folder": "transom.yaml is a folder, expected a file",
		"a file of a terabyte": "transom.yaml is larger than 4194304 bytes",
	},
	"secret": {
		"a pipe":   "auth.jwt[0].secret: cannot read the file it refers to: read DIR/secret: is no regular file, but a pipe, a socket or a device",
		"a folder": "auth.jwt[0].secret: cannot read the file it refers to: read DIR/secret: is a directory", "a file of a terabyte": "DIR/secret is larger than 4194304 bytes",
	},
	"jwks.json": {
		"a pipe": "auth.jwt[1].jwks_file: read DIR/jwks.json: is no regular file, but a pipe, a socket or a device", "a folder": "jwks.json is a folder, expected a file",
		"a file of a terabyte": "auth.jwt[1].jwks_file: read DIR/jwks.json: more than 1048576 bytes",
	},
	"ca.pem": {
		"a pipe": "ca: read DIR/ca.pem: is no regular file, but a pipe, a socket or a device", "a folder": "ca.pem is a folder, expected a file",
		"a file of a terabyte": "ca: read DIR/ca.pem: more than 1048576 bytes",
	},
	"protos/q.proto": {
		"a pipe": "DIR/protos/q.proto: is no regular file", "a folder": "", // a folder may have any name
		"a file of a terabyte": "DIR/protos/q.proto: is 1099511627776 bytes long; a .proto file may have 16777216",
	},
	"cert.pem": {
		"a pipe": "certificate DIR/cert.pem and key DIR/key.pem: read DIR/cert.pem: is no regular file, but a pipe, a socket or a device", "a folder": "cert.pem is a folder, expected a file",
		"a file of a terabyte": "read DIR/cert.pem: more than 1048576 bytes",
	},
}

// irregularFolder writes a configuration with all files of irregularFiles, each as it
// should be.
func irregularFolder(t *testing.T) string {
	t.Helper()
	cert, key := keytest.Certificate(t, "first.example")
	return folder(t, map[string]string{
		"cert.pem": cert, "key.pem": key, "ca.pem": cert, "secret": strings.Repeat("s", 32), "protos/p.proto": goodProto,
		"protos/q.proto": "syntax = \"proto3\"; package q; message M {}\n",
		"jwks.json":      `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`,
		"transom.yaml": `listeners: [{ address: "127.0.0.1:0" }, { address: "127.0.0.1:0", tls: { certificate: cert.pem, key: key.pem } }]
admin: { address: "127.0.0.1:0" }
schemas: [{ directory: protos }]
upstreams: { s: { grpc: { target: "localhost:1", tls: { ca: ca.pem } } } }
defaults: { auth: { jwt: {} } }
auth: { jwt: [{ issuer: a, audience: a, secret: "file:secret" }, { issuer: b, audience: b, jwks_file: jwks.json }] }
`,
	})
}

// TestIrregularFilesAtStart: what is no file of a size that it may have ends a start with
// an error that names it, and is waited for by nobody (Semantics 322).
func TestIrregularFilesAtStart(t *testing.T) {
	bin := buildTransom(t)
	for file, kinds := range irregularFiles {
		for kind, want := range kinds {
			if want == "" {
				continue
			}
			t.Run(file+" is "+kind, func(t *testing.T) {
				dir := irregularFolder(t)
				path := filepath.Join(dir, file)
				if err := errors.Join(os.Remove(path), irregular[kind](path)); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), processPatience)
				defer cancel()
				out, err := exec.CommandContext(ctx, bin, "serve", "--config", filepath.Join(dir, "transom.yaml")).CombinedOutput()
				var code *exec.ExitError
				if !errors.As(err, &code) || code.ExitCode() != exitProblem || !strings.Contains(string(out), strings.ReplaceAll(want, "DIR", dir)) {
					t.Errorf("%v: %s\nwant %q", err, out, want)
				}
			})
		}
	}
}

// TestIrregularFilesAtReload: a running gateway names what is no file any more, serves on
// by what was there before, and ends when it is asked to (Semantics 322).
func TestIrregularFilesAtReload(t *testing.T) {
	bin := buildTransom(t)
	for kind, put := range irregular {
		t.Run(kind, func(t *testing.T) {
			dir := irregularFolder(t)
			gateway := startConfigured(t, bin, filepath.Join(dir, "transom.yaml"))
			for file, kinds := range irregularFiles {
				want := strings.ReplaceAll(kinds[kind], "DIR", dir)
				if want == "" {
					continue
				}
				path := filepath.Join(dir, file)
				if err := errors.Join(os.Rename(path, path+".good"), put(path)); err != nil {
					t.Fatal(err)
				}
				said := reloaded(t, gateway.admin) + body(t, gateway.admin+"/readyz?verbose")
				if !strings.Contains(said, want) {
					t.Errorf("%s: %s\nwant %q", file, said, want)
				}
				if code, _ := get(t, gateway.url+"/v1/things/1"); code != http.StatusUnauthorized {
					t.Errorf("%s: a call is answered with %d", file, code)
				}
				if err := errors.Join(os.RemoveAll(path), os.Rename(path+".good", path)); err != nil {
					t.Fatal(err)
				}
			}
			if said := reloaded(t, gateway.admin) + body(t, gateway.admin+"/readyz?verbose"); !strings.Contains(said, "last reload: ok\n") || strings.Contains(said, "not reloaded") {
				t.Errorf("after all is mended: %s", said)
			}
			path := filepath.Join(dir, "transom.yaml")
			if err := errors.Join(os.Remove(path), put(path)); err != nil {
				t.Fatal(err)
			}
			gateway.stop()
		})
	}
}

// reloaded asks a gateway to reload, and returns what it says.
func reloaded(t *testing.T, admin string) string {
	t.Helper()
	return answerTo(t, http.MethodPost, admin+"/reload")
}

// startConfigured runs `transom serve --config`.
func startConfigured(t *testing.T, bin, config string) *process {
	t.Helper()
	return startCommand(t, bin, "serve", "--config", config)
}

// unprivileged is a command whose process may read only what the modes of files let it:
// root's may read all as long as it has the capabilities to.
func unprivileged(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	if os.Geteuid() == 0 {
		args = append([]string{"--bounding-set", "-dac_override,-dac_read_search", "--", name}, args...)
		name = "setpriv" // of util-linux
	}
	return exec.CommandContext(t.Context(), name, args...)
}

// TestUnreadableFilesAtStart: files that the process has no right to read end a start, and
// check, with an error that names them (Semantics 322).
func TestUnreadableFilesAtStart(t *testing.T) {
	bin := buildTransom(t)
	for file, want := range map[string]string{
		"transom.yaml":   "cannot read the configuration: open DIR/transom.yaml: permission denied",
		"secret":         "auth.jwt[0].secret: cannot read the file it refers to: open DIR/secret: permission denied",
		"jwks.json":      "auth.jwt[1].jwks_file: open DIR/jwks.json: permission denied",
		"ca.pem":         "ca: open DIR/ca.pem: permission denied",
		"protos/q.proto": "DIR/protos/q.proto: cannot be read: permission denied",
		"key.pem":        "certificate DIR/cert.pem and key DIR/key.pem: open DIR/key.pem: permission denied",
	} {
		t.Run(file, func(t *testing.T) {
			dir := irregularFolder(t)
			if err := os.Chmod(filepath.Join(dir, file), 0); err != nil {
				t.Fatal(err)
			}
			for _, command := range []string{"serve", "check"} {
				out, err := unprivileged(t, bin, command, "--config", filepath.Join(dir, "transom.yaml")).CombinedOutput()
				var code *exec.ExitError
				if !errors.As(err, &code) || code.ExitCode() != exitProblem || !strings.Contains(string(out), strings.ReplaceAll(want, "DIR", dir)) {
					t.Errorf("%s: %v: %s\nwant %q", command, err, out, want)
				}
			}
		})
	}
}
