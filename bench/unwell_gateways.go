package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	benchv1 "github.com/transom-gateway/transom/bench/proto/bench/v1"
	"github.com/transom-gateway/transom/bench/unwell"
)

// transomUnwell configures Transom. Retries stand at the service, where they
// have no effect on methods that may have side effects.
func transomUnwell(f *fleet, serve string, setup unwell.Setup) (*exec.Cmd, error) {
	protos, err := filepath.Abs("proto")
	if err != nil {
		return nil, err
	}
	list, err := f.write("unwell.list", setup.Servers)
	if err != nil {
		return nil, err
	}
	grpc := map[string]any{"target": "file://" + list}
	if setup.RoundRobin {
		grpc["load_balancing_policy"] = "round_robin"
	}
	if setup.Outlier {
		grpc["outlier"] = map[string]any{}
	}
	config := map[string]any{
		"listeners": []any{map[string]any{"address": serve}},
		"schemas":   []any{map[string]any{"directory": protos}},
		"upstreams": map[string]any{"items": map[string]any{"grpc": grpc}},
		"telemetry": map[string]any{"log": map[string]any{"access": false, "format": "JSON"}},
	}
	if setup.Attempts > 0 {
		retry := map[string]any{"max_attempts": setup.Attempts}
		if setup.PerTry > 0 {
			retry["per_try_timeout"] = setup.PerTry.String()
		}
		if setup.Hedge {
			retry["hedge_percentile"] = 95
		}
		config["policies"] = []any{map[string]any{"selector": "bench.v1.ItemService.*", "policy": map[string]any{"retry": retry}}}
	}
	file, err := f.write("transom-unwell.yaml", config) // JSON is YAML.
	return exec.Command(f.transom, "serve", "--config", file), err
}

// write writes JSON into a file of the fleet and returns its path.
func (f *fleet) write(name string, content any) (string, error) {
	text, err := json.Marshal(content)
	if err != nil {
		return "", err
	}
	file := filepath.Join(f.dir, name)
	return file, os.WriteFile(file, text, 0o600)
}

// envoyUnwell configures Envoy to do the same, as far as it can, with no bound on
// what may be under way: GetItem is retried elsewhere, by a budget of a fifth, and
// CreateItem where it has not been sent.
func envoyUnwell(f *fleet, serve string, setup unwell.Setup) (*exec.Cmd, error) {
	listen, err := envoyAddress(serve)
	if err != nil {
		return nil, err
	}
	cluster, err := envoyUnwellCluster(setup)
	if err != nil {
		return nil, err
	}
	route := func(match map[string]any, retry map[string]any) map[string]any {
		action := map[string]any{"cluster": "items", "timeout": "0s"}
		if retry != nil {
			action["retry_policy"] = retry
		}
		if setup.Hedge {
			action["hedge_policy"] = map[string]any{"hedge_on_per_try_timeout": true}
		}
		return map[string]any{"match": match, "route": action}
	}
	const filters = "type.googleapis.com/envoy.extensions.filters."
	manager := map[string]any{"name": "http", "typed_config": map[string]any{
		"@type":       filters + "network.http_connection_manager.v3.HttpConnectionManager",
		"stat_prefix": "items",
		"route_config": map[string]any{"virtual_hosts": []any{map[string]any{
			"name": "all", "domains": []string{"*"},
			"routes": []any{
				route(map[string]any{"path": benchv1.ItemService_GetItem_FullMethodName}, envoyRetry(setup)),
				route(map[string]any{"prefix": "/"}, map[string]any{"retry_on": "connect-failure,refused-stream,reset-before-request", "num_retries": 2}),
			},
		}}},
		"http_filters": []any{map[string]any{"name": "router", "typed_config": map[string]any{"@type": filters + "http.router.v3.Router"}}},
	}}
	file, err := f.write("envoy-unwell.json", map[string]any{"static_resources": map[string]any{
		"listeners": []any{map[string]any{"name": "items", "address": listen, "filter_chains": []any{map[string]any{"filters": []any{manager}}}}},
		"clusters":  []any{cluster},
	}})
	return exec.Command(envoyBinary(), "-c", file, "--disable-hot-restart", "--log-level", "error"), err
}

// envoyRetry is the policy of GetItem.
func envoyRetry(setup unwell.Setup) map[string]any {
	const previousHosts = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
	if setup.Attempts == 0 {
		return map[string]any{"retry_on": "connect-failure,refused-stream,reset-before-request", "num_retries": 2}
	}
	retry := map[string]any{
		"retry_on":    "unavailable,connect-failure,refused-stream,reset,gateway-error",
		"num_retries": setup.Attempts - 1,
		"retry_host_predicate": []any{map[string]any{
			"name": "previous_hosts", "typed_config": map[string]any{"@type": "type.googleapis.com/" + previousHosts},
		}},
		"host_selection_retry_max_attempts": 5,
	}
	perTry := setup.PerTry
	if setup.Hedge {
		perTry = setup.HedgeAfter
	}
	if perTry > 0 {
		retry["per_try_timeout"] = envoyDuration(perTry)
	}
	return retry
}

func envoyUnwellCluster(setup unwell.Setup) (map[string]any, error) {
	var endpoints []any
	for _, server := range setup.Servers {
		address, err := envoyAddress(server)
		if err != nil {
			return nil, err
		}
		endpoints = append(endpoints, map[string]any{"endpoint": map[string]any{"address": address}})
	}
	const most = 1_000_000
	const options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
	cluster := map[string]any{
		"name": "items", "type": "STATIC", "connect_timeout": "1s",
		"lb_policy": "LEAST_REQUEST",
		"typed_extension_protocol_options": map[string]any{options: map[string]any{
			"@type":                "type.googleapis.com/" + options,
			"explicit_http_config": map[string]any{"http2_protocol_options": map[string]any{}},
		}},
		"circuit_breakers": map[string]any{"thresholds": []any{map[string]any{
			"max_connections": most, "max_pending_requests": most, "max_requests": most,
			"retry_budget": map[string]any{"budget_percent": map[string]any{"value": 20}, "min_retry_concurrency": 3},
		}}},
		"load_assignment": map[string]any{"cluster_name": "items", "endpoints": []any{map[string]any{"lb_endpoints": endpoints}}},
	}
	if setup.RoundRobin {
		cluster["lb_policy"] = "ROUND_ROBIN"
	}
	if !setup.Bare {
		cluster["outlier_detection"] = map[string]any{"consecutive_5xx": 5, "base_ejection_time": "30s", "max_ejection_percent": 50}
	}
	return cluster, nil
}

func envoyDuration(d time.Duration) string { return fmt.Sprintf("%.3fs", d.Seconds()) }
