package gateway_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/keytest"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// subscribedProto has methods that publish (Read), and methods that events call.
const subscribedProto = `syntax = "proto3";
package shared.v1;
import "bookstore/v1/book.proto";
import "bookstore/v1/bookstore.proto";
import "google/api/annotations.proto";
import "transom/v1/annotations.proto";
service Service {
  rpc Read(bookstore.v1.GetShelfRequest) returns (bookstore.v1.Shelf) {
    option (google.api.http) = { get: "/v1/shared/{name=shelves/*}" };
    option (transom.v1.method) = {
      events: { type: "shelf.read" fields: "request.name" key: "request.name" subject: "request.name" delivery: AT_LEAST_ONCE topic: "reads" encoding: PROTOBUF }
    };
  }
  rpc Tell(bookstore.v1.GetShelfRequest) returns (bookstore.v1.Shelf) {
    option (google.api.http) = { get: "/v1/told/{name=shelves/*}" };
    option (transom.v1.method) = { events: { type: "shelf.told" fields: "name" on: REQUEST topic: "told" } };
  }
  rpc Count(bookstore.v1.GetShelfRequest) returns (bookstore.v1.Shelf) {
    option (transom.v1.method) = {
      auth: { jwt: {} allow: "principal == 'subscription:counts'" roles: "nobody" }
      events: { type: "shelf.counted" fields: "name" on: REQUEST topic: "counted" }
    };
  }
  rpc Whole(io.cloudevents.v1.CloudEvent) returns (bookstore.v1.Shelf);
  rpc Watch(bookstore.v1.GetShelfRequest) returns (stream bookstore.v1.Shelf);
}`

// counter is the server behind.
type counter struct {
	mu     sync.Mutex
	counts []counted
	answer func(name string, calls int) error
}

type counted struct {
	method, name string
	md           metadata.MD
}

func (s *counter) serve(_ any, stream grpc.ServerStream) error {
	request := new(pb.GetShelfRequest)
	if err := stream.RecvMsg(request); err != nil {
		return err
	}
	md, _ := metadata.FromIncomingContext(stream.Context())
	method, _ := grpc.MethodFromServerStream(stream)
	s.mu.Lock()
	s.counts = append(s.counts, counted{method, request.GetName(), md})
	n := 0
	for _, c := range s.counts {
		if c.method == method && c.name == request.GetName() {
			n++
		}
	}
	answer := s.answer
	s.mu.Unlock()
	if answer != nil && strings.HasSuffix(method, "/Count") {
		if err := answer(request.GetName(), n); err != nil {
			return err
		}
	}
	return stream.SendMsg(&pb.Shelf{Name: request.GetName()})
}

// of are the calls of a method.
func (s *counter) of(method string) (all []counted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.counts {
		if strings.HasSuffix(c.method, "/"+method) {
			all = append(all, c)
		}
	}
	return all
}

func (s *counter) wait(t *testing.T, method string, n int) []counted {
	t.Helper()
	poll.Until(t, fmt.Sprintf("%d calls of %s", n, method), func() bool { return len(s.of(method)) >= n })
	return s.of(method)
}

const jwtConfig = "auth: { jwt: [{ issuer: id, audience: toys, algorithms: [HS256], secret: \"0123456789abcdef0123456789abcdef\" }] }\n"

// subscribing starts a gateway with a data directory.
func subscribing(t *testing.T, server *counter, subscriptions string) *gatewaytest.Gateway {
	t.Helper()
	return gatewaytest.Start(t, gatewaytest.Options{Backend: grpctest.ServeAny(t, server.serve), Protos: map[string]string{"shared.proto": withoutWhole()},
		Config: jwtConfig + "data_directory: " + t.TempDir() + "\nevents:\n  subscriptions: [" + subscriptions + "]\n"})
}

func withoutWhole() string {
	return strings.Replace(subscribedProto, "  rpc Whole(io.cloudevents.v1.CloudEvent) returns (bookstore.v1.Shelf);\n", "", 1)
}

const countReads = `{ name: counts, topic: reads, method: shared.v1.Service/Count }`

