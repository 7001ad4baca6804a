// Package kafka sends events to Apache Kafka. Connections are sarama's; what is in a batch,
// and what is sent again, is decided here: a partition has one batch under way, which is
// acknowledged as a whole or sent again as it was, under the same sequence number. So events
// of a key stay in order whatever fails, and brokers drop most doubles.
//
//	sink, err := kafka.Open("kafka", config.Kafka, env)
//	sink.Send(ctx, batch, errs)
package kafka

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/cloudevents"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// Sink is a Kafka cluster. It connects when there is something to send.
type Sink struct {
	*cluster
	mode  cloudevents.Mode
	codec sarama.CompressionCodec

	// partitioner serves all topics: to make one costs more than to send an event.
	partitioner sarama.Partitioner
	link        *link // nil while there is none
	producer    producer
	trimmed     atomic.Uint64
}

var _ events.Sink = (*Sink)(nil)

// Open makes a sink. It does not wait for brokers, and none need be there.
func Open(name string, settings *transomv1.KafkaSink, env events.Env) (*Sink, error) {
	c, err := newCluster(settings, env, env.Log.With("sink", name))
	if err != nil {
		return nil, err
	}
	s := &Sink{cluster: c, codec: codec(settings.Compression), partitioner: sarama.NewMurmur2Partitioner("")}
	if settings.Mode == transomv1.EventMode_STRUCTURED {
		s.mode = cloudevents.Structured
	}
	return s, nil
}

func codec(c transomv1.KafkaSink_Compression) sarama.CompressionCodec {
	switch c {
	case transomv1.KafkaSink_NONE:
		return sarama.CompressionNone
	case transomv1.KafkaSink_GZIP:
		return sarama.CompressionGZIP
	case transomv1.KafkaSink_LZ4:
		return sarama.CompressionLZ4
	case transomv1.KafkaSink_ZSTD:
		return sarama.CompressionZSTD
	}
	return sarama.CompressionSnappy
}

// defaultLinger is how long a batch waits for more where nothing else is said.
const defaultLinger = 5 * time.Millisecond

// Linger is how long who makes batches waits for more events, for better compression.
func (s *Sink) Linger() time.Duration {
	if s.settings.Linger == nil {
		return defaultLinger
	}
	return s.settings.Linger.AsDuration()
}

// Trimmed is how many events went without some of their attributes, as headers are bounded.
func (s *Sink) Trimmed() uint64 { return s.trimmed.Load() }

// Send sends the events. After one that is rejected it goes on with others of its key.
func (s *Sink) Send(ctx context.Context, batch []*events.Event, errs []error) {
	d := &delivery{sink: s, batch: batch, errs: errs, done: make([]bool, len(batch)), records: make([]*sarama.Record, len(batch)), failures: map[partition]int{}}
	for i, e := range batch {
		m, err := cloudevents.Kafka(e, s.mode)
		if err != nil {
			d.reject(i, err)
			continue
		}
		if m.Trimmed {
			s.trimmed.Add(1)
		}
		d.records[i] = record(e, m)
	}
	d.run(ctx)
}

// Close ends the connections.
func (s *Sink) Close() error {
	s.disconnect()
	return nil
}

// record is an event in the form of Kafka. Its time is that of the event.
func record(e *events.Event, m cloudevents.Message) *sarama.Record {
	r := &sarama.Record{Value: m.Body, Headers: make([]*sarama.RecordHeader, len(m.Headers))}
	if e.Key != "" {
		r.Key = []byte(e.Key)
	}
	for i, h := range m.Headers {
		r.Headers[i] = &sarama.RecordHeader{Key: []byte(h.Name), Value: []byte(h.Value)}
	}
	return r
}
