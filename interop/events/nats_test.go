// Package events has readers and brokers of others take the events of sinks.
package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/transom-gateway/transom/events"
	natssink "github.com/transom-gateway/transom/events/nats"
	"github.com/transom-gateway/transom/internal/testing/keytest"
	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/poll"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// child names a folder of the environment: with it, this program is a NATS server.
const child = "TRANSOM_NATS_SERVER"

func TestMain(m *testing.M) {
	if config := os.Getenv(child); config != "" {
		options, err := server.ProcessConfigFile(config)
		if err != nil {
			log.Fatal(err)
		}
		options.NoSigs = true
		s, err := server.NewServer(options)
		if err != nil {
			log.Fatal(err)
		}
		s.Start()
		ended := make(chan os.Signal, 1)
		signal.Notify(ended, syscall.SIGTERM)
		go func() {
			<-ended
			s.Shutdown()
		}()
		s.WaitForShutdown()
		return
	}
	os.Exit(m.Run())
}

// natsServer is a real NATS server in a process of its own. What it has acknowledged survives
// kill and start.
type natsServer struct {
	t       *testing.T
	address string
	dir     string
	process *exec.Cmd
}

func startNATS(t *testing.T, more string) *natsServer {
	t.Helper()
	s := &natsServer{t: t, address: loopback.Address(t), dir: t.TempDir()}
	config := fmt.Sprintf("listen: %q\njetstream { store_dir: %q, sync_interval: always }\n%s", s.address, filepath.Join(s.dir, "store"), more)
	s.write("server.conf", config)
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *natsServer) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *natsServer) start() {
	s.process = exec.Command(os.Args[0])
	s.process.Env = append(os.Environ(), child+"="+filepath.Join(s.dir, "server.conf"))
	s.process.Stderr = os.Stderr
	if err := s.process.Start(); err != nil {
		s.t.Error(err)
		return
	}
	if !poll.Within(time.Minute, func() bool {
		conn, err := net.DialTimeout("tcp", s.address, time.Second)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}) {
		s.t.Error("the NATS server does not listen")
	}
}

func (s *natsServer) kill() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

// stop ends the process when all that it knows is on the disk.
func (s *natsServer) stop() {
	_ = s.process.Process.Signal(syscall.SIGTERM)
	_ = s.process.Wait()
}

