package main

import (
	"context"
	"encoding/json"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/server"
)

// TestOneExplanation: Surface 235: the command and the admin listener say the same of a request.
func TestOneExplanation(t *testing.T) {
	dir := folder(t, map[string]string{"p.proto": goodProto})
	config := filepath.Join(dir, "transom.yaml")
	write(t, config, strings.Join([]string{
		`listeners: [{ address: "127.0.0.1:0" }]`, `admin: { address: "127.0.0.1:0" }`, "schemas: [{ directory: . }]",
		`upstreams: { things: { grpc: { target: "127.0.0.1:1" } } }`,
		`policies: [{ selector: "*", policy: { timeout: 3s, limits: { max_body_bytes: 100 } } }]`, "",
	}, "\n"))
	in := input{config: config}
	admin := startServing(t, func(ctx context.Context, s streams, started func(*server.Server)) error {
		return serve(ctx, in.load, s, started)
	}).admin
	for _, asked := range []struct{ method, url, body string }{
		{"GET", "/v1/things/a", ""},
		{"GET", "/v1/things/a?name=b", ""},
		{"GET", "/v1/nothing", ""},
		{"DELETE", "/v1/things/a", ""},
		{"POST", "/v1/things/a:wrong", `{"name":`},
	} {
		args := []string{"explain", asked.method, asked.url, "--config", config, "--json"}
		if asked.body != "" {
			args = append(args, "-d", asked.body)
		}
		_, said, _ := command(t, args...)
		question, err := json.Marshal(map[string]string{"method": asked.method, "url": asked.url, "body": asked.body})
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.Post(admin+"/explain", "application/json", strings.NewReader(string(question)))
		if err != nil {
			t.Fatal(err)
		}
		var listener, printed any
		err = json.NewDecoder(response.Body).Decode(&listener)
		_ = response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(said), &printed); err != nil {
			t.Fatalf("%q: %v: %s", args, err, said)
		}
		if !reflect.DeepEqual(printed, listener) {
			t.Errorf("%s %s: the command says\n%v\nthe admin listener\n%v", asked.method, asked.url, printed, listener)
		}
	}
}
