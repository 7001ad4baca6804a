package events

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
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
	poll.Until(t, "later messages to be kept", func() bool { return underWay(t, js) > 25 })
	stopMember(t, next)
	subscribe(t, settings, reading(), h)
	poll.Until(t, "all messages", func() bool { _, calls := h.Done(); return calls >= 200 })
	if done, calls := h.Done(); done != 200 || calls != 200 || len(h.Wrong()) > 0 {
		t.Errorf("%d messages by %d calls; out of order: %v", done, calls, h.Wrong())
	}
}

// TestNATSSourceOldServer: Events 167 and 176: a server that comes back with what it knew some time ago, as one that was killed
// does, gives again what it had under way when ack_wait is over; later messages of the same keys that the member had kept until
// then go on behind it.
func TestNATSSourceOldServer(t *testing.T) {
	t.Parallel()
	s := startNATS(t, "")
	settings := &transomv1.NatsSink{Url: "nats://" + s.address, CreateStream: "EVENTS"}
	sink, h := openNATS(t, settings), &eventtest.Handled{}
	fill(t, sink, 0, 4)
	takeAndLeave(t, s, reading(), 25)
	s.stop()
	state := filepath.Join(s.dir, "store", "jetstream", "$G", "streams", "EVENTS", "obs", reading().Group, "o.dat")
	old, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	s.start()
	js, leave := jetStream(t, s)
	subscribe(t, settings, reading(), h)
	fill(t, sink, 4, 20)
	poll.Until(t, "later messages to be kept", func() bool { return underWay(t, js) >= 64 })
	leave()
	s.kill()
	if err := os.WriteFile(state, old, 0o600); err != nil {
		t.Fatal(err)
	}
	s.start()
	poll.Until(t, "all messages", func() bool { done, _ := h.Done(); return done >= 200 })
	if len(h.Wrong()) > 0 {
		t.Errorf("out of order: %v", h.Wrong())
	}
}

// TestNATSSourceStandingRequest: Events 167 and 176: a member asks for messages when no request stands from before, which may be
// of a member that has gone: what goes there is under way then, and later messages of the same keys wait for it.
func TestNATSSourceStandingRequest(t *testing.T) {
	t.Parallel()
	s := startNATS(t, "")
	settings := &transomv1.NatsSink{Url: "nats://" + s.address, CreateStream: "EVENTS"}
	sink, h := openNATS(t, settings), &eventtest.Handled{}
	js, leave := jetStream(t, s)
	defer leave()
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"events.>"}}); err != nil {
		t.Fatal(err)
	}
	gone := request(t, s, reading(), 30)
	standing := func() int {
		consumer, err := js.Consumer(t.Context(), "EVENTS", reading().Group)
		if err != nil {
			t.Fatal(err)
		}
		return consumer.CachedInfo().NumWaiting
	}
	poll.Until(t, "a request", func() bool { return standing() == 1 })
	subscribe(t, settings, reading(), h)
	if poll.Within(time.Second, func() bool { return standing() > 1 }) {
		t.Error("the next member asks while the request of another stands")
	}
	fill(t, sink, 0, 20)
	gone()
	poll.Until(t, "all messages", func() bool { _, calls := h.Done(); return calls >= 200 })
	if done, calls := h.Done(); done != 200 || calls != 200 || len(h.Wrong()) > 0 {
		t.Errorf("%d messages by %d calls; out of order: %v", done, calls, h.Wrong())
	}
}

// TestNATSSourceLostMessages: Events 167 and 176: messages that got lost with a connection come again when ack_wait is over, and
// later ones of the same keys wait for them. What was done with others is told the server again: they come once.
func TestNATSSourceLostMessages(t *testing.T) {
	t.Parallel()
	s := startNATS(t, "")
	settings := &transomv1.NatsSink{Url: "nats://" + s.address, CreateStream: "EVENTS"}
	sink, h := openNATS(t, settings), &eventtest.Handled{}
	js, leave := jetStream(t, s)
	defer leave()
	way := &lossyWay{to: s.address}
	address := way.listen(t)
	subscribe(t, &transomv1.NatsSink{Url: "nats://" + address}, reading(), h)
	fill(t, sink, 0, 3)
	poll.Until(t, "the first messages", func() bool { _, calls := h.Done(); return calls == 30 && underWay(t, js) == 0 })
	way.lose(true)
	fill(t, sink, 3, 20)
	poll.Until(t, "lost messages", func() bool { return underWay(t, js) >= 30 })
	way.lose(false)
	way.cut()
	poll.Until(t, "all messages", func() bool { _, calls := h.Done(); return calls >= 200 })
	if done, calls := h.Done(); done != 200 || calls != 200 || len(h.Wrong()) > 0 {
		t.Errorf("%d messages by %d calls; out of order: %v", done, calls, h.Wrong())
	}
}

// underWay is how many messages the server waits for.
func underWay(t *testing.T, js jetstream.JetStream) int {
	t.Helper()
	consumer, err := js.Consumer(t.Context(), "EVENTS", reading().Group)
	if err != nil {
		return 0
	}
	return consumer.CachedInfo().NumAckPending
}

// lossyWay is a way to a server on which what it sends can get lost.
type lossyWay struct {
	to string

	mu     sync.Mutex
	conns  []net.Conn
	losing bool
}

func (w *lossyWay) listen(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { w.carry(from) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		w.cut()
		running.Wait()
	})
	return l.Addr().String()
}

func (w *lossyWay) carry(from net.Conn) {
	defer func() { _ = from.Close() }()
	to, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	defer func() { _ = to.Close() }()
	w.mu.Lock()
	w.conns = append(w.conns, from, to)
	w.mu.Unlock()
	go func() { // until to is closed
		_, _ = io.Copy(to, from)
		_ = to.Close()
	}()
	_, _ = io.Copy(writerFunc(func(b []byte) (int, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.losing {
			return len(b), nil
		}
		return from.Write(b)
	}), to)
}

// lose has what the server sends get lost from now on, or not anymore.
func (w *lossyWay) lose(losing bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.losing = losing
}

// cut ends the connections.
func (w *lossyWay) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		_ = c.Close()
	}
	w.conns = nil
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

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
	request(t, s, what, n)()
}

// request asks for messages as a member that is killed when it has taken them, by take.
func request(t *testing.T, s *natsServer, what subscription.Reading, n int) (take func()) {
	t.Helper()
	js, leave := jetStream(t, s)
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
	return func() {
		defer leave()
		for range batch.Messages() {
			n--
		}
		if n != 0 || batch.Error() != nil {
			t.Errorf("%d messages are missing: %v", n, batch.Error())
		}
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
