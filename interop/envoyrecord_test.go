package interop

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	bookstorev1 "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// record asks a real Envoy in front of the backend, and one in front of the
// listener.
func record(t *testing.T, binary, backend string, l *listener, listening string) recording {
	t.Helper()
	version, err := exec.Command(binary, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	r := recording{Date: time.Now().UTC().Format(time.DateOnly), Answers: map[string]recorded{}, Metadata: map[string]recorded{}}
	_, build, _ := strings.Cut(string(version), "version: ")
	if parts := strings.Split(build, "/"); len(parts) > 1 {
		r.Envoy = parts[1] // behind the commit
	}
	url := startEnvoy(t, binary, backend)
	for _, request := range envoyRequests {
		r.Answers[request.name] = kept(send(t, url, request))
	}
	url = startEnvoy(t, binary, listening)
	for _, request := range envoyMetadataRequests {
		answer := kept(ask(t, url, request))
		answer.Service = l.take()
		for name := range notCompared {
			delete(answer.Service, name)
			delete(answer.Header, name)
		}
		r.Metadata[request.name] = answer
	}
	return r
}

// kept is an answer as the file has it.
func kept(a answer) recorded {
	a.body = withoutClock(a.body)
	r := recorded{Status: a.status, Body: a.body, Header: a.header, Trailer: a.trailer}
	if !utf8.ValidString(a.body) {
		r.Body, r.Binary = "", []byte(a.body)
	}
	return r
}

func write(t *testing.T, r recording) {
	t.Helper()
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(envoyAnswers, append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// startEnvoy starts an Envoy with the transcoder's defaults and returns its URL.
func startEnvoy(t *testing.T, binary, backend string) string {
	t.Helper()
	dir := t.TempDir()
	config, admin := filepath.Join(dir, "envoy.json"), filepath.Join(dir, "admin")
	host, port, err := net.SplitHostPort(backend)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(envoyConfig, base64.StdEncoding.EncodeToString(descriptorSet(t)), host, port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	envoy := exec.Command(binary, "-c", config, "--admin-address-path", admin, "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning")
	envoy.Stderr = log
	if err := envoy.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = envoy.Wait() // killed
	}()
	t.Cleanup(func() {
		_ = envoy.Process.Kill()
		<-ended
		_ = log.Close()
	})
	address, over := "", false
	poll.Until(t, "Envoy's listener", func() bool {
		select {
		case <-ended:
			over = true
		default:
			address = listensAt(admin)
		}
		return over || address != ""
	})
	if over {
		text, _ := os.ReadFile(log.Name())
		t.Fatalf("Envoy ended:\n%s", text)
	}
	return "http://" + address
}

// listensAt asks Envoy's admin interface where it listens; "" for not yet.
func listensAt(adminFile string) string {
	admin, err := os.ReadFile(adminFile)
	if err != nil || len(admin) == 0 {
		return ""
	}
	response, err := http.Get("http://" + string(admin) + "/listeners")
	if err != nil {
		return ""
	}
	defer func() { _ = response.Body.Close() }()
	text, _ := io.ReadAll(response.Body)
	_, address, _ := strings.Cut(strings.TrimSpace(string(text)), "::")
	return address
}

// descriptorSet is the bookstore's, with all it imports.
func descriptorSet(t *testing.T) []byte {
	t.Helper()
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
		file := proto.CloneOf(protodesc.ToFileDescriptorProto(f))
		for _, service := range file.GetService() {
			for _, method := range service.GetMethod() {
				wholeAnswer(method.GetOptions())
			}
		}
		set.File = append(set.File, file)
	}
	add(bookstorev1.File_bookstore_v1_bookstore_proto)
	bytes, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

// wholeAnswer takes response_body out of a rule: Envoy does not start with it.
func wholeAnswer(options *descriptorpb.MethodOptions) {
	rule, ok := proto.GetExtension(options, annotations.E_Http).(*annotations.HttpRule)
	if !ok || rule == nil {
		return
	}
	rule.ResponseBody = ""
	for _, more := range rule.GetAdditionalBindings() {
		more.ResponseBody = ""
	}
}

// envoyConfig wants the descriptor set, and the backend's host and port.
const envoyConfig = `{
"admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
"static_resources": {
 "listeners": [{
  "name": "transcoder",
  "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
  "filter_chains": [{"filters": [{
   "name": "envoy.filters.network.http_connection_manager",
   "typed_config": {
    "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    "stat_prefix": "transcoder",
    "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"],
     "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "backend", "timeout": "20s"}}]}]},
    "http_filters": [
     {"name": "envoy.filters.http.grpc_json_transcoder", "typed_config": {
      "@type": "type.googleapis.com/envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
      "proto_descriptor_bin": "%s",
      "services": ["bookstore.v1.BookstoreService"]}},
     {"name": "envoy.filters.http.router", "typed_config": {
      "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}}]}]}],
 "clusters": [{
  "name": "backend", "type": "STATIC",
  "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
   "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
   "explicit_http_config": {"http2_protocol_options": {}}}},
  "load_assignment": {"cluster_name": "backend", "endpoints": [{"lb_endpoints": [{"endpoint": {
   "address": {"socket_address": {"address": "%s", "port_value": %s}}}}]}]}}]}
}`
