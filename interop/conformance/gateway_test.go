package conformance

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// setup is what a gateway is started with.
type setup struct {
	// target is "host:port" of the backend, and ca, certificate and key, in PEM, are
	// what its TLS needs.
	target               string
	ca, certificate, key []byte
	// servesCertificate, servesKey and clientCA, in PEM, are for the gateway's own
	// TLS.
	servesCertificate, servesKey, clientCA []byte
	// limit bounds the messages of clients, and answerLimit those of the backend, in
	// bytes. Zero: the default.
	limit, answerLimit uint64
}

// process is a running gateway.
type process struct {
	port    uint64
	command *exec.Cmd
	folder  string
}

// start starts the program that $CONFORMANCE_TRANSOM names.
func (s *setup) start() (*process, error) {
	folder, err := os.MkdirTemp("", "conformance")
	if err != nil {
		return nil, err
	}
	p := &process{folder: folder}
	if err := s.write(folder); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	p.command = program(os.Getenv(envTransom), "serve", "--config", filepath.Join(folder, "transom.yaml"))
	p.command.Env = append(os.Environ(), "GORACE=halt_on_error=1")
	logged, err := p.command.StderrPipe()
	if err == nil {
		err = p.command.Start()
	}
	if err == nil {
		p.port, err = listening(logged)
	}
	if err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return p, nil
}

// write writes the configuration and what it names.
func (s *setup) write(folder string) error {
	var failed error
	file := func(name string, content []byte) string {
		failed = errors.Join(failed, os.WriteFile(filepath.Join(folder, name), content, 0o600))
		return name
	}
	listener := map[string]any{"address": "127.0.0.1:0"}
	if s.servesCertificate != nil {
		tls := map[string]any{"certificate": file("serves.pem", s.servesCertificate), "key": file("serves.key", s.servesKey)}
		if len(s.clientCA) > 0 {
			tls["client_ca"] = file("clients.pem", s.clientCA)
		}
		listener["tls"], listener["http3"] = tls, true
	}
	backend := map[string]any{"target": s.target}
	if len(s.ca) > 0 {
		tls := map[string]any{"ca": file("ca.pem", s.ca)}
		if len(s.certificate) > 0 {
			tls["certificate"], tls["key"] = file("own.pem", s.certificate), file("own.key", s.key)
		}
		backend["tls"] = tls
	}
	limits := map[string]any{}
	for name, bytes := range map[string]uint64{"max_body_bytes": s.limit, "max_message_bytes": s.limit, "max_response_bytes": s.answerLimit} {
		if bytes > 0 {
			limits[name] = bytes
		}
	}
	text, err := json.Marshal(map[string]any{ // JSON is YAML
		"listeners": []any{listener},
		"admin":     map[string]any{"address": "-"},
		"schemas":   []any{map[string]any{"directory": os.Getenv(envProtos)}},
		"upstreams": map[string]any{"reference": map[string]any{"grpc": backend}},
		"telemetry": map[string]any{"log": map[string]any{"format": "JSON", "access": false}},
		"defaults":  map[string]any{"limits": limits},
	})
	if err != nil {
		return err
	}
	file("transom.yaml", text)
	return failed
}

// listening waits until the log tells the port, and passes on what it tells
// behind that.
func listening(logged io.Reader) (port uint64, err error) {
	lines := bufio.NewReader(logged)
	var told strings.Builder
	for {
		line, err := lines.ReadString('\n')
		told.WriteString(line)
		if err != nil {
			return 0, fmt.Errorf("the gateway did not start: %s", told.String())
		}
		var record struct{ Msg, Address string }
		if json.Unmarshal([]byte(line), &record) != nil || record.Msg != "listening" {
			continue
		}
		_, text, err := net.SplitHostPort(record.Address)
		if err != nil {
			return 0, err
		}
		go func() { _, _ = io.Copy(os.Stderr, lines) }() // it ends with the process
		return strconv.ParseUint(text, 10, 16)
	}
}

// stop ends the gateway; its failing is an error.
func (p *process) stop() error {
	var err error
	if p.command != nil && p.command.Process != nil {
		_ = p.command.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		err = p.command.Wait()
	}
	return errors.Join(err, os.RemoveAll(p.folder))
}
