package gateway_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	cloudevents "github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// cloudEventProto is the message of CloudEvents' format for protobuf.
const cloudEventProto = `syntax = "proto3";
package io.cloudevents.v1;
import "google/protobuf/any.proto";
import "google/protobuf/timestamp.proto";
message CloudEvent {
  string id = 1;
  string source = 2;
  string spec_version = 3;
  string type = 4;
  map<string, CloudEventAttributeValue> attributes = 5;
  oneof data { bytes binary_data = 6; string text_data = 7; google.protobuf.Any proto_data = 8; }
  message CloudEventAttributeValue {
    oneof attr {
      bool ce_boolean = 1;
      int32 ce_integer = 2;
      string ce_string = 3;
      bytes ce_bytes = 4;
      string ce_uri = 5;
      string ce_uri_ref = 6;
      google.protobuf.Timestamp ce_timestamp = 7;
    }
  }
}
`

const wholeProto = `syntax = "proto3";
package whole.v1;
import "buf/validate/validate.proto";
import "google/protobuf/empty.proto";
import "io/cloudevents/v1/cloudevents.proto";
message Strict { string name = 1 [(buf.validate.field).string.pattern = "^shelves/[0-9]$"]; }
message Lax { string type = 1; }
service Taker {
  rpc Whole(io.cloudevents.v1.CloudEvent) returns (google.protobuf.Empty);
  rpc Checked(Strict) returns (google.protobuf.Empty);
  rpc Named(Lax) returns (google.protobuf.Empty);
}
`

// taker keeps the messages that its methods get, as they came.
type taker struct {
	mu  sync.Mutex
	got map[string][][]byte // by the method's own name
}

func (s *taker) serve(_ any, stream grpc.ServerStream) error {
	m := new(emptypb.Empty) // whose fields are all unknown
	if err := stream.RecvMsg(m); err != nil {
		return err
	}
	method, _ := grpc.MethodFromServerStream(stream)
	s.mu.Lock()
	defer s.mu.Unlock()
	name := method[strings.LastIndexByte(method, '/')+1:]
	s.got[name] = append(s.got[name], m.ProtoReflect().GetUnknown())
	return stream.SendMsg(m)
}

func (s *taker) of(method string) [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got[method]
}

func startTaker(t *testing.T, subscriptions, further string) (*gatewaytest.Gateway, *taker) {
	t.Helper()
	server := &taker{got: map[string][][]byte{}}
	return gatewaytest.Start(t, gatewaytest.Options{Backend: grpctest.ServeAny(t, server.serve),
		Protos: map[string]string{"shared.proto": withoutWhole(), "whole.proto": wholeProto, "io/cloudevents/v1/cloudevents.proto": cloudEventProto},
		Config: jwtConfig + "data_directory: " + t.TempDir() + "\nevents:\n  subscriptions: [" + subscriptions + "]\n" + further}), server
}

// TestSubscriptionOfCloudEvents: Events 161: a method that takes a CloudEvent gets the whole event.
func TestSubscriptionOfCloudEvents(t *testing.T) {
	g, server := startTaker(t, `{ name: whole, topic: told, method: whole.v1.Taker/Whole }, { name: bytes, topic: reads, method: whole.v1.Taker/Whole }`, "")
	g.Do(t, "GET", "/v1/told/shelves/1", "")
	poll.Until(t, "the event", func() bool { return len(server.of("Whole")) == 1 })
	e, err := cloudevents.ParseCloudEvent(server.of("Whole")[0])
	if err != nil || e.Type != "shelf.told" || e.Source != "/transom/shared.v1.Service/Tell" || len(e.ID) != 36 || e.DataContentType != cloudevents.JSON ||
		string(e.Data) != `{"name":"shelves/1"}` || e.Time.IsZero() || e.Extension("correlationid") == "" {
		t.Errorf("got %+v, %v", e, err)
	}
	g.Do(t, "GET", "/v1/shared/shelves/2", "")
	poll.Until(t, "the event of bytes", func() bool { return len(server.of("Whole")) == 2 })
	if e, err = cloudevents.ParseCloudEvent(server.of("Whole")[1]); err != nil || e.DataContentType != cloudevents.Protobuf || !strings.Contains(string(e.Data), "shelves/2") || e.Extension("partitionkey") != "shelves/2" {
		t.Errorf("got %+v, %v", e, err)
	}
}

