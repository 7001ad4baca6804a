package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	cloudevents "github.com/transom-gateway/transom/events"
	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/testing/eventtest"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

const tellingProto = `syntax = "proto3";
package shared.v1;
import "bookstore/v1/book.proto";
import "bookstore/v1/bookstore.proto";
import "google/api/annotations.proto";
import "transom/v1/annotations.proto";
service Service {
  rpc Read(bookstore.v1.GetShelfRequest) returns (bookstore.v1.Shelf) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (google.api.http) = { get: "/v1/shared/{name=shelves/*}" additional_bindings { post: "/v1/shared:read" body: "*" } };
    option (transom.v1.method) = {
      events: [
        { type: "shelf.asked" on: REQUEST fields: "name" subject: "name" key: "name" delivery: %[1]s },
        { type: "shelf.read" fields: ["request.name", "theme", "book_count"] subject: "request.name" key: "header.X-Shop" delivery: %[1]s },
        { type: "shelf.failed" on: ERROR fields: "name" delivery: %[1]s }
      ]
    };
  }
  rpc Watch(bookstore.v1.GetShelfRequest) returns (stream bookstore.v1.Shelf) {
    option (google.api.http) = { get: "/v1/watched/{name=shelves/*}" };
    option (transom.v1.method) = {
      events: { type: "shelf.watched" on: [REQUEST, RESPONSE, ERROR] fields: "request.name" delivery: %[1]s }
    };
  }
}`

// teller is the server behind. It counts the calls that reach it.
type teller struct{ calls atomic.Int64 }

func (s *teller) serve(_ any, stream grpc.ServerStream) error {
	request := new(pb.GetShelfRequest)
	if err := stream.RecvMsg(request); err != nil {
		return err
	}
	s.calls.Add(1)
	if strings.HasSuffix(request.GetName(), "none") {
		return status.Error(codes.NotFound, "no shelf")
	}
	return stream.SendMsg(&pb.Shelf{Name: request.GetName(), Theme: "poems", BookCount: 7})
}

// telling starts a gateway whose calls publish events.
func telling(t *testing.T, delivery, config string) (*gatewaytest.Gateway, *eventtest.Recorder, *teller) {
	t.Helper()
	server, recorder := new(teller), new(eventtest.Recorder)
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: grpctest.ServeAny(t, server.serve), Events: recorder, Config: config,
		Protos: map[string]string{"shared.proto": fmt.Sprintf(tellingProto, delivery)}})
	return g, recorder, server
}

func dialed(t *testing.T, g *gatewaytest.Gateway) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(g.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// TestEventsByProtocol: Events 120, 121, 122, 123, 127 and 131: a call publishes the same events by
// every protocol.
func TestEventsByProtocol(t *testing.T) {
	g, recorder, _ := telling(t, "BEST_EFFORT", "")
	for _, client := range sharedClients(dialed(t, g)) {
		t.Run(client.name, func(t *testing.T) {
			recorder.Reset()
			if a, err := client.ask(t.Context(), g, "shelves/1"); err != nil || a.code != codes.OK {
				t.Fatal(a, err)
			}
			got := recorder.Wait(t, 2)
			checkEvent(t, got[0], "publish", "shelf.asked", `{"name":"shelves/1"}`, "shelves/1")
			checkEvent(t, got[1], "publish", "shelf.read", `{"request":{"name":"shelves/1"},"response":{"theme":"poems","bookCount":7}}`, "")
			if got[0].ID == got[1].ID || got[0].Extension("correlationid") == "" || got[1].Subject != "shelves/1" || got[0].Extension("code") != "" {
				t.Errorf("%+v %+v", got[0].Event, got[1].Event)
			}
		})
		t.Run(client.name+", an error", func(t *testing.T) {
			recorder.Reset()
			if a, err := client.ask(t.Context(), g, "shelves/none"); err != nil || a.code != codes.NotFound {
				t.Fatal(a, err)
			}
			got := recorder.Wait(t, 2)
			checkEvent(t, got[1], "publish", "shelf.failed", `{"name":"shelves/none"}`, "")
			if len(got) != 2 || got[1].Extension("code") != "NOT_FOUND" {
				t.Errorf("%+v", got[1].Event)
			}
		})
	}
}

func checkEvent(t *testing.T, e eventtest.Recorded, how, kind, data, key string) {
	t.Helper()
	var got, want any
	if json.Unmarshal(e.Data, &got) != nil || json.Unmarshal([]byte(data), &want) != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s has the data %s, want %s", kind, e.Data, data)
	}
	if e.How != how || e.Type != kind || e.Key != key || e.Extension("partitionkey") != key || !strings.HasPrefix(e.Source, "/transom/shared.v1.Service/") ||
		len(e.ID) != 36 || e.ID[14] != '7' || e.Topic != "misc_events" || e.DataContentType != cloudevents.JSON || e.Time.IsZero() {
		t.Errorf("%s: %+v", e.How, e.Event)
	}
}

