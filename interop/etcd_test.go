// Package interop calls servers that nobody here wrote through Transom and
// compares what comes back with what they say themselves.
package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/loopback"
)

// startEtcd starts a real etcd with its own REST API beside its gRPC one.
func startEtcd(t *testing.T) (httpURL, grpcAddress string) {
	t.Helper()
	config := embed.NewConfig()
	config.Dir = t.TempDir()
	config.LogLevel = "fatal"
	// etcd's own REST gateway dials the address it was told to listen on, so that
	// must be a real port.
	client, peer := url.URL{Scheme: "http", Host: loopback.Address(t)}, url.URL{Scheme: "http", Host: loopback.Address(t)}
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	server, err := embed.StartEtcd(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	select {
	case <-server.Server.ReadyNotify():
	case <-time.After(time.Minute):
		t.Fatal("etcd does not become ready")
	}
	address := server.Clients[0].Addr().String()
	return "http://" + address, address
}

// etcdProtos are etcd's own .proto files, as its Go module ships them, under the
// import paths that they use.
func etcdProtos(t *testing.T) map[string]string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "go.etcd.io/etcd/api/v3").Output()
	if err != nil {
		t.Fatal(err)
	}
	root := strings.TrimSpace(string(out))
	protos := map[string]string{}
	for _, name := range []string{"etcdserverpb/rpc.proto", "mvccpb/kv.proto", "authpb/auth.proto", "versionpb/version.proto"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		protos["etcd/api/"+name] = string(text)
	}
	return protos
}

// TestEtcd calls etcd by its own REST API and through Transom and compares the
// answers.
func TestEtcd(t *testing.T) {
	direct, address := startEtcd(t)
	g := gatewaytest.Start(t, gatewaytest.Options{
		Backend: address, NoBookstore: true, Protos: etcdProtos(t),
		// etcd's own gateway leaves defaults out and uses proto names.
		Config: "defaults: { json: { omit_defaults: true, proto_names: true } }\n",
	})
	key := jsonBytes
	post(t, direct+"/v3/lease/grant", `{"TTL": "600", "ID": "7"}`)
	for i, step := range []struct{ path, body string }{
		{"/v3/kv/put", `{"key": ` + key("a") + `, "value": ` + key("1") + `}`},
		{"/v3/kv/put", `{"key": ` + key("b") + `, "value": ` + key("2") + `, "prev_kv": true}`},
		{"/v3/kv/range", `{"key": ` + key("a") + `}`},
		{"/v3/kv/range", `{"key": ` + key("a") + `, "range_end": ` + key("z") + `, "sort_order": "DESCEND", "sort_target": "KEY"}`},
		{"/v3/kv/range", `{"key": ` + key("a") + `, "range_end": ` + key("z") + `, "count_only": true}`},
		{"/v3/kv/txn", `{"compare": [{"key": ` + key("a") + `, "target": "VALUE", "result": "EQUAL", "value": ` + key("1") + `}],
			"success": [{"request_range": {"key": ` + key("b") + `}}], "failure": [{"request_delete_range": {"key": ` + key("b") + `}}]}`},
		{"/v3/lease/grant", `{"TTL": "600"}`},
		{"/v3/lease/timetolive", `{"ID": "7", "keys": true}`},
		{"/v3/lease/leases", `{}`},
		{"/v3/cluster/member/list", `{}`},
		{"/v3/maintenance/status", `{}`},
		{"/v3/auth/status", `{}`},
		{"/v3/kv/range", `{"key": 5}`},
		{"/v3/kv/range", `{}`},
		{"/v3/lease/revoke", `{"ID": "12345"}`},
		{"/v3/kv/compaction", `{"revision": "999999"}`},
		{"/v3/kv/deleterange", `{"key": ` + key("zzz") + `}`},
	} {
		t.Run(fmt.Sprintf("%d %s", i, step.path), func(t *testing.T) {
			own := post(t, direct+step.path, step.body)
			ours := post(t, g.URL+step.path, step.body)
			if own.status != ours.status {
				t.Errorf("status %d from etcd, %d through Transom\n%v\n%v", own.status, ours.status, own.body, ours.body)
			}
			if own.status != http.StatusOK {
				if own.body["code"] != ours.body["code"] {
					t.Errorf("code %v from etcd, %v through Transom\n%v\n%v", own.body["code"], ours.body["code"], own.body, ours.body)
				}
				return
			}
			// What changes from call to call by itself: the state of the log.
			for _, body := range []map[string]any{own.body, ours.body} {
				forget(body, "revision", "raft_term", "mod_revision", "create_revision", "version", "raftIndex",
					"raftAppliedIndex", "dbSize", "dbSizeInUse", "ID", "TTL", "raft_applied_index", "raft_index", "raftTerm", "prev_kv")
			}
			if !reflect.DeepEqual(own.body, ours.body) {
				t.Errorf("different answers:\netcd    %v\nTransom %v", own.body, ours.body)
			}
		})
	}
}

// TestEtcdWatch sees a change by etcd's bidirectional watch as a stream.
func TestEtcdWatch(t *testing.T) {
	_, address := startEtcd(t)
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: address, NoBookstore: true, Protos: etcdProtos(t)})
	reader, writer := io.Pipe()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL+"/v3/watch", reader)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-ndjson")
	answer := make(chan *http.Response, 1)
	failed := make(chan error, 1)
	go func() {
		response, err := g.HTTP2.Do(request)
		if err != nil {
			failed <- err
			return
		}
		answer <- response
	}()
	if _, err := io.WriteString(writer, `{"create_request": {"key": `+jsonBytes("w")+`}}`+"\n"); err != nil {
		t.Fatal(err)
	}
	var response *http.Response
	select {
	case response = <-answer:
	case err := <-failed:
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	decoder := json.NewDecoder(response.Body)
	var created, event map[string]any
	if err := decoder.Decode(&created); err != nil || created["created"] != true {
		t.Fatalf("the watch is not created: %v %v", created, err)
	}
	post(t, g.URL+"/v3/kv/put", `{"key": `+jsonBytes("w")+`, "value": `+jsonBytes("x")+`}`)
	if err := decoder.Decode(&event); err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprint(event["events"]); !strings.Contains(text, "dw==") {
		t.Errorf("no event of the key: %v", event)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
}

type answered struct {
	status int
	body   map[string]any
}

func post(t *testing.T, url, body string) answered {
	t.Helper()
	response, err := http.Post(url, "application/json", strings.NewReader(body)) //nolint:noctx // a test's own server
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answered{status: response.StatusCode}
	if err := json.Unmarshal(text, &a.body); err != nil {
		t.Fatalf("%s: %v: %s", url, err, bytes.TrimSpace(text))
	}
	return a
}

// forget removes keys wherever they stand.
func forget(v any, keys ...string) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range keys {
			delete(v, k)
		}
		for _, child := range v {
			forget(child, keys...)
		}
	case []any:
		for _, child := range v {
			forget(child, keys...)
		}
	}
}

func jsonBytes(s string) string {
	b, err := json.Marshal([]byte(s))
	if err != nil {
		panic(err) // bytes always marshal
	}
	return string(b)
}
