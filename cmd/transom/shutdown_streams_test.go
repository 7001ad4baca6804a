package main

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/transom-gateway/transom/internal/server"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

const uploadProto = `syntax = "proto3";
package u.v1;
import "google/api/annotations.proto";
message M { string name = 1; }
service U {
  rpc Upload(stream M) returns (M) { option (google.api.http) = { post: "/v1/uploads" body: "*" }; }
  rpc Watch(M) returns (stream M);
  rpc Put(M) returns (M) { option (google.api.http) = { post: "/v1/puts" body: "*" }; }
}
`

// uploads is a server of uploadProto whose uploads end with their client and whose
// streams with a test; began is told of each call's first message.
type uploads struct {
	began chan string
	goOn  chan struct{}
}

func (u *uploads) call(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	if err := stream.RecvMsg(new(emptypb.Empty)); err != nil {
		return err
	}
	u.began <- method
	if strings.HasSuffix(method, "/Watch") {
		if err := stream.SendMsg(new(emptypb.Empty)); err != nil {
			return err
		}
		select {
		case <-u.goOn:
			return nil
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
	for {
		err := stream.RecvMsg(new(emptypb.Empty))
		if errors.Is(err, io.EOF) {
			return stream.SendMsg(new(emptypb.Empty))
		}
		if err != nil {
			return err
		}
	}
}

// startUploads starts a server of uploadProto; target is where it listens.
func startUploads(t *testing.T) (target string, u *uploads) {
	t.Helper()
	u = &uploads{began: make(chan string, 9), goOn: make(chan struct{})}
	return grpctest.ServeAny(t, u.call), u
}

// serveUploads is a gateway of uploadProto, and its server.
func serveUploads(t *testing.T, timeout string) (*running, *server.Server, *uploads) {
	t.Helper()
	target, u := startUploads(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "u.proto"), uploadProto)
	write(t, filepath.Join(dir, "transom.yaml"), "listeners: [{ address: \"127.0.0.1:0\" }]\nadmin: { address: \"127.0.0.1:0\" }\nschemas: [{ directory: . }]\n"+
		"shutdown_timeout: "+timeout+"\nupstreams: { u: { grpc: { target: \""+target+"\" } } }\n")
	in := input{config: filepath.Join(dir, "transom.yaml")}
	var own *server.Server
	r := startServing(t, func(ctx context.Context, s streams, started func(*server.Server)) error {
		return serve(ctx, in.load, s, func(running *server.Server) {
			own = running
			started(running)
		})
	})
	return r, own, u
}

// a finiteCall is a call in flight: end lets it end well, and result says how it did.
type finiteCall struct {
	end    func()
	result func() string
}

// finiteCalls begin calls of each kind that has an end, whose backends have begun.
var finiteCalls = map[string]func(t *testing.T, r *running, u *uploads) finiteCall{
	"NDJSON upload":  uploadNDJSON,
	"gRPC upload":    uploadGRPC,
	"gRPC stream":    watchGRPC,
	"Connect stream": watchConnect,
	"chunked array":  uploadArray,
}

func uploadNDJSON(t *testing.T, r *running, u *uploads) finiteCall {
	return uploadJSON(t, r, u, "application/x-ndjson", "{\"name\":\"a\"}\n", "{\"name\":\"b\"}\n")
}

func uploadArray(t *testing.T, r *running, u *uploads) finiteCall {
	return uploadJSON(t, r, u, "application/json", "[{\"name\":\"a\"},", "{\"name\":\"b\"}]")
}

func uploadJSON(t *testing.T, r *running, u *uploads, contentType, first, rest string) finiteCall {
	body, client := io.Pipe()
	t.Cleanup(func() { _ = client.Close() })
	answered := posted(t, http.DefaultClient, r.url+"/v1/uploads", contentType, body)
	if _, err := io.WriteString(client, first); err != nil {
		t.Fatal(err)
	}
	<-u.began
	return finiteCall{
		end: func() {
			_, _ = io.WriteString(client, rest) // what fails is seen in the answer
			_ = client.Close()
		},
		result: func() string { return <-answered },
	}
}

// posted sends a request and gives its answer, as status and body, when it is there.
func posted(t *testing.T, client *http.Client, url, contentType string, body io.Reader) <-chan string {
	answered := make(chan string, 1)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", contentType)
	go func() {
		response, err := client.Do(request)
		if err != nil {
			answered <- err.Error()
			return
		}
		text, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		answered <- response.Status + " " + string(text) + response.Header.Get("Grpc-Status") + response.Trailer.Get("Grpc-Status")
	}()
	return answered
}

// dialled is a gRPC client of a gateway.
func dialled(t *testing.T, r *running, method string) grpc.ClientStream {
	t.Helper()
	conn, err := grpc.NewClient(strings.TrimPrefix(r.url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg(new(emptypb.Empty)); err != nil {
		t.Fatal(err)
	}
	return stream
}

// rest is how a gRPC stream ends.
func rest(stream grpc.ClientStream) string {
	for {
		if err := stream.RecvMsg(new(emptypb.Empty)); err != nil {
			if errors.Is(err, io.EOF) {
				return "200 OK"
			}
			return status.Code(err).String()
		}
	}
}

func uploadGRPC(t *testing.T, r *running, u *uploads) finiteCall {
	stream := dialled(t, r, "/u.v1.U/Upload")
	<-u.began
	return finiteCall{
		end: func() {
			_ = stream.SendMsg(new(emptypb.Empty)) // what fails is seen in the answer
			_ = stream.CloseSend()
		},
		result: func() string { return rest(stream) },
	}
}

func watchGRPC(t *testing.T, r *running, u *uploads) finiteCall {
	stream := dialled(t, r, "/u.v1.U/Watch")
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	<-u.began
	return finiteCall{end: func() { close(u.goOn) }, result: func() string { return rest(stream) }}
}

func watchConnect(t *testing.T, r *running, u *uploads) finiteCall {
	const message = `{}`
	envelope := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
	answered := posted(t, http.DefaultClient, r.url+"/u.v1.U/Watch", "application/connect+json", strings.NewReader(string(envelope)))
	<-u.began
	return finiteCall{end: func() { close(u.goOn) }, result: func() string { return <-answered }}
}

// TestShutdownAwaitsFiniteStreams: uploads, and streams with an end, of every protocol
// have shutdown_timeout to end; then they end with UNAVAILABLE (Semantics 320).
func TestShutdownAwaitsFiniteStreams(t *testing.T) {
	for name, begin := range finiteCalls {
		for _, late := range []bool{false, true} {
			t.Run(name+map[bool]string{true: " that is late"}[late], func(t *testing.T) {
				t.Parallel() // most of the time they wait
				timeout := map[bool]string{true: "3s", false: "60s"}[late]
				r, own, u := serveUploads(t, timeout)
				call := begin(t, r, u)
				stopped := make(chan struct{})
				go func() {
					defer close(stopped)
					r.stop()
				}()
				poll.Until(t, "the drain to begin", func() bool { return own.Draining() })
				if !late {
					// It goes on although nothing new is taken any more.
					poll.Until(t, "the listener to be closed", func() bool {
						c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
						if err == nil {
							_ = c.Close()
						}
						return err != nil
					})
					call.end()
				}
				got := call.result()
				if late != (strings.Contains(got, "navailable") || strings.Contains(got, `"code":14`)) || late == (strings.HasPrefix(got, "200 OK") && !strings.Contains(got, "error")) {
					t.Errorf("it ended with %q", got)
				}
				<-stopped
				if late {
					return
				}
				log := r.log.String()
				for _, want := range []string{`"msg":"draining: the gateway is shutting down","calls":0,"streams":1,"limit":"1m0s"`, `"msg":"stopped"`} {
					if !strings.Contains(log, want) {
						t.Errorf("no %s in %s", want, log)
					}
				}
			})
		}
	}
}

// TestShutdownAnswersBodiesThatStillArrive: a unary call whose body has not come when
// shutdown_timeout is over is answered in its client's own form (Semantics 311, 320).
func TestShutdownAnswersBodiesThatStillArrive(t *testing.T) {
	for name, c := range map[string]struct {
		path, contentType string
		http2             bool
		want              string
	}{
		"REST":             {"/v1/puts", "application/json", false, `503 Service Unavailable {"code":14,`},
		"REST, HTTP/2":     {"/v1/puts", "application/json", true, `503 Service Unavailable {"code":14,`},
		"Connect":          {"/u.v1.U/Put", "application/proto", false, `503 Service Unavailable {"code":"unavailable",`},
		"gRPC":             {"/u.v1.U/Put", "application/grpc", true, "200 OK 14"},
		"gRPC-Web":         {"/u.v1.U/Put", "application/grpc-web+proto", false, "200 OK 14"},
		"gRPC-Web, HTTP/2": {"/u.v1.U/Put", "application/grpc-web+proto", true, "200 OK 14"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of the time they wait
			r, own, _ := serveUploads(t, "3s")
			protocols := new(http.Protocols)
			protocols.SetHTTP1(!c.http2)
			protocols.SetUnencryptedHTTP2(c.http2)
			client := &http.Client{Transport: &http.Transport{Protocols: protocols}}
			t.Cleanup(client.CloseIdleConnections)
			body, writer := io.Pipe()
			t.Cleanup(func() { _ = writer.Close() })
			answered := posted(t, client, r.url+c.path, c.contentType, body)
			if _, err := writer.Write([]byte{'\x00', 0, 0, 0, 2}); err != nil { // a part of it, for all of them
				t.Fatal(err)
			}
			poll.Until(t, "the call to be in flight", func() bool { all, _ := own.InFlight(); return all == 1 })
			go r.stop()
			got := <-answered
			if !strings.HasPrefix(got, c.want) {
				t.Errorf("it ended with %q, want %q", got, c.want)
			}
		})
	}
}