// TestSubscription: Events 160, 161, 162, 163, 177 and 178: an event in the log calls a method, with
// what is known of the event, as the principal of the subscription.
func TestSubscription(t *testing.T) {
	server := new(counter)
	g := subscribing(t, server, countReads)
	if a := g.Do(t, "GET", "/v1/shared/shelves/1", ""); a.Status != 200 {
		t.Fatal(a)
	}
	got := server.wait(t, "Count", 1)[0]
	one := func(name string) string { return strings.Join(got.md.Get(name), ",") }
	if got.name != "shelves/1" || one("x-transom-principal") != "subscription:counts" || one("x-transom-attempt") != "1" || len(one("ce-id")) != 36 ||
		one("ce-source") != "/transom/shared.v1.Service/Read" || one("ce-type") != "shelf.read" || len(one("idempotency-key")) != 64 || len(one("traceparent")) != 55 {
		t.Errorf("%s with %v", got.name, got.md)
	}
	if a := g.Do(t, "GET", "/v1/shared/shelves/%C3%A9%25", ""); a.Status != 200 {
		t.Fatal(a)
	}
	if other := server.wait(t, "Count", 2)[1].md; one("ce-subject") != "shelves/1" || strings.Join(other.Get("ce-subject"), ",") != "shelves/%C3%A9%25" ||
		other.Get("idempotency-key")[0] == one("idempotency-key") || other.Get("traceparent")[0][:35] == one("traceparent")[:35] {
		t.Errorf("got %v and %v", got.md, other)
	}
}

// TestSubscriptionOfHiddenMethod: Events 163: a method that is hidden is called by subscriptions
// alone.
func TestSubscriptionOfHiddenMethod(t *testing.T) {
	server := new(counter)
	g := subscribing(t, server, countReads+"]\npolicies: [{ selector: shared.v1.Service.Count, policy: { hidden: true } }")
	for _, path := range []string{"/shared.v1.Service/Count", "/shared.v1.Service/None"} {
		if a := g.Do(t, "POST", path, `{"name":"shelves/9"}`); a.Status != 404 {
			t.Errorf("%s: %v", path, a)
		}
	}
	if a := g.Do(t, "GET", "/v1/shared/shelves/1", ""); a.Status != 200 {
		t.Fatal(a)
	}
	if got := server.wait(t, "Count", 1)[0]; got.name != "shelves/1" {
		t.Errorf("%v", got)
	}
}

// TestSubscriptionAttempts: Events 165 and 166: what fails is tried again with the same key, what
// no attempt will cure is put aside.
func TestSubscriptionAttempts(t *testing.T) {
	server := new(counter)
	server.answer = func(name string, calls int) error {
		switch {
		case name == "shelves/poison":
			return status.Error(codes.InvalidArgument, "no such shelf")
		case calls < 3:
			return status.Error(codes.Unavailable, "not now")
		}
		return nil
	}
	g := subscribing(t, server, countReads)
	g.Do(t, "GET", "/v1/shared/shelves/poison", "")
	g.Do(t, "GET", "/v1/shared/shelves/1", "")
	got := server.wait(t, "Count", 4)
	var attempts, keys []string
	for _, c := range got {
		if c.name == "shelves/1" {
			attempts, keys = append(attempts, c.md.Get("x-transom-attempt")...), append(keys, c.md.Get("idempotency-key")...)
		}
	}
	if !slices.Equal(attempts, []string{"1", "2", "3"}) || keys[0] != keys[1] || keys[1] != keys[2] {
		t.Errorf("the attempts were %v with the keys %v", attempts, keys)
	}
}

// TestSubscriptionPrincipal: Events 163: no client becomes a subscription, whatever it sends.
func TestSubscriptionPrincipal(t *testing.T) {
	server := new(counter)
	g := subscribing(t, server, countReads)
	token := keytest.Token(t, jwt.SigningMethodHS256, []byte("0123456789abcdef0123456789abcdef"), nil,
		map[string]any{"iss": "id", "aud": "toys", "sub": "subscription:counts", "roles": []string{"nobody"}, "exp": time.Now().Add(time.Hour).Unix()})
	for name, header := range map[string][]string{
		"nothing":  nil,
		"headers":  {"X-Transom-Principal", "subscription:counts", "X-Transom-Subscription", "counts"},
		"metadata": {"Grpc-Metadata-X-Transom-Principal", "subscription:counts"},
		"a token":  {"Authorization", "Bearer " + token},
	} {
		t.Run(name, func(t *testing.T) {
			header := append([]string{"Content-Type", "application/json", "Connect-Protocol-Version", "1"}, header...)
			if a := g.Do(t, "POST", "/shared.v1.Service/Count", `{"name":"shelves/1"}`, header...); a.Status != 401 {
				t.Error(a)
			}
		})
	}
	if n := len(server.of("Count")); n != 0 {
		t.Errorf("%d calls came through", n)
	}
}

