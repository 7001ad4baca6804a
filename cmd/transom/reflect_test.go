package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the codec that encoding has by name
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/transom-gateway/transom/internal/schema"
	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// firstParts is the schema of a server that nobody wrote a configuration for,
// laterParts what a newer one has in its place.
const (
	firstParts = `syntax = "proto3";
package parts.v1;
import "google/api/annotations.proto";
service PartService {
  rpc GetPart(GetPartRequest) returns (Part) { option (google.api.http) = { get: "/v1/{name=parts/*}" }; }
}
message GetPartRequest { string name = 1; }
message Part { string name = 1; }
`
	laterParts = `syntax = "proto3";
package parts.v1;
import "google/api/annotations.proto";
service PartService {
  rpc GetPart(GetPartRequest) returns (Part) { option (google.api.http) = { get: "/v1/{name=parts/*}" }; }
  rpc FindPart(GetPartRequest) returns (Part) { option (google.api.http) = { get: "/v1/{name=parts/*}:find" }; }
}
message GetPartRequest { string name = 1; }
message Part { string name = 1; string colour = 2; }
`
)

// keptListener lets one server after the other serve on one port: the port
// stays open between them.
type keptListener struct {
	net.Listener
	conns chan net.Conn
}

// newKeptListener listens at an address.
func newKeptListener(t *testing.T, address string) *keptListener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	k := &keptListener{l, make(chan net.Conn)}
	ended, accepted := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(accepted)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			select {
			case k.conns <- conn:
			case <-ended:
				_ = conn.Close() // nobody serves it
			}
		}
	}()
	t.Cleanup(func() {
		close(ended)
		_ = l.Close() // its end is what was asked for
		<-accepted
	})
	return k
}

// turn is the listener of one of the servers.
type turn struct {
	*keptListener
	once   sync.Once
	closed chan struct{}
}

func (l *turn) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *turn) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// reflectsService is what reflection says of a server that knows its services by
// their descriptors alone.
type reflectsService struct{ *schema.Registry }

func (r reflectsService) GetServiceInfo() map[string]grpc.ServiceInfo {
	info := map[string]grpc.ServiceInfo{}
	for _, s := range r.Services() {
		info[string(s.FullName())] = grpc.ServiceInfo{}
	}
	return info
}

// startReflecting starts a server of the parts with a schema and reflection of
// one version. stop ends it gracefully.
func startReflecting(t *testing.T, l *keptListener, text string, alpha bool) (stop func()) {
	t.Helper()
	registry, problems := schema.Directory(folder(t, map[string]string{"parts/v1/parts.proto": text})).Load(t.Context())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	s := grpc.NewServer(grpc.ForceServerCodecV2(partsCodec{}), grpc.UnknownServiceHandler(serveParts))
	options := reflection.ServerOptions{Services: reflectsService{registry}, DescriptorResolver: registry}
	if alpha {
		reflectionv1alpha.RegisterServerReflectionServer(s, reflection.NewServer(options))
	} else {
		reflectionv1.RegisterServerReflectionServer(s, reflection.NewServerV1(options))
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(&turn{keptListener: l, closed: make(chan struct{})}) // it ends by stop
	}()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			s.GracefulStop()
			<-served
		})
	}
	t.Cleanup(func() {
		s.Stop()
		stop()
	})
	return stop
}

// serveParts answers every method with a red part of the name that was asked
// for.
func serveParts(_ any, stream grpc.ServerStream) error {
	var request []byte
	if err := stream.RecvMsg(&request); err != nil {
		return err
	}
	answer := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), texts(request)[1])
	return stream.SendMsg(protowire.AppendString(protowire.AppendTag(answer, 2, protowire.BytesType), "red"))
}

// partsCodec passes bytes as they are and messages, which reflection speaks, as
// gRPC does.
type partsCodec struct{ rawCodec }

func (c partsCodec) Marshal(v any) (mem.BufferSlice, error) {
	if _, ok := v.([]byte); ok {
		return c.rawCodec.Marshal(v)
	}
	return encoding.GetCodecV2("proto").Marshal(v)
}

func (c partsCodec) Unmarshal(data mem.BufferSlice, v any) error {
	if _, ok := v.(*[]byte); ok {
		return c.rawCodec.Unmarshal(data, v)
	}
	return encoding.GetCodecV2("proto").Unmarshal(data, v)
}

// ask gives the answer of one request, as one line.
func ask(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	return response.StatusCode, string(bytes.TrimSpace(text))
}

