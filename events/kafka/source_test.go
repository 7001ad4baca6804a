package kafka

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/subscription"
	"github.com/transom-gateway/transom/internal/testing/eventtest"
	kafkatest "github.com/transom-gateway/transom/internal/testing/kafka"
	"github.com/transom-gateway/transom/internal/testing/poll"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// reading is what tests read.
func reading(topic string) subscription.Reading {
	return subscription.Reading{Subscription: "counts", Topic: topic, Group: "group." + topic, Start: subscription.Position{Earliest: true}}
}

// subscribe starts a member.
func subscribe(t *testing.T, settings *transomv1.KafkaSink, what subscription.Reading, h *eventtest.Handled, change func(*subscription.Setup)) *subscription.Subscription {
	t.Helper()
	source, err := OpenSource("kafka", settings, what, env(t))
	if err != nil {
		t.Fatal(err)
	}
	setup := subscription.Setup{
		Source: source, Store: &subscription.Store{Folder: t.TempDir()},
		Options: subscription.Options{Name: what.Subscription, Call: h.Call, Logger: env(t).Log, MaxAttempts: 3},
	}
	setup.Dead = func(ctx context.Context, m *subscription.Message, r subscription.Result, attempts int) error {
		d := subscription.NewLetter("a.v1.S/M", m, r, attempts)
		d.Code = strings.ToUpper(r.Code.String())
		return source.Bury(ctx, m, d)
	}
	if change != nil {
		change(&setup)
	}
	s := subscription.Start(setup)
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t *testing.T, s *subscription.Subscription) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	s.Stop(ctx)
}

func settings(b *kafkatest.Broker, partitions uint32) *transomv1.KafkaSink {
	return &transomv1.KafkaSink{Brokers: []string{b.Plaintext}, CreateTopics: &transomv1.KafkaTopics{Partitions: partitions}}
}

// fill sends events of keys, each key's in order, from a number on.
func fill(t *testing.T, s *Sink, topic string, keys, from, to int) {
	t.Helper()
	var batch []*events.Event
	for n := from; n < to; n++ {
		for k := range keys {
			batch = append(batch, event(topic, fmt.Sprint("key ", k), n))
		}
	}
	send(t, s, batch...)
}

// TestSourceRebalances: Events 160, 167 and 171: members that come and go share the partitions; each
// record is dealt with, those of a key in their order.
func TestSourceRebalances(t *testing.T) {
	const topic, keys = "rebalanced", 30
	broker := kafkatest.Shared(t)
	c := settings(broker, 6)
	sink, h := open(t, c, topic), &eventtest.Handled{}
	h.Answer = func(*subscription.Message, int) subscription.Result {
		pause(t.Context(), rand.N(2*time.Millisecond)) // as a method does
		return subscription.Result{}
	}
	fill(t, sink, topic, keys, 0, 20)
	wait := func(n int) {
		t.Helper()
		poll.Until(t, fmt.Sprintf("%d records", n), func() bool { done, _ := h.Done(); return done >= n })
	}
	const inFlight = 32
	few := func(s *subscription.Setup) { s.MaxInFlight = inFlight }
	first := subscribe(t, c, reading(topic), h, few)
	wait(keys)
	second, third := subscribe(t, c, reading(topic), h, few), subscribe(t, c, reading(topic), h, few)
	shares := func(n int) bool { return len(holders(t, broker, "group."+topic)) == n }
	poll.Until(t, "three members share the partitions", func() bool { return shares(3) })
	fill(t, sink, topic, keys, 20, 40)
	wait(keys * 25)
	stop(t, first)
	fill(t, sink, topic, keys, 40, 60)
	wait(keys * 60)
	poll.Until(t, "two members share the partitions", func() bool { return shares(2) })
	stop(t, second)
	stop(t, third)
	n, calls := h.Done()
	if n != keys*60 || len(h.Wrong()) > 0 {
		t.Errorf("%d of %d records, out of order: %v", n, keys*60, h.Wrong())
	}
	// What is done behind a record that is not comes again where its partition goes to another.
	if most := n + 12*inFlight; calls > most {
		t.Errorf("%d calls for %d records, want %d at most", calls, n, most)
	}
	t.Logf("%d calls for %d records", calls, n)
}

