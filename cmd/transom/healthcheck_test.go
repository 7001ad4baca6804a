package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/server"
)

// TestHealthcheck: Surface 281: the configuration says where to ask, also while it cannot be
// used; the exit code says how the gateway is.
func TestHealthcheck(t *testing.T) {
	var status int
	admin := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte("at " + r.URL.Path + "\n")) // the test is gone
	})
	plain, secure := httptest.NewServer(admin), httptest.NewTLSServer(admin)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	dir, err := os.MkdirTemp("", "t") // names of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket, err := net.Listen("unix", filepath.Join(dir, "admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	local := &http.Server{Handler: admin} //nolint:gosec // its only client is the test
	go func() { _ = local.Serve(socket) }()
	t.Cleanup(func() { _ = local.Close() })
	at, atSecure := plain.Listener.Addr().String(), secure.Listener.Addr().String()
	_, port, _ := net.SplitHostPort(at)
	for name, test := range map[string]struct {
		config string
		args   []string
		status int
		code   int
		want   string
	}{
		"alive":                        {`admin: { address: "` + at + `" }`, nil, 200, 0, "at /healthz\n"},
		"every address":                {`admin: { address: "0.0.0.0:` + port + `" }`, nil, 200, 0, "at /healthz\n"},
		"ready":                        {`admin: { address: "` + at + `" }`, []string{"--ready"}, 200, 0, "at /readyz\n"},
		"not ready":                    {`admin: { address: "` + at + `" }`, []string{"--ready"}, 503, 1, at + " answers 503 Service Unavailable: at /readyz\n"},
		"TLS":                          {`admin: { address: "` + atSecure + `", tls: { certificate: none.pem, key: none.pem } }`, nil, 200, 0, "at /healthz\n"},
		"unix":                         {`admin: { address: "unix:` + socket.Addr().String() + `" }`, nil, 200, 0, "at /healthz\n"},
		"the flag":                     {"admin: { address: \"-\" }", []string{"--addr", "https://" + atSecure}, 200, 0, "at /healthz\n"},
		"a setting that is no such":    {"nonsense: 1\nadmin: { address: \"" + at + "\" }", nil, 200, 0, "at /healthz\n"},
		"nobody answers":               {`admin: { address: "` + silent.Addr().String() + `" }`, nil, 0, 1, "no answer within 2s"},
		"nobody is there":              {`admin: { address: "127.0.0.1:1" }`, nil, 0, 1, "connection refused"},
		"no admin listener":            {`admin: { address: "-" }`, nil, 0, 1, "the configuration has no admin listener"},
		"a free port":                  {`admin: { address: "127.0.0.1:0" }`, nil, 0, 1, "at a free port (127.0.0.1:0)"},
		"a file that is being written": {"\t:", nil, 0, -1, "asking 127.0.0.1:9901"},
	} {
		t.Run(name, func(t *testing.T) {
			status = test.status
			path := filepath.Join(t.TempDir(), "transom.yaml")
			write(t, path, test.config+"\n")
			code, out, told := command(t, append([]string{"healthcheck", "--config", path}, test.args...)...)
			if code != test.code && test.code >= 0 || !strings.Contains(out+told, test.want) {
				t.Errorf("%d %s%s, want %d %s", code, out, told, test.code, test.want)
			}
		})
	}
}

// TestHealthcheckOfGateway: Surface 281: a gateway that serves is alive and ready.
func TestHealthcheckOfGateway(t *testing.T) {
	in := input{folders: []string{folder(t, map[string]string{"p.proto": goodProto})}, upstream: "localhost:1", listen: "127.0.0.1:0", admin: "127.0.0.1:0"}
	gateway := startServing(t, func(ctx context.Context, s streams, started func(*server.Server)) error {
		return serve(ctx, in.load, s, started)
	})
	if code, out, told := command(t, "healthcheck", "--ready", "--addr", gateway.admin); code != 0 || out != "ready\n" {
		t.Errorf("%d %s%s", code, out, told)
	}
}
