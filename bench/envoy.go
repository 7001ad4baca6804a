package main

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	benchv1 "github.com/transom-gateway/transom/bench/proto/bench/v1"
)

// envoyBinary is Envoy where there is one: no distribution that we know of packs
// it, so that it takes part where somebody has it. ENVOY names it, or PATH does.
func envoyBinary() string {
	if path := os.Getenv("ENVOY"); path != "" {
		return path
	}
	path, err := exec.LookPath("envoy")
	if err != nil {
		return ""
	}
	return path
}

// startEnvoy runs Envoy with its transcoder in front of the gRPC server: as many
// threads as processors, which is its default, no access log.
func (f *fleet) startEnvoy(ctx context.Context) (*peer, error) {
	serve, err := freeAddress()
	if err != nil {
		return nil, err
	}
	config, err := envoyConfig(serve, f.backends.GRPC)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(f.dir, "envoy.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return nil, err
	}
	p, err := f.add(envoy, exec.Command(envoyBinary(), "-c", file, "--disable-hot-restart", "--log-level", "warning"))
	if err != nil {
		return nil, err
	}
	p.base = "http://" + serve
	return p, p.ready(ctx, serve)
}

// envoyConfig is JSON. The transcoder prints fields with default values, as the
// others do.
func envoyConfig(serve, backend string) ([]byte, error) {
	set, err := proto.Marshal(descriptorSet(benchv1.File_bench_v1_bench_proto))
	if err != nil {
		return nil, err
	}
	listen, err := envoyAddress(serve)
	if err != nil {
		return nil, err
	}
	target, err := envoyAddress(backend)
	if err != nil {
		return nil, err
	}
	const filters = "type.googleapis.com/envoy.extensions.filters."
	transcoder := map[string]any{"name": "transcoder", "typed_config": map[string]any{
		"@type":                filters + "http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
		"proto_descriptor_bin": set, // base64 in JSON
		"services":             []string{"bench.v1.ItemService"},
		"print_options":        map[string]any{"always_print_primitive_fields": true},
	}}
	router := map[string]any{"name": "router", "typed_config": map[string]any{"@type": filters + "http.router.v3.Router"}}
	routes := map[string]any{"virtual_hosts": []any{map[string]any{
		"name": "all", "domains": []string{"*"},
		"routes": []any{map[string]any{"match": map[string]any{"prefix": "/"}, "route": map[string]any{"cluster": "items"}}},
	}}}
	manager := map[string]any{"name": "http", "typed_config": map[string]any{
		"@type":        filters + "network.http_connection_manager.v3.HttpConnectionManager",
		"stat_prefix":  "items",
		"route_config": routes,
		"http_filters": []any{transcoder, router},
	}}
	http2 := map[string]any{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": map[string]any{
		"@type":                "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
		"explicit_http_config": map[string]any{"http2_protocol_options": map[string]any{}},
	}}
	return json.Marshal(map[string]any{"static_resources": map[string]any{
		"listeners": []any{map[string]any{"name": "items", "address": listen, "filter_chains": []any{map[string]any{"filters": []any{manager}}}}},
		"clusters": []any{map[string]any{
			"name": "items", "type": "STATIC", "typed_extension_protocol_options": http2,
			"load_assignment": map[string]any{"cluster_name": "items", "endpoints": []any{
				map[string]any{"lb_endpoints": []any{map[string]any{"endpoint": map[string]any{"address": target}}}},
			}},
		}},
	}})
}

func envoyAddress(hostPort string) (map[string]any, error) {
	host, text, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return nil, err
	}
	return map[string]any{"socket_address": map[string]any{"address": host, "port_value": port}}, nil
}

// descriptorSet is a file with all it imports, these first.
func descriptorSet(file protoreflect.FileDescriptor) *descriptorpb.FileDescriptorSet {
	set := &descriptorpb.FileDescriptorSet{}
	seen := map[string]bool{}
	var add func(protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) {
		if seen[f.Path()] {
			return
		}
		seen[f.Path()] = true
		for i := range f.Imports().Len() {
			add(f.Imports().Get(i).FileDescriptor)
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(f))
	}
	add(file)
	return set
}
