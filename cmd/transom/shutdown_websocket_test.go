package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// deafWebSocket opens a WebSocket of a client that says what it wants and never reads
// anything again, a close frame either.
func deafWebSocket(t *testing.T, url, path string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_, err = io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"+
		"\x81\x82\x00\x00\x00\x00{}") // a text frame, masked with zeros
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close() // it is that of a connection which is a WebSocket now
	if response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(response.Status)
	}
}

// TestShutdownWithDeafWebSockets: clients that never answer the close frame hold up no
// process beyond its shutdown_timeout, and the log counts them (Semantics 320).
func TestShutdownWithDeafWebSockets(t *testing.T) {
	bin := buildTransom(t)
	const ended = `"msg":"calls in flight are ended, as shutdown_timeout is over","calls":3`
	for name, test := range map[string]struct {
		timeout string
		code    int
		says    []string
		silent  string
	}{
		"the answer is waited for, but not for long": {"30s", 0, []string{`"limit":"30s"`, `"calls":0,"streams":0}`}, ended},
		"shutdown_timeout ends before that":          {"5s", 0, []string{`"limit":"5s"`, ended, `"calls":0,"streams":0}`}, "still in flight"},
		"shutdown_timeout ends at once":              {"1ms", exitProblem, []string{`"limit":"1ms"`, `"calls":0,"streams":3}`, "\n3 calls were still in flight: context deadline exceeded\n"}, "--help"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of the time they wait
			target, u := startUploads(t)
			dir := t.TempDir()
			write(t, filepath.Join(dir, "u.proto"), uploadProto)
			config := filepath.Join(dir, "transom.yaml")
			write(t, config, fmt.Sprintf("listeners: [{ address: \"127.0.0.1:0\" }]\nadmin: { address: \"127.0.0.1:0\" }\nschemas: [{ directory: . }]\n"+
				"shutdown_timeout: %s\nupstreams: { u: { grpc: { target: %q } } }\n", test.timeout, target))
			gateway := startConfigured(t, bin, config)
			for range 3 {
				deafWebSocket(t, gateway.url, "/u.v1.U/Watch")
				<-u.began
			}
			err := gateway.end()
			var exit *exec.ExitError
			if errors.As(err, &exit) && exit.ExitCode() != test.code || (err == nil) != (test.code == 0) {
				t.Errorf("%v, want %d", err, test.code)
			}
			log := gateway.log.String()
			for _, want := range append(test.says, `"msg":"draining: the gateway is shutting down","calls":0,"streams":3`, `"msg":"stopped"`) {
				if !strings.Contains(log, want) {
					t.Errorf("the log lacks %s:\n%s", want, log)
				}
			}
			if strings.Contains(log, test.silent) {
				t.Errorf("the log says %s:\n%s", test.silent, log)
			}
		})
	}
}
