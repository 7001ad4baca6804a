package events

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/events"
	natssink "github.com/transom-gateway/transom/events/nats"
	"github.com/transom-gateway/transom/events/subscription"
	"github.com/transom-gateway/transom/internal/testing/eventtest"
	"github.com/transom-gateway/transom/internal/testing/poll"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// subscribe starts a member.
func subscribe(t *testing.T, settings *transomv1.NatsSink, what subscription.Reading, h *eventtest.Handled) *subscription.Subscription {
	t.Helper()
	source, err := natssink.OpenSource("nats", settings, what, env(t))
	if err != nil {
		t.Fatal(err)
	}
	setup := subscription.Setup{
		Source: source, Store: &subscription.Store{Folder: t.TempDir()},
		Options: subscription.Options{Name: what.Subscription, Call: h.Call, Logger: env(t).Log, MaxAttempts: 2, Order: what.Order},
	}
	setup.Dead = func(ctx context.Context, m *subscription.Message, r subscription.Result, attempts int) error {
		d := subscription.NewLetter("a.v1.S/M", m, r, attempts)
		d.Code = strings.ToUpper(r.Code.String())
		return source.(subscription.DeadLetters).Bury(ctx, m, d) //nolint:forcetypeassert // the test fails
	}
	s := subscription.Start(setup)
	t.Cleanup(func() { stopMember(t, s) })
	return s
}

func stopMember(t *testing.T, s *subscription.Subscription) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	s.Stop(ctx)
}

func reading() subscription.Reading {
	return subscription.Reading{Subscription: "counts", Topic: "events.>", Group: "transom-counts", Start: subscription.Position{Earliest: true}, DeadLetters: "dead.counts"}
}

// fill sends ten keys the events of some numbers each, in their order.
func fill(t *testing.T, sink events.Sink, from, to int) {
	t.Helper()
	var batch []*events.Event
	for n := from; n < to; n++ {
		for k := range 10 {
			batch = append(batch, event(fmt.Sprint("key ", k), n))
		}
	}
	send(t, sink, batch...)
}

// TestNATSSource: Events 164, 167 and 176: a server that is killed while its messages are dealt with comes back, and
// each message has its effect, those of a key in their order; a second member shares the work, and the consumer can be moved
// while nobody else has it.
func TestNATSSource(t *testing.T) {
	s := startNATS(t, "")
	settings := &transomv1.NatsSink{Url: "nats://" + s.address, CreateStream: "EVENTS"}
	sink, h := openNATS(t, settings), &eventtest.Handled{}
	wait := func(n int) {
		t.Helper()
		poll.Until(t, fmt.Sprintf("%d messages", n), func() bool { done, _ := h.Done(); return done >= n })
	}
	fill(t, sink, 0, 20)
	first := subscribe(t, settings, reading(), h)
	wait(50)
	s.kill()
	poll.Until(t, "the failure is told", func() bool { return first.Status(t.Context()).Failure != nil })
	s.start()
	fill(t, sink, 20, 30)
	wait(300)
	idle := func(of *subscription.Subscription) func() bool {
		return func() bool {
			st := of.Status(t.Context())
			return st.LagError == nil && len(st.Lag) == 1 && st.Lag[0].End == st.Lag[0].Committed && st.Failure == nil
		}
	}
	poll.Until(t, "nothing waits", idle(first))
	second := subscribe(t, settings, reading(), h)
	poll.Until(t, "the second member", idle(second))
	poll.Until(t, "a refusal", func() bool {
		_, err := first.Seek(t.Context(), subscription.Position{Earliest: true})
		return err != nil && strings.Contains(err.Error(), "has members in other processes")
	})
	stopMember(t, second)
	if _, err := first.Seek(t.Context(), subscription.Position{Offset: 1 << 40}); !errors.Is(err, subscription.ErrNotMoved) || !strings.Contains(err.Error(), "the stream EVENTS has 1 to ") {
		t.Errorf("moved behind the end of the stream: %v", err)
	}
	_, before := h.Done()
	for _, m := range []struct {
		to   subscription.Position
		want int64
	}{{subscription.Position{Latest: true}, 301}, {subscription.Position{Offset: 200}, 200}, {subscription.Position{Earliest: true}, 1}} {
		if at, err := first.Seek(t.Context(), m.to); err != nil || len(at) != 1 || at[0] != m.want {
			t.Fatalf("%+v: it goes on at %v, %v, want %d", m.to, at, err, m.want)
		}
	}
	poll.Until(t, "all once more", func() bool { _, calls := h.Done(); return calls >= before+300 })
	if len(h.Wrong()) > 0 {
		t.Errorf("out of order: %v", h.Wrong())
	}
}

