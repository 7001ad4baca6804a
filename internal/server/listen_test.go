package server_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/gateway"
	"github.com/transom-gateway/transom/internal/observe"
	"github.com/transom-gateway/transom/internal/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// options are those of a server for this configuration, whose gateway has loaded
// nothing yet.
func options(t *testing.T, text string, log io.Writer) server.Options {
	t.Helper()
	path := filepath.Join(t.TempDir(), "transom.yaml")
	if err := os.WriteFile(path, []byte(text+"schemas: [{ directory: . }]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, problems := config.Load(path)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	telemetry, err := observe.Setup(nil, "test", log)
	if err != nil {
		t.Fatal(err)
	}
	g := gateway.New(gateway.Options{Load: func() (*config.File, error) { return file, nil }, Telemetry: telemetry, Version: "test"})
	t.Cleanup(g.Close)
	return server.Options{File: file, Gateway: g, Telemetry: telemetry, NotReloaded: server.NewNotReloaded(telemetry), Version: "test"}
}

// TestListenOpensAllOrNone: where one address cannot be had the others are given back,
// and the error says where the address stands.
func TestListenOpensAllOrNone(t *testing.T) {
	var taken [2]string
	for i := range taken {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		taken[i] = l.Addr().String()
	}
	folder, err := os.MkdirTemp("", "listen-") // that of the test may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	socket := filepath.Join(folder, "s")
	text := "listeners:\n  - address: \"unix:" + socket + "\"\n  - address: \"" + taken[0] + "\"\nadmin: { address: \"" + taken[1] + "\" }\n"
	for name, c := range map[string]struct {
		where func(string) string
		want  []string
	}{
		"in the file": {nil, []string{"transom.yaml:3:", "transom.yaml:4:"}},
		"by flags":    {func(path string) string { return "--" + path }, []string{"--listeners[1]: ", "--admin: "}},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t, text, io.Discard)
			o.Where = c.where
			s, err := server.Listen(o)
			if err == nil {
				_ = s.Close()
				t.Fatal("it listens where another one does")
			}
			for _, want := range append(c.want, "another program listens there") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in: %v", want, err)
				}
			}
			if _, err := os.Lstat(socket); err == nil {
				t.Error("the socket is still there")
			}
		})
	}
}

// TestServerFromStartToEnd has clients and the operator served, and ends the server in
// both ways.
func TestServerFromStartToEnd(t *testing.T) {
	for name, end := range map[string]func(context.Context, *server.Server) error{
		"shutdown": func(ctx context.Context, s *server.Server) error { return s.Shutdown(ctx) },
		"close":    func(_ context.Context, s *server.Server) error { return s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			s, err := server.Listen(options(t, "listeners: [{ address: \"127.0.0.1:0\" }]\nadmin: { address: \"127.0.0.1:0\" }\n", &log))
			if err != nil {
				t.Fatal(err)
			}
			s.Start()
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			addresses := append(s.Addresses(), s.Admin())
			for i, want := range []string{`"code":14`, "no configuration"} {
				if got := get(t, client, "http://"+addresses[i].String()+"/readyz"); !strings.Contains(got, want) {
					t.Errorf("%s answers %q, want %q in it", addresses[i], got, want)
				}
			}
			limited, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := end(limited, s); err != nil {
				t.Error(err)
			}
			if !s.Draining() {
				t.Error("it ended without draining")
			}
			for _, a := range addresses {
				if c, err := net.Dial(a.Network(), a.String()); err == nil {
					_ = c.Close()
					t.Errorf("somebody listens at %s still", a)
				}
			}
			if told := strings.Contains(log.String(), `"msg":"stopped"`); told != (name == "shutdown") {
				t.Errorf("the log: %s", log.String())
			}
		})
	}
}

func get(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
