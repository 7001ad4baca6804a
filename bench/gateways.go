package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/transom-gateway/transom/bench/load"
	"github.com/transom-gateway/transom/bench/peers"
)

// secret signs the tokens of the secured scenario.
const secret = "only-for-the-benchmark-0123456789abcdef"

// startTransom runs the real binary: metrics on, access log off but in the
// process that shows its cost.
func (f *fleet) startTransom(ctx context.Context, name string) (*peer, error) {
	serve, err := freeAddress()
	if err != nil {
		return nil, err
	}
	admin, err := freeAddress()
	if err != nil {
		return nil, err
	}
	protos, err := filepath.Abs("proto")
	if err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(f.configOf(name, serve, admin, protos), "", "  ")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(f.dir, name+".yaml") // JSON is YAML.
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, err
	}
	p, err := f.add(name, exec.Command(f.transom, "serve", "--config", file))
	if err != nil {
		return nil, err
	}
	p.base, p.counter, p.parse = "http://"+serve, "http://"+admin+"/metrics", parseMetrics
	if err := p.ready(ctx, serve); err != nil {
		return nil, err
	}
	return p, p.ready(ctx, admin)
}

// configOf is the configuration of one of Transom's processes.
func (f *fleet) configOf(name, serve, admin, protos string) map[string]any {
	if name == transomPlain || name == transomPlainAgain {
		return plainConfig(serve, admin, f.backends.JSON)
	}
	return transomConfig(name, serve, admin, protos, f.backends.GRPC)
}

func transomConfig(name, serve, admin, protos, backend string) map[string]any {
	upstream := map[string]any{"target": backend}
	config := map[string]any{
		"listeners": []any{map[string]any{"address": serve}},
		"admin":     map[string]any{"address": admin},
		"schemas":   []any{map[string]any{"directory": protos}},
		"upstreams": map[string]any{"items": map[string]any{"grpc": upstream}},
		"telemetry": map[string]any{"log": map[string]any{"access": name == transomLogged, "format": "JSON"}},
	}
	switch name {
	case transomIdle:
		config["shutdown_timeout"] = "3s"
	case transomUnused:
		upstream["outlier"] = map[string]any{}
		config["policies"] = []any{map[string]any{
			"selector": "bench.v1.ItemService.GetSecuredItem",
			"policy":   map[string]any{"retry": map[string]any{}, "circuit_breaker": map[string]any{}},
		}}
	case transomKept:
		config["idempotency"] = map[string]any{"max_bytes": 32 << 30} // a new key for each call of some minutes, and none is dropped
		config["policies"] = []any{
			map[string]any{"selector": "bench.v1.ItemService.GetSecuredItem", "policy": map[string]any{"cache": map[string]any{"ttl": "24h"}}},
			map[string]any{"selector": "bench.v1.ItemService.ListItems", "policy": map[string]any{"cache": map[string]any{"ttl": "24h"}}},
			map[string]any{"selector": "bench.v1.ItemService.CreateItem", "policy": map[string]any{"idempotency_key": map[string]any{"scope": "METHOD"}}},
		}
	case transomSecured:
		config["auth"] = map[string]any{"jwt": []any{
			map[string]any{"issuer": "bench", "audience": "bench", "secret": secret},
		}}
		config["policies"] = []any{map[string]any{
			"selector": "bench.v1.ItemService.GetSecuredItem",
			"policy": map[string]any{
				"auth": map[string]any{"jwt": map[string]any{}, "roles": []any{"reader"}},
				"rate_limit": []any{
					map[string]any{"requests": 1_000_000, "per": "1s", "burst": 1_000_000, "key": "PRINCIPAL"},
				},
			},
		}}
	}
	return config
}

// benchToken is valid for the secured method until the year 2100.
func benchToken() string {
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." +
		encode([]byte(`{"iss":"bench","aud":"bench","sub":"wrk","roles":["reader","writer"],"exp":4102444800}`))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(signed))
	return signed + "." + encode(mac.Sum(nil))
}

// nginxConfig is a plain proxy: one process, kept-alive connections to the
// backend, no log.
const nginxConfig = `daemon off;
master_process off;
error_log stderr warn;
pid %[1]s/nginx.pid;
events { worker_connections 1024; }
http {
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path %[1]s/body;
    proxy_temp_path %[1]s/proxy;
    fastcgi_temp_path %[1]s/fastcgi;
    uwsgi_temp_path %[1]s/uwsgi;
    scgi_temp_path %[1]s/scgi;
    upstream items { server %[3]s; keepalive 256; keepalive_requests 1000000000; }
    server {
        listen %[2]s;
        location / {
            proxy_pass http://items;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }
    }
}
`

func (f *fleet) startNginx(ctx context.Context) (*peer, error) {
	serve, err := freeAddress()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(f.dir, "nginx.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, nginxConfig, f.dir, serve, f.backends.JSON), 0o600); err != nil {
		return nil, err
	}
	p, err := f.add(nginx, exec.Command(load.Path("nginx"), "-p", f.dir, "-e", "stderr", "-c", file))
	if err != nil {
		return nil, err
	}
	p.base = "http://" + serve
	return p, p.ready(ctx, serve)
}

// mallocs returns how many objects the process has ever allocated; NaN where
// it does not count them.
func (p *peer) mallocs(ctx context.Context) (float64, error) {
	if p.counter == "" {
		return math.NaN(), nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.counter, nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return 0, err
	}
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: %s\n%.1000s", p.counter, response.Status, body)
	}
	return p.parse(body)
}

func parseCounters(body []byte) (float64, error) {
	var counters peers.Counters
	if err := json.Unmarshal(body, &counters); err != nil {
		return 0, err
	}
	return float64(counters.Mallocs), nil
}

// parseMetrics reads the one figure from the Prometheus text format.
func parseMetrics(body []byte) (float64, error) {
	const name = "go_memstats_mallocs_total "
	for line := range bytes.Lines(body) {
		if value, ok := bytes.CutPrefix(line, []byte(name)); ok {
			return strconv.ParseFloat(string(bytes.TrimSpace(value)), 64)
		}
	}
	return 0, fmt.Errorf("the metrics have no %s", name)
}
