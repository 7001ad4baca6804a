//go:build validators

package openapi

import (
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	openfga "github.com/openfga/api/proto/openfga/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/reflection"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/gateway"
	"github.com/transom-gateway/transom/internal/googleapis"
	"github.com/transom-gateway/transom/internal/observe"
	"github.com/transom-gateway/transom/internal/openapi"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// googleServices are services whose documents the validators read: with many methods, deep
// queries, templates of several segments, streams and long operations.
var googleServices = []string{
	"google.pubsub.v1.Publisher", "google.cloud.aiplatform.v1.ModelService", "google.container.v1.ClusterManager",
	"google.storage.v2.Storage", "google.cloud.talent.v4.JobService",
}

// TestValidators: Surface 204: openapi-spec-validator, Redocly and Spectral find no error in
// the documents of either version.
func TestValidators(t *testing.T) {
	folder := t.TempDir()
	documents := map[string][]byte{}
	add := func(name string, g describing, service string) {
		for _, version := range []string{openapi.Version31, openapi.Version32} {
			d, remarks, err := g.OpenAPI(openapi.Options{Version: version, Service: service})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for _, r := range remarks {
				t.Logf("%s: %s", name, r.Message)
			}
			documents[fmt.Sprintf("%s-%s.json", name, version)] = d.JSON()
			documents[fmt.Sprintf("%s-%s.yaml", name, version)] = d.YAML()
		}
	}
	add("bookstore", gatewaytest.Start(t, gatewaytest.Options{Backend: "127.0.0.1:1"}), "")
	add("grpc-gateway", gatewaytest.Start(t, gatewaytest.Options{Backend: "127.0.0.1:1", Config: "compatibility: GRPC_GATEWAY\n"}), "")
	add("grpc-gateway-examples", gatewaytest.Start(t, gatewaytest.Options{Backend: "127.0.0.1:1", NoBookstore: true, Protos: exampleProtos(t), Config: refusedRules}), "")
	add("secured", gatewaytest.Start(t, gatewaytest.Options{Backend: "127.0.0.1:1", NoBookstore: true, Protos: protosOf(t, "../../examples/secured/protos"), Config: secured}), "")
	add("etcd", gatewaytest.Start(t, gatewaytest.Options{Backend: "127.0.0.1:1", NoBookstore: true, Protos: etcdProtos(t), Config: "defaults: { json: { omit_defaults: true, proto_names: true } }\n"}), "")
	add("openfga", loaded(t, config.ForFlags(nil, nil, true, openFGA(t), "", "")), "")
	google := loaded(t, config.ForFlags(nil, []string{googleapis.File(t)}, false, "", "", ""))
	for _, service := range googleServices {
		add(service, google, service)
	}
	install(t, folder)
	names := slices.Sorted(maps.Keys(documents))
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(folder, name), documents[name], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, validator := range [][]string{
		{"venv/bin/openapi-spec-validator"},
		{"node_modules/.bin/redocly", "lint", "--extends=spec", "--format=stylish"},
		{"node_modules/.bin/spectral", "lint", "--ruleset", "ruleset.yaml", "--fail-severity", "error", "--quiet"},
	} {
		validator[0] = filepath.Join(folder, validator[0])
		run(t, folder, slices.Concat(validator, names)...)
	}
}

// openFGA serves what OpenFGA declares, by reflection.
func openFGA(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	openfga.RegisterOpenFGAServiceServer(s, &openfga.UnimplementedOpenFGAServiceServer{})
	reflection.Register(s)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// describing is a gateway that has documents.
type describing interface {
	OpenAPI(openapi.Options) (*openapi.Document, gateway.Problems, error)
}

// loaded is a gateway that serves nobody what a configuration says.
func loaded(t *testing.T, file *config.File) *gateway.Gateway {
	t.Helper()
	telemetry, err := observe.Setup(&transomv1.Telemetry{}, "test", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	g := gateway.New(gateway.Options{Telemetry: telemetry, Version: "test", Load: func() (*config.File, error) {
		return file, file.Check().Err()
	}})
	t.Cleanup(g.Close)
	if _, err := g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	return g
}

// ruleset is that of Spectral. It finds no parameter in a path whose name has a dot, which OpenAPI allows and
// protoc-gen-openapiv2 writes; the others do. An option of grpc-gateway's examples has a default that its own pattern refuses.
const ruleset = `extends: ["spectral:oas"]
overrides:
  - { files: ["grpc-gateway-*"], rules: { path-params: off } }
  - { files: ["grpc-gateway-examples-*"], rules: { oas3-valid-schema-example: off } }
`

// install has the package managers put the validators into a folder, in the versions of the
// files beside this one.
func install(t *testing.T, folder string) {
	t.Helper()
	copyFiles(t, "validators", folder)
	if err := os.WriteFile(filepath.Join(folder, "ruleset.yaml"), []byte(ruleset), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, folder, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	installPython(t, folder)
}
