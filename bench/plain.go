package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// plainConfig is a gateway with one route to a plain HTTP server: metrics on, access log off.
func plainConfig(serve, admin, backend string) map[string]any {
	return map[string]any{
		"listeners": []any{map[string]any{"address": serve}},
		"admin":     map[string]any{"address": admin},
		"upstreams": map[string]any{"site": map[string]any{"http": map[string]any{"servers": []any{backend}}}},
		"routes":    []any{map[string]any{"match": map[string]any{"path_prefix": "/"}, "upstream": "site"}},
		"telemetry": map[string]any{"log": map[string]any{"access": false, "format": "JSON"}},
	}
}

// plainBinary finds Caddy or Traefik: by the variable CADDY or TRAEFIK, or in PATH. Empty
// where there is none.
func plainBinary(name string) string {
	if path := os.Getenv(strings.ToUpper(name)); path != "" {
		return path
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return ""
	}
	return path
}

// caddyConfig has no admin endpoint, no log and no automatic HTTPS.
const caddyConfig = `{
	admin off
	auto_https off
	log {
		level ERROR
	}
}
http://%s {
	bind %s
	reverse_proxy %s
}
`

// traefikStatic and traefikDynamic are Traefik's two files; its access log is off as a rule.
const (
	traefikStatic = `entryPoints:
  web: { address: "%s" }
providers:
  file: { filename: "%s" }
log: { level: ERROR }
global: { checkNewVersion: false, sendAnonymousUsage: false }
`
	traefikDynamic = `http:
  routers:
    all: { rule: "PathPrefix(` + "`/`" + `)", service: site }
  services:
    site: { loadBalancer: { servers: [ { url: "http://%s" } ] } }
`
)

// startPlain runs Caddy or Traefik as a proxy in front of the JSON server.
func (f *fleet) startPlain(ctx context.Context, name string) (*peer, error) {
	serve, err := freeAddress()
	if err != nil {
		return nil, err
	}
	write := func(file, text string) (string, error) {
		path := filepath.Join(f.dir, file)
		return path, os.WriteFile(path, []byte(text), 0o600)
	}
	var command *exec.Cmd
	switch name {
	case caddy:
		host, _, _ := strings.Cut(serve, ":")
		file, err := write("Caddyfile", fmt.Sprintf(caddyConfig, serve, host, f.backends.JSON))
		if err != nil {
			return nil, err
		}
		command = exec.Command(plainBinary(name), "run", "--config", file, "--adapter", "caddyfile")
	default:
		dynamic, err := write("traefik-routes.yaml", fmt.Sprintf(traefikDynamic, f.backends.JSON))
		if err != nil {
			return nil, err
		}
		file, err := write("traefik.yaml", fmt.Sprintf(traefikStatic, serve, dynamic))
		if err != nil {
			return nil, err
		}
		command = exec.Command(plainBinary(name), "--configfile="+file)
	}
	p, err := f.add(name, command)
	if err != nil {
		return nil, err
	}
	p.base = "http://" + serve
	if err := p.ready(ctx, serve); err != nil {
		return nil, err
	}
	return p, p.answers(ctx, "/v1/items/item-1")
}

// answers waits until a proxy that listens knows its routes.
func (p *peer) answers(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+path, nil)
		if err != nil {
			return err
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		} else if ctx.Err() != nil {
			return fmt.Errorf("%s does not answer: %w", p.name, err)
		}
		select {
		case <-p.process.Done():
			return p.process.Err()
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer with 200", p.name)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