// TestSubscriptionNotAllowed: Events 163: auth.allow is asked of a subscription, by its own name, and what it refuses does not
// get to the server.
func TestSubscriptionNotAllowed(t *testing.T) {
	server := new(counter)
	g := subscribing(t, server, strings.Replace(countReads, "counts", "others", 1))
	g.Do(t, "GET", "/v1/shared/shelves/1", "")
	poll.Until(t, "a dead letter", func() bool { return len(deadLetters(t, g, "others")) == 1 })
	if d := deadLetters(t, g, "others")[0]; d.Code != "PERMISSION_DENIED" || len(server.of("Count")) != 0 {
		t.Errorf("got %+v, and %d calls", d, len(server.of("Count")))
	}
}

// TestSubscriptionReload: Events 160: a subscription that a reload does not change goes on, one that
// it removes ends, and one that comes back goes on anew.
func TestSubscriptionReload(t *testing.T) {
	server := new(counter)
	g := subscribing(t, server, countReads)
	reload := reloading(t, g)
	g.Do(t, "GET", "/v1/shared/shelves/1", "")
	server.wait(t, "Count", 1)
	reload(func(s string) string { return s + "\n# nothing has changed\n" })
	g.Do(t, "GET", "/v1/shared/shelves/2", "")
	server.wait(t, "Count", 2)
	reload(func(s string) string {
		return strings.Replace(s, countReads, `{ name: counts, topic: reads, concurrency: 3, method: shared.v1.Service/Count }`, 1)
	})
	g.Do(t, "GET", "/v1/shared/shelves/3", "")
	if got := server.wait(t, "Count", 3); len(got) != 3 {
		t.Errorf("%d calls for 3 events", len(got))
	}
	reload(func(s string) string {
		return strings.Replace(s, "concurrency: 3, method: shared.v1.Service/Count", "method: shared.v1.Service/Tell", 1)
	})
	g.Do(t, "GET", "/v1/shared/shelves/4", "")
	server.wait(t, "Tell", 1)
	if got := server.of("Count"); len(got) != 3 {
		t.Errorf("%d calls for 3 events", len(got))
	}
}

