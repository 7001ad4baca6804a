package gateway_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/events/subscription"
	"github.com/transom-gateway/transom/internal/gateway"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

func deadLetters(t *testing.T, g *gatewaytest.Gateway, name string) (all []subscription.Letter) {
	t.Helper()
	if err := g.DeadLetters(name, func(d subscription.Letter) bool { all = append(all, d); return true }); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestSubscriptionLoop: Events 178: a circle of topics and methods ends, with a dead letter.
func TestSubscriptionLoop(t *testing.T) {
	server := new(counter)
	g := subscribing(t, server, `{ name: counts, topic: told, method: shared.v1.Service/Count }, { name: tells, topic: counted, method: shared.v1.Service/Tell }`)
	g.Do(t, "GET", "/v1/told/shelves/1", "")
	poll.Until(t, "the end of the circle", func() bool { // events on REQUEST are there before their calls are
		return len(deadLetters(t, g, "counts"))+len(deadLetters(t, g, "tells")) > 0 && len(server.of("Tell"))+len(server.of("Count")) >= 10
	})
	dead := append(deadLetters(t, g, "counts"), deadLetters(t, g, "tells")...)
	if told, counts := len(server.of("Tell")), len(server.of("Count")); dead[0].Reason != "LOOP" || dead[0].Event.Extension("transomhops") != "9" || told+counts != 10 {
		t.Errorf("%+v after %d and %d calls", dead[0], told, counts)
	}
}

// TestDeadLettersAgain: Events 170: what no attempt will cure is put aside with the reason, may be sent
// again to the same method with the same id, and is gone when that succeeds.
func TestDeadLettersAgain(t *testing.T) {
	server := new(counter)
	server.answer = func(_ string, calls int) error {
		if calls < 3 {
			return status.Error(codes.FailedPrecondition, "no such shelf yet")
		}
		return nil
	}
	g := subscribing(t, server, countReads)
	g.Do(t, "GET", "/v1/shared/shelves/1", "")
	poll.Until(t, "a dead letter", func() bool { return len(deadLetters(t, g, "counts")) > 0 })
	d := deadLetters(t, g, "counts")[0]
	if d.Code != "FAILED_PRECONDITION" || d.Message != "no such shelf yet" || d.Attempts != 1 || d.Method != "shared.v1.Service/Count" || d.Topic != "reads" {
		t.Errorf("%+v", d)
	}
	if err := g.RetryDeadLetter(t.Context(), "counts", d.ID); err == nil || !strings.Contains(err.Error(), "FAILED_PRECONDITION") {
		t.Error(err)
	}
	if err := g.RetryDeadLetter(t.Context(), "counts", d.ID); err != nil {
		t.Error(err)
	}
	if err := g.RetryDeadLetter(t.Context(), "counts", d.ID); !errors.Is(err, subscription.ErrNoDead) {
		t.Error(err)
	}
	calls := server.of("Count")
	for _, c := range calls {
		if c.md.Get("ce-id")[0] != d.Event.ID {
			t.Errorf("a call with the id %s, want %s", c.md.Get("ce-id"), d.Event.ID)
		}
	}
	if len(calls) != 3 || len(deadLetters(t, g, "counts")) != 0 {
		t.Errorf("%d calls, and %d dead letters", len(calls), len(deadLetters(t, g, "counts")))
	}
	if err := g.PauseSubscription("none"); !errors.Is(err, gateway.ErrNoSubscription) {
		t.Error(err)
	}
}

// TestPauseAndSeek: Events 173, 174 and 175: a pause outlasts a restart, as does the place of a
// subscription, and it goes on where it is told.
func TestPauseAndSeek(t *testing.T) {
	server := new(counter)
	backend, data := grpctest.ServeAny(t, server.serve), t.TempDir()
	start := func() *gatewaytest.Gateway {
		return gatewaytest.Start(t, gatewaytest.Options{Backend: backend, Protos: map[string]string{"shared.proto": withoutWhole()},
			Config: jwtConfig + "data_directory: " + data + "\nevents:\n  subscriptions: [" + countReads + "]\n"})
	}
	g := start()
	g.Do(t, "GET", "/v1/shared/shelves/1", "")
	server.wait(t, "Count", 1)
	if err := g.PauseSubscription("counts"); err != nil {
		t.Fatal(err)
	}
	g.Do(t, "GET", "/v1/shared/shelves/2", "")
	g.Do(t, "GET", "/v1/shared/shelves/3", "")
	poll.Until(t, "lag", func() bool {
		s := g.Subscriptions(t.Context())[0]
		return s.Paused && s.InFlight == 2 && len(s.Lag) == 1 && s.Lag[0].End-s.Lag[0].Committed == 2 && !s.Lag[0].Oldest.IsZero()
	})
	g.Close()
	g = start()
	poll.Until(t, "what is paused", func() bool { return g.Subscriptions(t.Context())[0].InFlight == 2 })
	if n := len(server.of("Count")); n != 1 {
		t.Errorf("%d calls in a pause", n)
	}
	if err := g.ResumeSubscription("counts"); err != nil {
		t.Fatal(err)
	}
	if got := server.wait(t, "Count", 3); got[1].name+got[2].name != "shelves/2shelves/3" && got[2].name+got[1].name != "shelves/2shelves/3" {
		t.Errorf("after the pause there are %s and %s", got[1].name, got[2].name)
	}
	if at, err := g.SeekSubscription(t.Context(), "counts", subscription.Position{Earliest: true}); err != nil || len(at) != 1 || at[0] != 0 {
		t.Fatal(at, err)
	}
	server.wait(t, "Count", 6)
	if _, err := os.Stat(data + "/subscriptions/counts/paused"); err == nil {
		t.Error("the pause is still kept")
	}
}

// TestSubscriptionPromise: Events 164, 167 and 179: each event calls the method at least once and
// those of a key in their order, though calls fail and the gateway is restarted.
func TestSubscriptionPromise(t *testing.T) {
	server := new(counter)
	server.answer = func(_ string, calls int) error {
		if calls%3 == 1 {
			return status.Error(codes.Aborted, "once more")
		}
		return nil
	}
	backend, data := grpctest.ServeAny(t, server.serve), t.TempDir()
	start := func() *gatewaytest.Gateway {
		return gatewaytest.Start(t, gatewaytest.Options{Backend: backend, Protos: map[string]string{"shared.proto": withoutWhole()},
			Config: jwtConfig + "data_directory: " + data + "\nevents:\n  subscriptions: [" + countReads + "]\n"})
	}
	g := start()
	for range 3 {
		for range 20 {
			g.Do(t, "GET", "/v1/shared/shelves/1", "")
		}
		g.Close()
		g = start()
	}
	first := func() (ids []string) {
		for _, c := range server.of("Count") {
			if id := c.md.Get("ce-id")[0]; !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
		return ids
	}
	poll.Until(t, "all events", func() bool { return len(first()) == 60 })
	ids := first()
	if !slices.IsSortedFunc(ids, func(a, b string) int { return strings.Compare(a[:13], b[:13]) }) { // the time, in milliseconds
		t.Errorf("the events came in another order: %v", ids)
	}
}

// lookWhen is a log that looks when a configuration has come into service.
type lookWhen struct{ look func() }

// Write implements io.Writer.
func (l *lookWhen) Write(p []byte) (int, error) {
	if l.look != nil && strings.Contains(string(p), "in service") {
		l.look()
	}
	return len(p), nil
}

// TestNewSubscriptionMissesNothing: Events 173: when a configuration is in service, its new subscriptions
// have their places in the log.
func TestNewSubscriptionMissesNothing(t *testing.T) {
	log := new(lookWhen)
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: grpctest.ServeAny(t, new(counter).serve), Protos: map[string]string{"shared.proto": withoutWhole()}, Log: log,
		Config: jwtConfig + "data_directory: " + t.TempDir() + "\nevents:\n  subscriptions: [" + countReads + "]\n"})
	text, err := os.ReadFile(g.Config)
	if err != nil {
		t.Fatal(err)
	}
	more := countReads
	for i := range 20 {
		more += fmt.Sprintf(", { name: new-%d, topic: reads, method: shared.v1.Service/Count }", i)
	}
	if err := os.WriteFile(g.Config, []byte(strings.Replace(string(text), countReads, more, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	looked := 0
	log.look = func() {
		for _, s := range g.Subscriptions(t.Context()) {
			looked++
			if len(s.Lag) != 1 || s.LagError != nil {
				t.Errorf("%s has no place in the log: %v", s.Name, s.LagError)
			}
		}
		log.look = nil
	}
	if _, err := g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if looked != 21 {
		t.Errorf("looked at %d subscriptions", looked)
	}
}