// TestSubscriptionValidates: Events 163: an event that breaks the rules of the method's message does not get to
// its server, and is a dead letter that says which rule.
func TestSubscriptionValidates(t *testing.T) {
	g, server := startTaker(t, `{ name: checked, topic: told, method: whole.v1.Taker/Checked }`, "")
	g.Do(t, "GET", "/v1/told/shelves/bad", "")
	g.Do(t, "GET", "/v1/told/shelves/1", "")
	poll.Until(t, "a dead letter, and a call", func() bool { return len(deadLetters(t, g, "checked")) == 1 && len(server.of("Checked")) == 1 })
	if d := deadLetters(t, g, "checked")[0]; d.Code != "INVALID_ARGUMENT" || !strings.Contains(d.Message, "name") || d.Attempts != 1 {
		t.Errorf("got %+v", d)
	}
	if got := string(server.of("Checked")[0]); !strings.HasSuffix(got, "shelves/1") {
		t.Errorf("the server got %q", got)
	}
}

// TestSubscriptionUnknownFields: Events 161: a field of JSON that the message does not have is a mistake, as in a call, unless
// the method's policy json ignores such fields.
func TestSubscriptionUnknownFields(t *testing.T) {
	for _, ignored := range []bool{false, true} {
		t.Run(fmt.Sprint("ignored: ", ignored), func(t *testing.T) {
			g, server := startTaker(t, `{ name: visits, topic: user_behaviors, method: whole.v1.Taker/Named }`,
				fmt.Sprintf("  behaviour: {}\npolicies: [{ selector: whole.v1.Taker.Named, policy: { json: { ignore_unknown_fields: %t } } }]\n", ignored))
			g.Do(t, "POST", "/v1/events", `{"type":"user.click","anonymousId":"a1"}`)
			poll.Until(t, "a call, or a dead letter", func() bool { return len(server.of("Named"))+len(deadLetters(t, g, "visits")) == 1 })
			dead := deadLetters(t, g, "visits")
			if called := len(dead) == 0; called != ignored {
				t.Errorf("it was called: %t, %+v", called, dead)
			}
			if !ignored && (dead[0].Code != "INVALID_ARGUMENT" || !strings.Contains(dead[0].Message, "anonymousId")) {
				t.Errorf("got %+v", dead[0])
			}
		})
	}
}

// TestSubscriptionBehindBreaker: Events 166: while the method's circuit breaker is open its events wait, and
// use no attempts.
func TestSubscriptionBehindBreaker(t *testing.T) {
	server := new(counter)
	server.answer = func(_ string, calls int) error {
		if calls == 1 {
			return status.Error(codes.Internal, "ill")
		}
		return nil
	}
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: grpctest.ServeAny(t, server.serve), Protos: map[string]string{"shared.proto": withoutWhole()},
		Config: jwtConfig + "data_directory: " + t.TempDir() + `
events:
  subscriptions: [{ name: counts, topic: reads, method: shared.v1.Service/Count, max_attempts: 2 }]
policies:
  - { selector: shared.v1.Service.Count, policy: { circuit_breaker: { consecutive_failures: 1, open_for: 2s } } }
`})
	g.Do(t, "GET", "/v1/shared/shelves/1", "")
	calls := server.wait(t, "Count", 2)
	for i, want := range []string{"1", "2"} {
		if attempt := calls[i].md.Get("x-transom-attempt")[0]; attempt != want {
			t.Errorf("call %d is attempt %s, want %s", i+1, attempt, want)
		}
	}
	poll.Until(t, "the end of the event", func() bool { return g.Subscriptions(t.Context())[0].InFlight == 0 })
	if dead := deadLetters(t, g, "counts"); len(dead) != 0 || len(server.of("Count")) != 2 {
		t.Errorf("%d dead letters, %d calls", len(dead), len(server.of("Count")))
	}
}