// reloading returns what changes the configuration and has it read.
func reloading(t *testing.T, g *gatewaytest.Gateway) func(change func(string) string) {
	t.Helper()
	return func(change func(string) string) {
		t.Helper()
		text, err := os.ReadFile(g.Config)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(g.Config, []byte(change(string(text))), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSubscriptionReloadsDuringCall: Events 160: while a call is under way, the subscription of a later
// configuration waits, and neither makes the call, too, nor fails as its place is still read; however many
// there were, and whether it was gone in between.
func TestSubscriptionReloadsDuringCall(t *testing.T) {
	for name, between := range map[string]string{
		"changed": strings.Replace(countReads, "name: counts", "name: counts, concurrency: 2", 1),
		"removed": strings.Replace(countReads, "counts", "others", 1),
	} {
		t.Run(name, func(t *testing.T) {
			server, release := new(counter), make(chan struct{})
			server.answer = func(string, int) error {
				<-release
				return nil
			}
			g := subscribing(t, server, countReads)
			free := sync.OnceFunc(func() { close(release) })
			t.Cleanup(free)
			reload := reloading(t, g)
			g.Do(t, "GET", "/v1/shared/shelves/1", "")
			server.wait(t, "Count", 1)
			reload(func(s string) string { return strings.Replace(s, countReads, between, 1) })
			reload(func(s string) string {
				return strings.Replace(s, between, strings.Replace(countReads, "name: counts", "name: counts, concurrency: 3", 1)+
					", { name: tells, topic: reads, start: EARLIEST, method: shared.v1.Service/Tell }", 1)
			})
			server.wait(t, "Tell", 1) // by then the other one would have read the event, too
			if n := len(server.of("Count")); n != 1 {
				t.Errorf("%d calls at once for one event", n)
			}
			for _, one := range g.Subscriptions(t.Context()) {
				if one.Failure != nil {
					t.Errorf("%s: %v", one.Name, one.Failure)
				}
			}
			free()
			g.Do(t, "GET", "/v1/shared/shelves/2", "")
			if got := server.wait(t, "Count", 2); len(got) != 2 || got[1].name != "shelves/2" {
				t.Errorf("%d calls for 2 events", len(got))
			}
		})
	}
}

// What stands beside the subscriptions where they are of brokers.
const (
	besideKafka = "]\n  kafka: { brokers: [\"localhost:1\"] }\n  extensions: ["
	besideNATS  = "]\n  nats: { url: \"nats://localhost:1\" }\n  extensions: ["
)

// TestSubscriptionProblems: Events 160 and 178: what is wrong with a subscription is said at load,
// with its place.
func TestSubscriptionProblems(t *testing.T) {
	server := new(counter)
	g := subscribing(t, server, countReads)
	text, err := os.ReadFile(g.Config)
	if err != nil {
		t.Fatal(err)
	}
	for settings, want := range map[string]string{
		`{ name: a, topic: reads, method: shared.v1.Service/Cuont }`:                                                   `subscriptions[0].method: found "shared.v1.Service/Cuont", which no schema has as a method; did you mean shared.v1.Service/Count?`,
		`{ name: a, topic: reads, method: shared.v1.Service/Watch }`:                                                   `which streams; expected a unary method`,
		`{ name: a, topic: reads, method: shared.v1.Service }`:                                                         `subscriptions[0].method: found "shared.v1.Service", expected a method such as`,
		`{ name: a, topic: "a b", method: shared.v1.Service/Count }`:                                                   `subscriptions[0].topic: found "a b", expected 1 to 249`,
		`{ name: a, topic: a, source: kafak, method: shared.v1.Service/Count }`:                                        `subscriptions[0].source: found "kafak", expected one of log`,
		`{ name: A, topic: a, method: shared.v1.Service/Count }`:                                                       `subscriptions[0].name: found "A"`,
		countReads + ", " + countReads:                                                                                 `subscriptions[1].name: found "counts", which events.subscriptions[0] is called, too`,
		`{ name: a, topic: reads, method: shared.v1.Service/Read }`:                                                    `subscriptions[0].topic: found "reads", but calls of shared.v1.Service/Read publish shelf.read to it`,
		`{ name: a, topic: a, codes: { BAD: RETRY }, method: shared.v1.Service/R }`:                                    `codes.BAD: found no code of gRPC`,
		`{ name: a, topic: a, concurrency: 1025, method: shared.v1.Service/R }`:                                        `concurrency: found 1025, expected 1 to 1024`,
		`{ name: a, topic: a, source: nats, instance_id: b, method: shared.v1.Service/Count }` + besideNATS:            `instance_id: found "b", but only members of a group of Kafka have one`,
		`{ name: a, topic: "a..b", source: nats, method: shared.v1.Service/Count }` + besideNATS:                       `subscriptions[0].topic: found "a..b", expected a subject of NATS`,
		`{ name: a, topic: ".a", source: nats, method: shared.v1.Service/Count }` + besideNATS:                         `subscriptions[0].topic: found ".a", expected a subject of NATS`,
		`{ name: a, topic: "a.", source: nats, method: shared.v1.Service/Count }` + besideNATS:                         `subscriptions[0].topic: found "a.", expected a subject of NATS`,
		`{ name: a, topic: "a.>.b", source: nats, method: shared.v1.Service/Count }` + besideNATS:                      `subscriptions[0].topic: found "a.>.b", expected a subject of NATS`,
		`{ name: a, topic: "a.b*", source: nats, method: shared.v1.Service/Count }` + besideNATS:                       `subscriptions[0].topic: found "a.b*", expected a subject of NATS`,
		`{ name: a, topic: a, source: nats, dead_letter_topic: "a..b", method: shared.v1.Service/Count }` + besideNATS: `subscriptions[0].dead_letter_topic: found "a..b", expected a subject of NATS`,
		`{ name: a, topic: "a*", source: kafka, method: shared.v1.Service/Count }` + besideKafka:                       `subscriptions[0].topic: found "a*", expected 1 to 249`,
		`{ name: a, topic: a, source: kafka, dead_letter_topic: "a b", method: shared.v1.Service/R }` + besideKafka:    `dead_letter_topic: found "a b"`,
		`{ name: a, topic: a, source: kafak, method: shared.v1.Service/Count }` + besideKafka:                          `source: found "kafak", expected one of log, kafka; did you mean kafka?`,
		`{ name: a, topic: a, instance_id: b, method: shared.v1.Service/R }`:                                           `instance_id: found "b", but only members of a group of Kafka have one`,
	} {
		changed := strings.Replace(string(text), countReads, settings, 1)
		if err := os.WriteFile(g.Config, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := g.Reload(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), filepath.Base(g.Config)+":") {
			t.Errorf("%s: %v, want %s", settings, err, want)
		}
	}
	if _, err := g.Reload(t.Context()); !errors.As(err, new(interface{ Error() string })) {
		t.Error("it has loaded")
	}
	g.Do(t, "GET", "/v1/shared/shelves/1", "") // what was in service goes on
	server.wait(t, "Count", 1)
}