func wantAnswer(t *testing.T, method, url, body string, status int, want string) {
	t.Helper()
	if got, text := ask(t, method, url, body); got != status || !strings.Contains(text, want) {
		t.Errorf("%s %s: %d %s, want %d with %s", method, url, got, text, status, want)
	}
}

// TestReflectProcess runs `transom serve --reflect` before there is a server,
// and puts another server in its place later: nobody touches the gateway.
func TestReflectProcess(t *testing.T) {
	bin := buildTransom(t)
	for name, alpha := range map[string]bool{"Semantics 47: reflection v1": false, "Semantics 47: reflection v1alpha": true} {
		t.Run(name, func(t *testing.T) {
			address := loopback.Address(t)
			p := startProcess(t, bin, "--reflect", "--upstream", address)
			if log := p.log.String(); !strings.Contains(log, "its methods are served once it can") {
				t.Errorf("the log does not say what is waited for:\n%s", log)
			}
			if _, text := get(t, p.admin+"/readyz?verbose"); !strings.Contains(text, "its methods are served once it can") {
				t.Errorf("/readyz does not say what is waited for:\n%s", text)
			}
			wantAnswer(t, "GET", p.url+"/v1/parts/7", "", 404, "")

			l := newKeptListener(t, address)
			stop := startReflecting(t, l, firstParts, alpha)
			poll.Until(t, "the gateway to find the server", func() bool {
				status, _ := ask(t, "GET", p.url+"/v1/parts/7", "")
				return status == 200
			})
			wantAnswer(t, "GET", p.url+"/v1/parts/7", "", 200, `{"name":"parts/7"}`)
			wantAnswer(t, "POST", p.url+"/parts.v1.PartService/GetPart", `{"name":"parts/8"}`, 200, `{"name":"parts/8"}`)

			// All the while somebody calls.
			ended, called := make(chan struct{}), make(chan int)
			go func() {
				calls := 0
				defer func() { called <- calls }()
				for ; ; calls++ {
					select {
					case <-ended:
						return
					default:
						wantAnswer(t, "GET", p.url+"/v1/parts/9", "", 200, `"name":"parts/9"`)
					}
				}
			}()
			startReflecting(t, l, laterParts, alpha)
			stop()
			poll.Until(t, "the gateway to find the new method", func() bool {
				status, _ := ask(t, "POST", p.url+"/parts.v1.PartService/FindPart", `{}`)
				return status == 200
			})
			close(ended)
			if n := <-called; n == 0 {
				t.Error("nobody called meanwhile")
			}
			wantAnswer(t, "GET", p.url+"/v1/parts/7", "", 200, `{"name":"parts/7","colour":"red"}`)
			wantAnswer(t, "GET", p.url+"/v1/parts/8:find", "", 200, `"colour":"red"`)
		})
	}
}

// TestReflectedServerAway keeps the schema of a server that is away while
// something else is reloaded, and refuses what a policy names only when all
// servers have told what they have.
func TestReflectedServerAway(t *testing.T) {
	address := loopback.Address(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "transom.yaml")
	config := `schemas: [{ reflection: { upstream: parts, poll: 0.02s } }]
upstreams: { parts: { grpc: { target: "` + address + `" } } }
policies: [{ selector: parts.v1.PartService.*, policy: { timeout: 5s } }]
`
	write(t, path, config)
	g := startGateway(t, input{config: path})
	l := newKeptListener(t, address)
	stop := startReflecting(t, l, firstParts, false)
	poll.Until(t, "the gateway to find the server", func() bool {
		status, _ := ask(t, "GET", g.url+"/v1/parts/7", "")
		return status == 200
	})
	stop()
	write(t, path, config+`
metadata: { request_headers: ["x-team"] }
`)
	poll.Until(t, "the gateway to read its configuration anew", func() bool {
		return strings.Contains(g.log.String(), "the one that it gave before stays in service")
	})
	startReflecting(t, l, firstParts, false)
	poll.Until(t, "the server to be back", func() bool {
		status, _ := ask(t, "GET", g.url+"/v1/parts/7", "")
		return status == 200
	})
	// What looks once does not wait.
	if code, _, text := command(t, "routes", "--reflect", "--upstream", loopback.Address(t)); code != exitProblem || !strings.Contains(text, "cannot be asked for its schema") {
		t.Errorf("exit code %d: %s", code, text)
	}
}