// holders are the members of a group that have partitions.
func holders(t *testing.T, broker *kafkatest.Broker, group string) (names []string) {
	config := sarama.NewConfig()
	config.Version = sarama.V2_8_0_0
	admin, err := sarama.NewClusterAdmin([]string{broker.Plaintext}, config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	groups, err := admin.DescribeConsumerGroups([]string{group})
	if err != nil {
		return nil
	}
	for name, m := range groups[0].Members {
		if a, err := m.GetMemberAssignment(); err == nil && a != nil && len(a.Topics) > 0 {
			names = append(names, name)
		}
	}
	return names
}

// TestSourceOfKilledBroker: Events 164: a broker that is killed while records are dealt with comes
// back, and the subscription goes on; it says so.
func TestSourceOfKilledBroker(t *testing.T) {
	const topic, keys = "outlived", 10
	broker := kafkatest.Start(t)
	c := settings(broker, 3)
	sink, h := open(t, c, topic), &eventtest.Handled{}
	fill(t, sink, topic, keys, 0, 10)
	free := make(chan struct{})
	release := sync.OnceFunc(func() { close(free) })
	h.Answer = func(m *subscription.Message, _ int) subscription.Result {
		if m.Key == "key 3" {
			<-free
		}
		return subscription.Result{}
	}
	s := subscribe(t, c, reading(topic), h, nil)
	t.Cleanup(release)
	// Key 9 falls to the same partition, and may fall to the same lane.
	poll.Until(t, "all that are not held up", func() bool { n, _ := h.Done(); return n >= 8*10 })
	broker.Kill()
	poll.Until(t, "the failure is told", func() bool { return s.Status(t.Context()).Failure != nil })
	if st := s.Status(t.Context()); st.LagError == nil || !strings.Contains(st.Failure.Error(), "kafka at "+broker.Plaintext) {
		t.Errorf("%+v", st)
	}
	broker.Restart(t)
	release()
	fill(t, sink, topic, keys, 10, 20)
	poll.Until(t, "all records", func() bool { n, _ := h.Done(); return n == keys*20 })
	poll.Until(t, "all is well", func() bool {
		st := s.Status(t.Context())
		return st.Failure == nil && lagOf(st) == 0
	})
	if len(h.Wrong()) > 0 {
		t.Errorf("out of order: %v", h.Wrong())
	}
}

// lagOf is how many records wait; -1 where that is not known.
func lagOf(st subscription.Status) (n int64) {
	if st.LagError != nil || len(st.Lag) == 0 {
		return -1
	}
	for _, l := range st.Lag {
		n += l.End - l.Committed
	}
	return n
}

// TestSourcePlaces: Events 173, 174 and 175: a group that begins with the latest record has its place
// from then on, the lag is known without a member, and the group can be moved while it has no others.
func TestSourcePlaces(t *testing.T) {
	const topic = "places"
	broker := kafkatest.Shared(t)
	c := settings(broker, 2)
	sink, h := open(t, c, topic), &eventtest.Handled{}
	fill(t, sink, topic, 4, 0, 5) // before there is a group
	what := reading(topic)
	what.Start = subscription.Position{Latest: true}
	s := subscribe(t, c, what, h, nil)
	poll.Until(t, "it works", func() bool { return lagOf(s.Status(t.Context())) == 0 && len(holders(t, broker, what.Group)) == 1 })
	stop(t, s)
	fill(t, sink, topic, 4, 5, 8) // while there is no member
	source, err := OpenSource("kafka", c, what, env(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = source.Close() }()
	lag, err := source.Lag(t.Context())
	var records int64
	for _, l := range lag {
		records += l.End - l.Committed
		if age := time.Since(l.Oldest); l.End > l.Committed && (l.Oldest.IsZero() || age > time.Hour) {
			t.Errorf("%+v", l)
		}
	}
	if err != nil || records != 12 || len(lag) != 2 {
		t.Errorf("%+v, %v", lag, err)
	}
	s = subscribe(t, c, what, h, nil)
	poll.Until(t, "what came meanwhile", func() bool { _, n := h.Done(); return n == 12 })
	other := subscribe(t, c, what, h, nil)
	poll.Until(t, "two members", func() bool { return len(holders(t, broker, what.Group)) == 2 })
	if _, err := s.Seek(t.Context(), subscription.Position{Earliest: true}); err == nil || !strings.Contains(err.Error(), "has 1 members in other processes") {
		t.Error(err)
	}
	stop(t, other)
	for want, to := range map[string]subscription.Position{
		"found the partition 9, but the topic places has 0 to 1": {Partition: 9},
		"found the offset 99, but the partition 1 has 0 to ":     {Partition: 1, Offset: 99},
	} {
		if _, err := s.Seek(t.Context(), to); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if at, err := s.Seek(t.Context(), subscription.Position{Earliest: true}); err != nil || len(at) != 2 || at[0] != 0 || at[1] != 0 {
		t.Fatal(at, err)
	}
	poll.Until(t, "all once more", func() bool { _, n := h.Done(); return n == 12+32 })
	if at, err := s.Seek(t.Context(), subscription.Position{Time: time.Now().Add(time.Hour)}); err != nil || len(at) != 2 || at[0]+at[1] != 32 {
		t.Fatal(at, err) // behind all records of both partitions
	}
	poll.Until(t, "the end", func() bool { return lagOf(s.Status(t.Context())) == 0 })
}

// TestSourceOfNewPartition: Events 173: a group that is new begins with the first record of a time, and what comes to a partition that is
// added later is read from its beginning, also where that was before a member knew of it.
func TestSourceOfNewPartition(t *testing.T) {
	const topic = "growing"
	broker := kafkatest.Shared(t)
	c := settings(broker, 1)
	sink, h := open(t, c, topic), &eventtest.Handled{}
	begin := time.Now().Add(-time.Hour).Truncate(time.Second)
	for n := range 4 {
		e := event(topic, "a", n)
		e.Time = begin.Add(time.Duration(n) * time.Minute)
		send(t, sink, e)
	}
	what := reading(topic)
	what.Start = subscription.Position{Time: begin.Add(2 * time.Minute)}
	s := subscribe(t, c, what, h, nil)
	poll.Until(t, "those of the time", func() bool { return len(h.All()) == 2 && lagOf(s.Status(t.Context())) == 0 })
	if first := h.All()[0]; first.Offset != 2 {
		t.Errorf("it began with %d", first.Offset)
	}
	stop(t, s)
	config := sarama.NewConfig()
	config.Version = sarama.V2_8_0_0
	admin, err := sarama.NewClusterAdmin([]string{broker.Plaintext}, config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	if err := admin.CreatePartitions(topic, 2, nil, false); err != nil {
		t.Fatal(err)
	}
	poll.Until(t, "the new partition", func() bool {
		topics, err := admin.DescribeTopics([]string{topic})
		return err == nil && len(topics) == 1 && len(topics[0].Partitions) == 2 && topics[0].Partitions[0].Leader >= 0 && topics[0].Partitions[1].Leader >= 0
	})
	again := open(t, c, topic)
	for n := range 20 { // of 20 keys some are of the new partition
		send(t, again, event(topic, fmt.Sprint("key ", n), 0))
	}
	what.Start = subscription.Position{Latest: true}
	s = subscribe(t, c, what, h, nil)
	poll.Until(t, "all of both", func() bool { return len(h.All()) == 22 && lagOf(s.Status(t.Context())) == 0 })
	partitions := map[int32]bool{}
	for _, m := range h.All() {
		partitions[m.Partition] = true
	}
	if len(partitions) != 2 {
		t.Errorf("records of the partitions %v", partitions)
	}
}

// TestSourceMember: Events 171: members share partitions by the cooperative sticky strategy, and one with an instance_id is known by it, so that
// it keeps its partitions over a restart.
func TestSourceMember(t *testing.T) {
	const topic = "known"
	broker := kafkatest.Shared(t)
	c := settings(broker, 2)
	send(t, open(t, c, topic), event(topic, "a", 0))
	what, h := reading(topic), &eventtest.Handled{}
	what.Instance = "gateway-1"
	config := sarama.NewConfig()
	config.Version = sarama.V2_8_0_0
	admin, err := sarama.NewClusterAdmin([]string{broker.Plaintext}, config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	member := func() (id, instance, protocol string) {
		groups, err := admin.DescribeConsumerGroups([]string{what.Group})
		if err != nil {
			return "", "", ""
		}
		for name, m := range groups[0].Members {
			id, protocol = name, groups[0].Protocol
			if m.GroupInstanceId != nil {
				instance = *m.GroupInstanceId
			}
		}
		return id, instance, protocol
	}
	s := subscribe(t, c, what, h, nil)
	poll.Until(t, "it works", func() bool { return len(h.All()) == 1 })
	if _, instance, protocol := member(); instance != "gateway-1" || protocol != "cooperative-sticky" {
		t.Errorf("the member is known as %q, and the group shares by %q", instance, protocol)
	}
	stop(t, s)
}

// TestSourceLeaves: Events 172: a member that stops lets its call end, commits what is done, and has left the group then:
// others need not wait until they miss it.
func TestSourceLeaves(t *testing.T) {
	const topic = "left"
	broker := kafkatest.Shared(t)
	c := settings(broker, 1)
	send(t, open(t, c, topic), event(topic, "a", 0), event(topic, "a", 1))
	begun, release := make(chan struct{}, 2), make(chan struct{})
	h := &eventtest.Handled{Answer: func(*subscription.Message, int) subscription.Result {
		begun <- struct{}{}
		<-release
		return subscription.Result{}
	}}
	what := reading(topic)
	s := subscribe(t, c, what, h, nil)
	<-begun
	s.Quit()
	close(release)
	stop(t, s)
	done := len(h.All())
	admin := administer(t, broker)
	offsets, err := admin.ListConsumerGroupOffsets(what.Group, map[string][]int32{topic: {0}})
	if err != nil || offsets.GetBlock(topic, 0) == nil || done == 0 || offsets.GetBlock(topic, 0).Offset != int64(done) {
		t.Errorf("of %d messages that are done the group has committed %+v, %v", done, offsets, err)
	}
	if groups, err := admin.DescribeConsumerGroups([]string{what.Group}); err != nil || len(groups[0].Members) != 0 {
		t.Errorf("the group is %+v, %v", groups[0], err)
	}
}

// TestSourceDeadLetters: Events 161, 165 and 168: a record that cannot be read, and one whose calls do
// not succeed, go to the topic of dead letters as they were, with the reason.
func TestSourceDeadLetters(t *testing.T) {
	const topic = "dying"
	c := settings(kafkatest.Shared(t), 1)
	sink, h := open(t, c, topic), &eventtest.Handled{}
	good, bad := event(topic, "a", 0), event(topic, "a", 1)
	bad.Subject = "bad"
	send(t, sink, good, bad)
	h.Answer = func(m *subscription.Message, _ int) subscription.Result {
		switch {
		case m.Unreadable != "":
			return subscription.Result{Code: codes.DataLoss, Reason: "UNREADABLE", Message: m.Unreadable}
		case m.Event.Subject == "bad":
			return subscription.Result{Code: codes.Internal, Message: "it breaks"}
		}
		return subscription.Result{}
	}
	raw(t, c.Brokers[0], &sarama.ProducerMessage{Topic: topic, Key: sarama.StringEncoder("b"), Value: sarama.StringEncoder("?"), Headers: []sarama.RecordHeader{
		{Key: []byte("ce_id"), Value: []byte("1")}, {Key: []byte("own"), Value: []byte("x")}}})
	send(t, sink, event(topic, "a", 2))
	s := subscribe(t, c, reading(topic), h, nil)
	poll.Until(t, "all are dealt with", func() bool { return lagOf(s.Status(t.Context())) == 0 })
	dead := read(t, c.Brokers[0], topic+".group."+topic+".dead", 2)
	for _, m := range dead {
		got, want := headers(m), map[string]string{
			"transom-dead-reason": "INTERNAL: it breaks", "transom-dead-attempts": "3", "transom-dead-topic": topic, "transom-dead-offset": "1",
			"transom-dead-partition": "0", "transom-dead-method": "a.v1.S/M", "ce_id": bad.ID,
		}
		if got["own"] != "" {
			want = map[string]string{"transom-dead-reason": "UNREADABLE: found attributes of CloudEvents without source, which each event has", "transom-dead-attempts": "0", "ce_id": "1"}
			if string(m.Key) != "b" || string(m.Value) != "?" {
				t.Errorf("%s: %s", m.Key, m.Value)
			}
		}
		for name, value := range want {
			if got[name] != value {
				t.Errorf("%s: got %q, want %q", name, got[name], value)
			}
		}
		if at, err := time.Parse(time.RFC3339Nano, got["transom-dead-timestamp"]); err != nil || time.Since(at) > time.Hour {
			t.Error(got["transom-dead-timestamp"])
		}
	}
	if len(dead) != 2 || len(h.All()) != 2 {
		t.Errorf("%d dead letters, %d calls", len(dead), len(h.All()))
	}
}

// raw produces a record as others do.
func raw(t *testing.T, address string, m *sarama.ProducerMessage) {
	t.Helper()
	c := sarama.NewConfig()
	c.Version = sarama.V2_8_0_0
	c.Producer.Return.Successes = true
	p, err := sarama.NewSyncProducer([]string{address}, c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	if _, _, err := p.SendMessage(m); err != nil {
		t.Fatal(err)
	}
}
