package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/transom-gateway/transom/internal/server"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// waiting is a server whose calls wait, the streams after a message, until their client
// goes or the test says go on.
type waiting struct {
	began, ended chan string
	goOn         chan struct{}
}

func (w *waiting) start(t *testing.T) string {
	t.Helper()
	w.began, w.ended, w.goOn = make(chan string, 9), make(chan string, 9), make(chan struct{})
	return grpctest.ServeAny(t, w.call)
}

func (w *waiting) call(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	unary := strings.HasSuffix(method, "/Get")
	if err := stream.RecvMsg(new(emptypb.Empty)); err != nil {
		return err
	}
	if !unary {
		if err := stream.SendMsg(new(emptypb.Empty)); err != nil {
			return err
		}
	}
	w.began <- method
	select {
	case <-stream.Context().Done():
		w.ended <- method
		return stream.Context().Err()
	case <-w.goOn:
	}
	if unary {
		return stream.SendMsg(new(emptypb.Empty))
	}
	return nil
}

// shuttingDown is a gateway that was told to end while calls are in flight: their
// bodies by Accept header, each begun.
func shuttingDown(t *testing.T, w *waiting, timeout string) (r *running, unary chan string, bodies map[string]*bufio.Reader) {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "p.proto"), goodProto)
	write(t, filepath.Join(dir, "transom.yaml"), "listeners: [{ address: \"127.0.0.1:0\" }]\nadmin: { address: \"127.0.0.1:0\" }\nschemas: [{ directory: . }]\n"+
		"shutdown_timeout: "+timeout+"\nupstreams: { s: { grpc: { target: \""+w.start(t)+"\" } } }\n")
	in := input{config: filepath.Join(dir, "transom.yaml")}
	r = startServing(t, func(ctx context.Context, s streams, started func(*server.Server)) error {
		return serve(ctx, in.load, s, started)
	})
	bodies = map[string]*bufio.Reader{}
	for _, accept := range []string{"text/event-stream", "application/x-ndjson"} {
		body := bufio.NewReader(opened(t, r.url+"/v1/things", accept).Body)
		if _, err := body.Peek(1); err != nil {
			t.Fatal(err)
		}
		bodies[accept] = body
		<-w.began
	}
	unary = make(chan string, 1)
	go func() {
		response := opened(t, r.url+"/v1/things/1", "application/json")
		text, _ := io.ReadAll(response.Body)
		unary <- response.Status + " " + string(text)
	}()
	<-w.began
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		r.stop()
	}()
	t.Cleanup(func() { <-stopped })
	return r, unary, bodies
}

func opened(t *testing.T, url, accept string) *http.Response {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Error(err)
		return &http.Response{Body: http.NoBody}
	}
	request.Header.Set("Accept", accept)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Error(err)
		return &http.Response{Body: http.NoBody}
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

// wantReconnect checks the end of a stream of server-sent events.
func wantReconnect(t *testing.T, w *waiting, events *bufio.Reader) {
	t.Helper()
	text, err := io.ReadAll(events)
	if err != nil || !strings.Contains(string(text), "retry: 1000\nevent: error\ndata: {\"code\":14,") {
		t.Errorf("SSE: %q, %v", text, err)
	}
	if method := <-w.ended; method != "/p.v1.S/List" {
		t.Error(method)
	}
}

// TestShutdownLetsFiniteCallsEnd: on SIGTERM streams without an end are asked to
// reconnect at once, and all other calls go on (Semantics 320).
func TestShutdownLetsFiniteCallsEnd(t *testing.T) {
	w := new(waiting)
	_, unary, bodies := shuttingDown(t, w, "60s")
	wantReconnect(t, w, bodies["text/event-stream"])
	close(w.goOn)
	if text, err := io.ReadAll(bodies["application/x-ndjson"]); err != nil || strings.Contains(string(text), "error") {
		t.Errorf("NDJSON: %q, %v", text, err)
	}
	if got := <-unary; !strings.HasPrefix(got, "200 OK {") {
		t.Errorf("unary: %s", got)
	}
}

// TestShutdownTimeout: what has not ended in time is ended with UNAVAILABLE (Semantics
// 320).
func TestShutdownTimeout(t *testing.T) {
	w := new(waiting)
	r, unary, bodies := shuttingDown(t, w, "3s")
	wantReconnect(t, w, bodies["text/event-stream"])
	if text, err := io.ReadAll(bodies["application/x-ndjson"]); err != nil || !strings.Contains(string(text), `{"error":{"code":14,`) {
		t.Errorf("NDJSON: %q, %v", text, err)
	}
	if got := <-unary; !strings.HasPrefix(got, "503 ") || !strings.Contains(got, `"code":14`) {
		t.Errorf("unary: %s", got)
	}
	if log := r.log.String(); !strings.Contains(log, "calls in flight are ended, as shutdown_timeout is over") {
		t.Errorf("the log does not say so: %s", log)
	}
}
