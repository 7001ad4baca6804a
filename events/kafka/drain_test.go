package kafka_test

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/bus"
	"github.com/transom-gateway/transom/events/kafka"
	kafkatest "github.com/transom-gateway/transom/internal/testing/kafka"
	"github.com/transom-gateway/transom/internal/testing/poll"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// BenchmarkDrain is how fast the events of an outage go from the log to a real broker (Events, "Bar":
// ten minutes of 5,000 events a second within 60 s). An operation is one event.
func BenchmarkDrain(b *testing.B) {
	broker := kafkatest.Shared(b)
	topic := fmt.Sprint("drain_", time.Now().UnixNano())
	eventBus := bus.New(bus.Options{Directory: b.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	defer func() { _ = eventBus.Close() }()
	sink, err := kafka.Open("kafka", &transomv1.KafkaSink{Brokers: []string{broker.Plaintext}, CreateTopics: &transomv1.KafkaTopics{Partitions: 3}},
		events.Env{Resolve: func(name string) string { return name }, Log: slog.New(slog.NewTextHandler(b.Output(), nil)), Topics: []string{topic}})
	if err != nil {
		b.Fatal(err)
	}
	if err := eventBus.Open(); err != nil {
		b.Fatal(err)
	}
	place, err := eventBus.Log().Sink("kafka") // from here on
	if err != nil {
		b.Fatal(err)
	}
	if err := place.Close(); err != nil {
		b.Fatal(err)
	}
	fill(b, eventBus, topic)
	b.ResetTimer()
	eventBus.Add("kafka", sink)
	if !poll.Within(10*time.Minute, func() bool { return eventBus.Status().Sinks[0].Lag == 0 }) {
		b.Fatal("the broker has not taken all within ten minutes")
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// fill stores b.N events of 1,000 keys, as calls make them.
func fill(b *testing.B, to *bus.Bus, topic string) {
	var bodies [][]byte
	for n := range b.N {
		at := time.Now()
		bodies = append(bodies, events.AppendRecord(nil, &events.Event{
			ID: events.NewID(at), Source: "/transom/shop.v1.Shop/Sell", Type: "shop.sold", Subject: fmt.Sprint("books/", n), Time: at,
			DataContentType: events.JSON, Data: fmt.Appendf(nil, `{"name":"books/%d","title":"A book of some length","price":"12.50"}`, n),
			Extensions: []events.Extension{{Name: "correlationid", Value: "b1d5f0d2-4a3e-4a8b-9c56-0d3a6f5b7c11"}, {Name: "partitionkey", Value: fmt.Sprint("user-", n%1000)},
				{Name: "traceparent", Value: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}},
			Topic: topic, Key: fmt.Sprint("user-", n%1000),
		}))
		if len(bodies) == 4096 || n == b.N-1 {
			if _, err := to.Log().AppendAll(b.Context(), bodies); err != nil {
				b.Fatal(err)
			}
			bodies = bodies[:0]
		}
	}
}