// TestEventsOfRefusedCalls: Events 139: what never gets as far as the backend publishes errors alone,
// whoever refuses it: a policy, or the edge.
func TestEventsOfRefusedCalls(t *testing.T) {
	g, recorder, server := telling(t, "BEST_EFFORT", "policies: [{ selector: \"shared.v1.Service.*\", policy: { rate_limit: [{ requests: 1, per: 3600s, key: HEADER, header: x-limit }] } }]\n")
	if a := g.Do(t, "POST", "/v1/shared:read", `{"nam`); a.Status != 400 {
		t.Fatal(a)
	}
	got := recorder.Wait(t, 1)
	if checkEvent(t, got[0], "publish", "shelf.failed", `{}`, ""); got[0].Extension("code") != "INVALID_ARGUMENT" {
		t.Errorf("%+v", got[0].Event)
	}
	g.Do(t, "GET", "/v1/shared/shelves/1", "", "X-Limit", "a")
	recorder.Wait(t, 3)
	recorder.Reset()
	before := server.calls.Load()
	if a := g.Do(t, "GET", "/v1/shared/shelves/1", "", "X-Limit", "a"); a.Status != 429 {
		t.Fatal(a)
	}
	got = recorder.Wait(t, 1)
	if checkEvent(t, got[0], "publish", "shelf.failed", `{}`, ""); len(got) != 1 || server.calls.Load() != before || got[0].Extension("code") != "RESOURCE_EXHAUSTED" {
		t.Errorf("%+v", got)
	}
}

// TestStoredBefore: Events 136 and 137: the event of a request is stored before the backend is called,
// and that of an answer before anything of the answer leaves, by every protocol.
func TestStoredBefore(t *testing.T) {
	g, recorder, server := telling(t, "AT_LEAST_ONCE", "")
	for _, client := range sharedClients(dialed(t, g)) {
		t.Run(client.name, func(t *testing.T) {
			recorder.Reset()
			before := server.calls.Load()
			ctx, answered := context.WithCancel(t.Context())
			defer answered()
			recorder.Stored = func(e *cloudevents.Event) {
				if reached := server.calls.Load() > before; reached != (e.Type == "shelf.read") || ctx.Err() != nil {
					t.Errorf("%s is stored when the backend was called: %v, or the client was answered: %v", e.Type, reached, ctx.Err())
				}
			}
			a, err := client.ask(t.Context(), g, "shelves/1")
			answered()
			if err != nil || a.code != codes.OK {
				t.Fatal(a, err)
			}
			if got := recorder.All(); len(got) != 2 || got[0].How != "store" || got[1].How != "store" {
				t.Errorf("there are %v when the client has its answer", got)
			}
		})
	}
}

// TestLogAway: Events 137: without a log no call with events before it gets to the backend, and
// says why by every protocol.
func TestLogAway(t *testing.T) {
	g, recorder, server := telling(t, "AT_LEAST_ONCE", "")
	recorder.Fail = errors.New("the disk is full")
	for _, client := range sharedClients(dialed(t, g)) {
		t.Run(client.name, func(t *testing.T) {
			a, err := client.ask(t.Context(), g, "shelves/1")
			if err != nil && strings.HasPrefix(client.name, "REST") { // its client knows no other answers
				a.code, a.message, err = codes.Unavailable, err.Error(), nil
			}
			if err != nil || a.code != codes.Unavailable || !strings.Contains(a.message, "event cannot be stored") || server.calls.Load() != 0 {
				t.Errorf("%+v, %v, %d calls", a, err, server.calls.Load())
			}
		})
	}
	answer := g.Do(t, "GET", "/v1/shared/shelves/1", "")
	if answer.Status != 503 || !strings.Contains(answer.Body, "EVENT_LOG_UNAVAILABLE") {
		t.Error(answer)
	}
}

