package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"go.uber.org/goleak"

	"github.com/transom-gateway/transom/events"
	kafkatest "github.com/transom-gateway/transom/internal/testing/kafka"
	"github.com/transom-gateway/transom/internal/testing/poll"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

func TestMain(m *testing.M) {
	code := kafkatest.Run(m)
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "sinks leave goroutines behind:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// env is that of tests. Their secrets are as they stand.
func env(t testing.TB, topics ...string) events.Env {
	return events.Env{
		Resolve: func(name string) string { return name },
		Secret:  func(value string) (string, error) { return value, nil },
		Log:     slog.New(slog.NewTextHandler(t.Output(), nil)),
		Topics:  topics,
	}
}

func open(t testing.TB, settings *transomv1.KafkaSink, topics ...string) *Sink {
	t.Helper()
	s, err := Open("kafka", settings, env(t, topics...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func event(topic, key string, n int) *events.Event {
	at := time.Now()
	return &events.Event{ID: events.NewID(at), Source: "/transom/test.Service/Method", Type: "user.test", Time: at, DataContentType: events.JSON,
		Data: fmt.Appendf(nil, `{"n":%d}`, n), Topic: topic, Key: key}
}

// send sends all events until each has its acknowledgement.
func send(t testing.TB, s *Sink, batch ...*events.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for len(batch) > 0 {
		errs := make([]error, len(batch))
		s.Send(ctx, batch, errs)
		var rest []*events.Event
		for i, err := range errs {
			if errors.Is(err, events.ErrRejected) || err != nil && ctx.Err() != nil {
				t.Fatalf("%s: %v", batch[i].Data, err)
			}
			if err != nil {
				t.Logf("%s is sent again: %v", batch[i].Data, err)
				rest = append(rest, batch[i])
			}
		}
		batch = rest
	}
}

// read is what a topic holds, by an ordinary consumer; it waits for n records at least.
func read(t testing.TB, brokers, topic string, n int) []*sarama.ConsumerMessage {
	t.Helper()
	c := sarama.NewConfig()
	c.Version = sarama.V2_8_0_0
	client, err := sarama.NewClient([]string{brokers}, c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = consumer.Close() }()
	partitions, err := client.Partitions(topic)
	if err != nil {
		t.Fatal(err)
	}
	var all []*sarama.ConsumerMessage
	for _, id := range partitions {
		var end int64
		poll.Until(t, "the leader of the partition says where it ends", func() bool {
			if end, err = client.GetOffset(topic, id, sarama.OffsetNewest); err != nil {
				_ = client.RefreshMetadata(topic) // topics that are new have none for a moment
			}
			return err == nil
		})
		if end == 0 {
			continue
		}
		p, err := consumer.ConsumePartition(topic, id, sarama.OffsetOldest)
		if err != nil {
			t.Fatal(err)
		}
		for m := range p.Messages() {
			all = append(all, m)
			if m.Offset == end-1 {
				break
			}
		}
		_ = p.Close()
	}
	if len(all) < n {
		t.Fatalf("topic %s holds %d records, want at least %d", topic, len(all), n)
	}
	return all
}

func headers(m *sarama.ConsumerMessage) map[string]string {
	all := map[string]string{}
	for _, h := range m.Headers {
		all[string(h.Key)] = string(h.Value)
	}
	return all
}

var creates = &transomv1.KafkaTopics{Partitions: 3, Config: map[string]string{"max.message.bytes": "100000"}}

func TestRecords(t *testing.T) {
	broker := kafkatest.Shared(t)
	for name, test := range map[string]*transomv1.KafkaSink{
		"binary":     {},
		"structured": {Mode: transomv1.EventMode_STRUCTURED},
		"none":       {Compression: transomv1.KafkaSink_NONE},
		"gzip":       {Compression: transomv1.KafkaSink_GZIP},
		"lz4":        {Compression: transomv1.KafkaSink_LZ4},
		"zstd":       {Compression: transomv1.KafkaSink_ZSTD},
	} {
		t.Run(name, func(t *testing.T) {
			topic := "records_" + name
			test.Brokers, test.CreateTopics = []string{broker.Plaintext}, creates
			s := open(t, test, topic)
			sent := event(topic, "ann", 1)
			empty := event(topic, "", 2)
			empty.Data = nil
			send(t, s, sent, empty)
			for _, m := range read(t, broker.Plaintext, topic, 2) {
				h := headers(m)
				switch {
				case name == "structured":
					if h["content-type"] != "application/cloudevents+json; charset=utf-8" || !strings.Contains(string(m.Value), `"specversion":"1.0"`) {
						t.Errorf("got %v and %s", h, m.Value)
					}
				case string(m.Key) == "ann":
					if h["ce_id"] != sent.ID || h["content-type"] != "application/json" || string(m.Value) != `{"n":1}` || m.Timestamp.UnixMilli() != sent.Time.UnixMilli() {
						t.Errorf("got %v, %s at %v", h, m.Value, m.Timestamp)
					}
				default:
					if m.Key != nil || h["ce_id"] != empty.ID || string(m.Value) != "{}" {
						t.Errorf("got %v, key %q, %q", h, m.Key, m.Value)
					}
				}
			}
		})
	}
}

// TestRejected holds that one bad event is not in the way of the rest, nor a topic that is
// not there.
func TestRejected(t *testing.T) {
	broker := kafkatest.Shared(t)
	s := open(t, &transomv1.KafkaSink{Brokers: []string{broker.Plaintext}, CreateTopics: creates, Compression: transomv1.KafkaSink_NONE}, "rejected")
	var batch []*events.Event
	for n := range 9 {
		batch = append(batch, event("rejected", "ann", n))
	}
	batch[4].Data = []byte(`"` + strings.Repeat("x", 200_000) + `"`)
	batch[6].Source = strings.Repeat("s", 9<<10)
	batch[7].Topic = "not a topic"
	errs := make([]error, len(batch))
	s.Send(t.Context(), batch, errs)
	for i, err := range errs {
		if bad := i == 4 || i == 6 || i == 7; bad != errors.Is(err, events.ErrRejected) || !bad && err != nil {
			t.Errorf("%d: got %v", i, err)
		}
	}
	var got []string
	for _, m := range read(t, broker.Plaintext, "rejected", 6) {
		got = append(got, string(m.Value))
	}
	if text := strings.Join(got, ""); text != `{"n":0}{"n":1}{"n":2}{"n":3}{"n":5}{"n":8}` {
		t.Errorf("got %s", text)
	}
}

// TestMissingTopic holds Events 151: a topic that is not there holds up its events, which the error says, and is created where
// create_topics says so.
func TestMissingTopic(t *testing.T) {
	broker := kafkatest.Shared(t)
	s := open(t, &transomv1.KafkaSink{Brokers: []string{broker.Plaintext}})
	errs := make([]error, 1)
	s.Send(t.Context(), []*events.Event{event("missing", "ann", 1)}, errs)
	if err := errs[0]; err == nil || errors.Is(err, events.ErrRejected) || !strings.Contains(err.Error(), "topic missing: the topic does not exist: create it, or set create_topics") {
		t.Errorf("got %v", err)
	}
	other := open(t, &transomv1.KafkaSink{Brokers: []string{broker.Plaintext}, CreateTopics: creates}, "missing")
	send(t, other, event("missing", "bob", 2))
	send(t, s, event("missing", "ann", 1))
	if n := len(read(t, broker.Plaintext, "missing", 2)); n != 2 {
		t.Errorf("got %d records", n)
	}
}

// TestNobodyThere holds Events 152: a sink opens without a broker, and says what is wrong.
func TestNobodyThere(t *testing.T) {
	s := open(t, &transomv1.KafkaSink{Brokers: []string{"127.0.0.1:1"}})
	errs := make([]error, 1)
	s.Send(t.Context(), []*events.Event{event("t", "ann", 1)}, errs)
	if err := errs[0]; err == nil || errors.Is(err, events.ErrRejected) || !strings.Contains(err.Error(), "kafka at 127.0.0.1:1: ") || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v", err)
	}
}