func env(t testing.TB) events.Env {
	return events.Env{
		Resolve: func(name string) string { return name },
		Secret:  func(value string) (string, error) { return value, nil },
		Log:     slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

func openNATS(t *testing.T, settings *transomv1.NatsSink) *natssink.Sink {
	t.Helper()
	s, err := natssink.Open("nats", settings, env(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func event(key string, n int) *events.Event {
	at := time.Now()
	return &events.Event{ID: events.NewID(at), Source: "/transom/test.Service/Method", Type: "user.test", Subject: `an "é"`, Time: at,
		DataContentType: events.JSON, Data: fmt.Appendf(nil, `{"n":%d}`, n), Topic: "user_behaviors", Key: key}
}

// send sends all events until each has its acknowledgement.
func send(t *testing.T, s events.Sink, batch ...*events.Event) {
	t.Helper()
	drain(t, s, func() *events.Event {
		if len(batch) == 0 {
			return nil
		}
		e := batch[0]
		batch = batch[1:]
		return e
	}, func(int) {})
}

// drain sends events as a bus does, those that failed before the others, until all have been
// acknowledged. It calls during after each batch with how many have.
func drain(t *testing.T, s events.Sink, next func() *events.Event, during func(acknowledged int)) {
	t.Helper()
	var rest []*events.Event
	acknowledged, more := 0, true
	deadline := time.Now().Add(3 * time.Minute)
	for {
		for more && len(rest) < 50 {
			e := next()
			if more = e != nil; more {
				rest = append(rest, e)
			}
		}
		if len(rest) == 0 {
			return
		}
		errs := make([]error, len(rest))
		s.Send(t.Context(), rest, errs)
		var again []*events.Event
		for i, err := range errs {
			switch {
			case errors.Is(err, events.ErrRejected), err != nil && time.Now().After(deadline):
				t.Fatalf("%s: %v", rest[i].Data, err)
			case err != nil:
				again = append(again, rest[i])
			default:
				acknowledged++
			}
		}
		rest = again
		during(acknowledged)
	}
}

// messages are those of a stream.
func (s *natsServer) messages(stream string, n int, options ...nats.Option) []jetstream.Msg {
	s.t.Helper()
	conn, err := nats.Connect("nats://"+s.address, options...)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	consumer, err := js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{})
	if err != nil {
		s.t.Fatal(err)
	}
	info, err := js.Stream(ctx, stream)
	if err != nil {
		s.t.Fatal(err)
	}
	all, err := consumer.Fetch(int(info.CachedInfo().State.Msgs))
	if err != nil {
		s.t.Fatal(err)
	}
	var got []jetstream.Msg
	for m := range all.Messages() {
		got = append(got, m)
	}
	if len(got) < n {
		s.t.Fatalf("stream %s holds %d messages, want at least %d", stream, len(got), n)
	}
	return got
}

// TestNATS holds Events 125: a stream has acknowledged what is sent, under the event's own id, and a double is a success.
func TestNATS(t *testing.T) {
	s := startNATS(t, "")
	sink := openNATS(t, &transomv1.NatsSink{Url: "nats://" + s.address, CreateStream: "EVENTS"})
	one := event("ann 1", 1)
	for range 2 {
		send(t, sink, one, event("", 2)) // the double is dropped
	}
	got := s.messages("EVENTS", 3)
	if len(got) != 3 {
		t.Fatalf("got %d messages", len(got))
	}
	found := false
	for _, m := range got {
		if h := m.Headers(); h.Get("ce-id") == one.ID {
			found = true
			if m.Subject() != "events.user.test" || h.Get("Nats-Msg-Id") != one.ID || h.Get("ce-subject") != "an%20%22%C3%A9%22" || h.Get("ce-partitionkey") != "ann%201" ||
				h.Get("content-type") != "application/json" || string(m.Data()) != `{"n":1}` {
				t.Errorf("got %v, %s at %s", h, m.Data(), m.Subject())
			}
		}
	}
	if !found {
		t.Error("the first event is not there")
	}
}

// TestNATSRefusals holds Events 125: what no stream acknowledges is not sent, and waits for one; what is too large for the server
// is rejected.
func TestNATSRefusals(t *testing.T) {
	s := startNATS(t, "max_payload: 10000\n")
	sink := openNATS(t, &transomv1.NatsSink{Url: "nats://" + s.address, Mode: transomv1.EventMode_STRUCTURED})
	large, odd := event("ann", 1), event("ann", 2)
	large.Data = []byte(`"` + strings.Repeat("x", 10_000) + `"`)
	odd.Type = "a..b"
	errs := make([]error, 3)
	sink.Send(t.Context(), []*events.Event{large, odd, event("ann", 3)}, errs)
	if !errors.Is(errs[0], events.ErrRejected) || !errors.Is(errs[1], events.ErrRejected) {
		t.Errorf("got %v, %v", errs[0], errs[1])
	}
	if err := errs[2]; err == nil || errors.Is(err, events.ErrRejected) || !strings.Contains(err.Error(), "no stream takes the subject events.user.test: create one, or set create_stream") {
		t.Errorf("got %v", err)
	}
	other := openNATS(t, &transomv1.NatsSink{Url: "nats://" + s.address, CreateStream: "EVENTS"})
	send(t, other, event("ann", 4))
	send(t, sink, event("ann", 3))
	if n := len(s.messages("EVENTS", 2)); n != 2 {
		t.Errorf("got %d messages", n)
	}
}

// TestNATSAway holds Events 152 for a server that goes: what is told of the sink is why the connection does not come back.
func TestNATSAway(t *testing.T) {
	s := startNATS(t, "")
	sink := openNATS(t, &transomv1.NatsSink{Url: "nats://" + s.address, CreateStream: "EVENTS"})
	send(t, sink, event("ann", 1))
	s.kill()
	errs := make([]error, 1)
	t.Run("Events 152: the server has gone", func(t *testing.T) {
		poll.Until(t, "the reason", func() bool {
			sink.Send(t.Context(), []*events.Event{event("ann", 2)}, errs)
			if errs[0] == nil || strings.Contains(errs[0].Error(), "buffer") {
				t.Fatal(errs[0])
			}
			return strings.Contains(errs[0].Error(), "there is no connection: ") && strings.Contains(errs[0].Error(), "connection refused")
		})
	})
	s.start()
	send(t, sink, event("ann", 2))
}

// TestNATSSecurity sends by user and token over TLS with a client's certificate, and says what
// is wrong with another password.
func TestNATSSecurity(t *testing.T) {
	dir := t.TempDir()
	cert, key := keytest.Certificate(t, "nats.test")
	clientCert, clientKey := keytest.Certificate(t, "client.test")
	for name, text := range map[string]string{"cert.pem": cert, "key.pem": key, "client.pem": clientCert, "client-key.pem": clientKey} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := func(name string) string { return filepath.Join(dir, name) }
	secure := fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }\n", path("cert.pem"), path("key.pem"), path("client.pem"))
	tls := &transomv1.SinkTls{Ca: path("cert.pem"), Cert: path("client.pem"), Key: path("client-key.pem"), ServerName: "nats.test"}
	for name, test := range map[string]struct {
		config       string
		right, wrong *transomv1.NatsSink
	}{
		"user":  {"authorization { user: ann, password: hunter2 }\n", &transomv1.NatsSink{Username: "ann", Password: "hunter2"}, &transomv1.NatsSink{Username: "ann", Password: "hunter3"}},
		"token": {"authorization { token: hunter2 }\n", &transomv1.NatsSink{Token: "hunter2"}, &transomv1.NatsSink{Token: "hunter3"}},
		"TLS":   {secure, &transomv1.NatsSink{Tls: tls}, &transomv1.NatsSink{}},
	} {
		t.Run(name, func(t *testing.T) {
			s := startNATS(t, test.config)
			test.right.Url, test.wrong.Url, test.right.CreateStream = "nats://"+s.address, "nats://"+s.address, "EVENTS"
			send(t, openNATS(t, test.right), event("ann", 1))
			errs := make([]error, 1)
			openNATS(t, test.wrong).Send(t.Context(), []*events.Event{event("ann", 2)}, errs)
			if err := errs[0]; err == nil || errors.Is(err, events.ErrRejected) || strings.Contains(err.Error(), "hunter") {
				t.Errorf("got %v", err)
			} else {
				t.Log(err)
			}
		})
	}
}

// TestNATSReplacedPassword holds Events 152: a password that is replaced is read for the next connection, be it the first or
// one that comes back.
func TestNATSReplacedPassword(t *testing.T) {
	config := func(s *natsServer, password string) {
		s.write("server.conf", fmt.Sprintf("listen: %q\njetstream { store_dir: %q, sync_interval: always }\nauthorization { user: ann, password: %s }\n",
			s.address, filepath.Join(s.dir, "store"), password))
	}
	s := startNATS(t, "authorization { user: ann, password: hunter1 }\n")
	var password atomic.Value
	password.Store("hunter0")
	e := env(t)
	e.Secret = func(value string) (string, error) {
		if value == "file:password" {
			value = password.Load().(string)
		}
		return value, nil
	}
	sink, err := natssink.Open("nats", &transomv1.NatsSink{Url: "nats://" + s.address, CreateStream: "EVENTS", Username: "ann", Password: "file:password"}, e)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sink.Close() })
	errs := make([]error, 1)
	if sink.Send(t.Context(), []*events.Event{event("ann", 1)}, errs); errs[0] == nil || errors.Is(errs[0], events.ErrRejected) {
		t.Fatalf("with another password: %v", errs[0])
	}
	password.Store("hunter1")
	send(t, sink, event("ann", 1))
	s.kill()
	config(s, "hunter2")
	password.Store("hunter2")
	s.start()
	send(t, sink, event("ann", 2))
	if n := len(s.messages("EVENTS", 2, nats.UserInfo("ann", "hunter2"))); n != 2 {
		t.Errorf("got %d messages", n)
	}
}

// TestKilledNATS kills the server twice while events are sent: each is there, those of a key
// in their order.
func TestKilledNATS(t *testing.T) {
	s := startNATS(t, "")
	sink := openNATS(t, &transomv1.NatsSink{Url: "nats://" + s.address, CreateStream: "EVENTS"})
	const keys, each = 20, 50
	all := make(chan *events.Event)
	var makers sync.WaitGroup
	for k := range keys {
		makers.Go(func() {
			for n := range each {
				all <- event(fmt.Sprint("key-", k), n)
			}
		})
	}
	go func() { makers.Wait(); close(all) }()
	kills := 0
	var back sync.WaitGroup
	drain(t, sink, func() *events.Event { return <-all }, func(acknowledged int) {
		if acknowledged > (kills+1)*keys*each/3 && kills < 2 {
			back.Wait()
			kills++
			back.Go(func() { s.kill(); s.start() })
		}
	})
	back.Wait()
	next, doubles := map[string]int{}, 0
	for _, m := range s.messages("EVENTS", keys*each) {
		var data struct{ N int }
		if err := json.Unmarshal(m.Data(), &data); err != nil {
			t.Fatal(err)
		}
		switch key := m.Headers().Get("ce-partitionkey"); {
		case data.N == next[key]:
			next[key]++
		case data.N < next[key]:
			doubles++
		default:
			t.Fatalf("%s: found %d where %d should be", key, data.N, next[key])
		}
	}
	for k := range keys {
		if n := next[fmt.Sprint("key-", k)]; n != each {
			t.Errorf("key %d: found %d of %d events", k, n, each)
		}
	}
	t.Logf("sent %d, doubles %d, kills %d", keys*each, doubles, kills)
	if kills != 2 {
		t.Errorf("the server was killed %d times", kills)
	}
}