// TestStreamEvents: Events 136 and 137: a stream's events are of its first message and of its final
// status, before which they are stored.
func TestStreamEvents(t *testing.T) {
	g, recorder, server := telling(t, "AT_LEAST_ONCE", "")
	for _, accept := range []string{"text/event-stream", "application/x-ndjson"} {
		recorder.Reset()
		if a := g.Do(t, "GET", "/v1/watched/shelves/1", "", "Accept", accept); a.Status != 200 {
			t.Fatal(a)
		}
		got := recorder.Wait(t, 2)
		for i, want := range []string{`{"name":"shelves/1"}`, `{"name":"shelves/1"}`} {
			checkEvent(t, got[i], "store", "shelf.watched", want, "")
		}
	}
	stream, err := dialed(t, g).NewStream(metadata.AppendToOutgoingContext(t.Context(), "x-a", "b"), &grpc.StreamDesc{ServerStreams: true}, "/shared.v1.Service/Watch")
	if err != nil {
		t.Fatal(err)
	}
	recorder.Reset()
	if err := errors.Join(stream.SendMsg(&pb.GetShelfRequest{Name: "shelves/2"}), stream.CloseSend()); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		err = stream.RecvMsg(new(pb.Shelf))
	}
	if got := recorder.All(); err != io.EOF || len(got) != 2 {
		t.Errorf("the stream ended with %v and %v", err, got)
	}
	recorder.Fail = errors.New("the disk is full")
	before := server.calls.Load()
	if a := g.Do(t, "GET", "/v1/watched/shelves/1", ""); a.Status != http.StatusServiceUnavailable || server.calls.Load() != before {
		t.Error(a)
	}
}

// TestLost: Events 137: when the backend has acted, an event that cannot be stored is counted, and the
// client gets its answer.
func TestLost(t *testing.T) {
	g, recorder, server := telling(t, "AT_LEAST_ONCE", "policies: [{ selector: shared.v1.Service.Read, policy: { events: [{ type: shelf.read, delivery: AT_LEAST_ONCE }] } }]\n")
	recorder.Fail = errors.New("the disk is full")
	for _, client := range sharedClients(dialed(t, g)) {
		recorder.Reset()
		a, err := client.ask(t.Context(), g, "shelves/1")
		if got := recorder.All(); err != nil || a.code != codes.OK || len(got) != 1 || got[0].How != "lost" {
			t.Errorf("%s: %+v, %v, %v", client.name, a, err, got)
		}
	}
	if server.calls.Load() == 0 {
		t.Error("the backend was not called")
	}
}

// TestIntents: Events 138: an intent is stored before the call, and completed by what became of it.
func TestIntents(t *testing.T) {
	g, recorder, server := telling(t, "AT_LEAST_ONCE", "policies: [{ selector: shared.v1.Service.Read, policy: { events: [{ type: shelf.read, fields: [request.name], delivery: AT_LEAST_ONCE, intent: true }] } }]\n")
	recorder.Stored = func(*cloudevents.Event) {
		if n := len(recorder.All()); n == 0 && server.calls.Load() != 0 {
			t.Error("the backend was called before the intent was stored")
		}
	}
	g.Do(t, "GET", "/v1/shared/shelves/1", "")
	got := recorder.Wait(t, 2)
	if got[0].How != "begin" || got[1].How != "complete" || got[0].ID != got[1].ID || string(got[0].Data) != `{"name":"shelves/1"}` {
		t.Errorf("%+v", got)
	}
	recorder.Reset()
	recorder.Stored = nil
	g.Do(t, "GET", "/v1/shared/shelves/none", "")
	if got := recorder.Wait(t, 2); got[1].How != "withdraw" || got[0].ID != got[1].ID {
		t.Errorf("%+v", got)
	}
}