// TestNATSSourceAfterCrash: Events 167 and 176: what a member had under way that is gone comes again when ack_wait is over,
// and the next member keeps later messages of the same keys until then. So does the one behind it, to which these come first, as
// they were given back.
func TestNATSSourceAfterCrash(t *testing.T) {
	s := startNATS(t, "")
	settings := &transomv1.NatsSink{Url: "nats://" + s.address, CreateStream: "EVENTS"}
	sink, h := openNATS(t, settings), &eventtest.Handled{}
	fill(t, sink, 0, 4)
	takeAndLeave(t, s, reading(), 25)
	fill(t, sink, 4, 20)
	js, leave := jetStream(t, s)
	defer leave()
	next := subscribe(t, settings, reading(), h)
	poll.Until(t, "later messages to be kept", func() bool {
		consumer, err := js.Consumer(t.Context(), "EVENTS", reading().Group)
		return err == nil && consumer.CachedInfo().NumAckPending > 25
	})
	stopMember(t, next)
	subscribe(t, settings, reading(), h)
	poll.Until(t, "all messages", func() bool { _, calls := h.Done(); return calls >= 200 })
	if done, calls := h.Done(); done != 200 || calls != 200 || len(h.Wrong()) > 0 {
		t.Errorf("%d messages by %d calls; out of order: %v", done, calls, h.Wrong())
	}
}

// jetStream is a client of the server, until leave.
func jetStream(t *testing.T, s *natsServer) (js jetstream.JetStream, leave func()) {
	t.Helper()
	conn, err := nats.Connect("nats://" + s.address)
	if err != nil {
		t.Fatal(err)
	}
	js, err = jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return js, conn.Close
}

// takeAndLeave takes messages as a member that is killed then: it acknowledges none.
func takeAndLeave(t *testing.T, s *natsServer, what subscription.Reading, n int) {
	t.Helper()
	js, leave := jetStream(t, s)
	defer leave()
	consumer, err := js.CreateConsumer(t.Context(), "EVENTS", jetstream.ConsumerConfig{
		Durable: what.Group, FilterSubject: what.Topic, AckPolicy: jetstream.AckExplicitPolicy, AckWait: 30 * time.Second, MaxAckPending: 1024, MaxDeliver: -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := consumer.Fetch(n)
	if err != nil {
		t.Fatal(err)
	}
	for range batch.Messages() {
		n--
	}
	if n != 0 || batch.Error() != nil {
		t.Fatalf("%d messages are missing: %v", n, batch.Error())
	}
}

// TestNATSSourceDeadLetters: Events 161, 168 and 176: what cannot be read, and what does not succeed, goes to the subject of
// dead letters as it was, with the reason; a consumer of somebody else's making that does not fit is refused, and left alone.
func TestNATSSourceDeadLetters(t *testing.T) {
	s := startNATS(t, "")
	settings := &transomv1.NatsSink{Url: "nats://" + s.address, CreateStream: "EVENTS"}
	sink, h := openNATS(t, settings), &eventtest.Handled{}
	bad := event("a", 1)
	bad.Subject = "bad"
	send(t, sink, event("a", 0), bad)
	js, leave := jetStream(t, s)
	defer leave()
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "DEAD", Subjects: []string{"dead.>"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: "events.x", Header: nats.Header{"ce-id": {"1"}, "Own": {"x"}}, Data: []byte("?")}); err != nil {
		t.Fatal(err)
	}
	h.Answer = func(m *subscription.Message, _ int) subscription.Result {
		switch {
		case m.Unreadable != "":
			return subscription.Result{Code: codes.DataLoss, Reason: "UNREADABLE", Message: m.Unreadable}
		case m.Event.Subject == "bad":
			return subscription.Result{Code: codes.Internal, Message: "it breaks"}
		}
		return subscription.Result{}
	}
	one := subscribe(t, settings, reading(), h)
	poll.Until(t, "all are dealt with", func() bool {
		st := one.Status(t.Context())
		dead, err := js.Stream(t.Context(), "DEAD")
		return err == nil && dead.CachedInfo().State.Msgs == 2 && len(st.Lag) == 1 && st.Lag[0].End == st.Lag[0].Committed
	})
	reasons := map[string]bool{}
	for _, m := range s.messages("DEAD", 2) {
		got := m.Headers()
		reasons[got.Get("transom-dead-reason")] = true
		if got.Get("Own") == "x" && string(m.Data()) != "?" || got.Get("transom-dead-method") != "a.v1.S/M" || got.Get("transom-dead-topic") != "events.>" {
			t.Errorf("%v: %s", got, m.Data())
		}
	}
	if len(reasons) != 2 || !reasons["INTERNAL: it breaks"] || !reasons["UNREADABLE: found attributes of CloudEvents without source, which each event has"] {
		t.Errorf("%v", reasons)
	}
	if _, err := js.CreateConsumer(t.Context(), "EVENTS", jetstream.ConsumerConfig{Durable: "theirs", FilterSubject: "events.>", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 7}); err != nil {
		t.Fatal(err)
	}
	what := reading()
	what.Group = "theirs"
	other := subscribe(t, settings, what, h)
	poll.Until(t, "the refusal", func() bool {
		err := other.Status(t.Context()).Failure
		return err != nil && strings.Contains(err.Error(), "the consumer theirs has the max_ack_pending 7, and 1024 is needed")
	})
	consumer, err := js.Consumer(t.Context(), "EVENTS", "theirs")
	if err != nil || consumer.CachedInfo().Config.MaxAckPending != 7 {
		t.Errorf("%v", err)
	}
}
