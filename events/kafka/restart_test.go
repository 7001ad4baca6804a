package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/transom-gateway/transom/events"
	kafkatest "github.com/transom-gateway/transom/internal/testing/kafka"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// made has goroutines make events of their keys, each in order.
func made(topic string, keys, each int) <-chan *events.Event {
	all := make(chan *events.Event)
	var makers sync.WaitGroup
	for k := range keys {
		makers.Go(func() {
			for n := range each {
				all <- event(topic, fmt.Sprint("key ", k), n)
			}
		})
	}
	go func() {
		makers.Wait()
		close(all)
	}()
	return all
}

// drain sends all events as a bus does, those that failed before the others, until all have
// been acknowledged. It calls during after each batch with how many have.
func drain(t *testing.T, s events.Sink, all <-chan *events.Event, during func(acknowledged int)) {
	t.Helper()
	var rest []*events.Event
	acknowledged, open := 0, true
	deadline := time.Now().Add(5 * time.Minute)
	for open || len(rest) > 0 {
		for open && len(rest) < 100 {
			var e *events.Event
			if e, open = <-all; open {
				rest = append(rest, e)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		errs := make([]error, len(rest))
		s.Send(ctx, rest, errs)
		cancel()
		var again []*events.Event
		for i, e := range rest {
			switch {
			case errors.Is(errs[i], events.ErrRejected):
				t.Fatalf("%s of %s: %v", e.Data, e.Key, errs[i])
			case errs[i] != nil:
				again = append(again, e)
			default:
				acknowledged++
			}
		}
		if rest = again; time.Now().After(deadline) {
			t.Fatalf("%d events are left: %v", len(rest), errs)
		}
		during(acknowledged)
	}
}

// holdOrder holds that each key's events are there, and first in their order.
func holdOrder(t *testing.T, all []*sarama.ConsumerMessage, keys, each int) (doubles int) {
	t.Helper()
	next := map[string]int{}
	for _, m := range all {
		var data struct{ N int }
		if err := json.Unmarshal(m.Value, &data); err != nil {
			t.Fatal(err)
		}
		switch key := string(m.Key); {
		case data.N == next[key]:
			next[key]++
		case data.N < next[key]:
			doubles++
		default:
			t.Fatalf("%s: found %d where %d should be", key, data.N, next[key])
		}
	}
	for k := range keys {
		if n := next[fmt.Sprint("key ", k)]; n != each {
			t.Errorf("key %d: found %d of %d events", k, n, each)
		}
	}
	return doubles
}

// TestKilledBroker kills the broker twice while events are sent: each is delivered, those of
// a key in their order.
func TestKilledBroker(t *testing.T) {
	broker := kafkatest.Shared(t)
	s := open(t, &transomv1.KafkaSink{Brokers: []string{broker.Plaintext}, CreateTopics: &transomv1.KafkaTopics{Partitions: 3}}, "killed")
	const keys, each = 20, 100
	kills := 0
	var back sync.WaitGroup
	drain(t, s, made("killed", keys, each), func(acknowledged int) {
		if acknowledged > (kills+1)*keys*each/3 && kills < 2 {
			back.Wait()
			kills++
			back.Go(func() { broker.Restart(t) }) // it kills the broker while the next batch is sent
		}
	})
	back.Wait()
	doubles := holdOrder(t, read(t, broker.Plaintext, "killed", keys*each), keys, each)
	t.Logf("sent %d, doubles %d, kills %d", keys*each, doubles, kills)
	if kills != 2 {
		t.Errorf("the broker was killed %d times", kills)
	}
}

// TestPausedBroker holds that Send ends with its context, and that what is sent again after
// that is no double: it has the same sequence number.
func TestPausedBroker(t *testing.T) {
	broker := kafkatest.Shared(t)
	s := open(t, &transomv1.KafkaSink{Brokers: []string{broker.Plaintext}, CreateTopics: &transomv1.KafkaTopics{Partitions: 1}}, "paused")
	send(t, s, event("paused", "key 0", 0))
	broker.Pause(t)
	var batch []*events.Event
	for n := 1; n < 10; n++ {
		batch = append(batch, event("paused", "key 0", n))
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(200*time.Millisecond, cancel)
	errs := make([]error, len(batch))
	s.Send(ctx, batch, errs)
	broker.Resume(t)
	for i, err := range errs {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%d: got %v", i, err)
		}
	}
	// The broker reads what the connection held when it was cut.
	send(t, s, append(batch, event("paused", "key 0", 10))...)
	if doubles := holdOrder(t, read(t, broker.Plaintext, "paused", 11), 1, 11); doubles != 0 {
		t.Errorf("got %d doubles", doubles)
	}
}

// TestBatchesInDoubt holds that a batch which may have been taken is sent again as it was, or
// by another producer: brokers take one of the same length and number for the same.
func TestBatchesInDoubt(t *testing.T) {
	at := partition{"t", 0}
	p := producer{known: true, sequences: map[partition]*sequence{}}
	if p.doubts(at, []string{"a"}) || p.size(at, 5) != 5 {
		t.Error("a partition that got nothing is in doubt")
	}
	var batch sarama.RecordBatch
	p.number(at, []string{"a", "b"}, &batch)
	if p.doubts(at, []string{"a", "b", "c"}) || p.size(at, 3) != 2 {
		t.Error("the same batch is in doubt, or grows")
	}
	for _, ids := range [][]string{{"a"}, {"a", "c"}, {"b", "a"}} {
		if !p.doubts(at, ids) {
			t.Errorf("%v would be taken for a, b", ids)
		}
	}
	p.taken(at, 2)
	p.number(at, []string{"c"}, &batch)
	if batch.FirstSequence != 2 {
		t.Errorf("got the number %d, want 2", batch.FirstSequence)
	}
	p.refused(at)
	if p.doubts(at, []string{"d"}) {
		t.Error("a batch that was refused is in doubt")
	}
}
