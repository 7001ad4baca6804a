package main

import (
	"flag"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/IBM/sarama"

	kafkatest "github.com/transom-gateway/transom/internal/testing/kafka"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

var (
	ledgerSeeds  = flag.Int("ledger-seeds", 1, "how many runs TestEventsLedgerKafka makes")
	ledgerEvents = flag.Int("ledger-events", 300, "how many acknowledged events each of them has at least")
	ledgerSeed   = flag.Uint64("ledger-seed", 1, "what the chances of the first one begin with")
)

// tally is what became of events.
type tally struct{ sent, acknowledged, delivered, doubles, lost, disorder, gateways, brokers int }

func (a *tally) add(b tally) {
	a.sent += b.sent
	a.acknowledged += b.acknowledged
	a.delivered += b.delivered
	a.doubles += b.doubles
	a.lost += b.lost
	a.disorder += b.disorder
	a.gateways += b.gateways
	a.brokers += b.brokers
}

func (a *tally) String() string {
	return fmt.Sprintf("sent %d, acknowledged %d, delivered %d, doubles %d, lost %d, out of order %d; %d gateways and %d brokers killed",
		a.sent, a.acknowledged, a.delivered, a.doubles, a.lost, a.disorder, a.gateways, a.brokers)
}

// TestEventsLedgerKafka: Events 136, 144, 147, 148, 152: gateways and a real broker are killed while tills sell:
// each call whose client got its answer has its event in the topic, and the events of each till are there
// in the order of its calls. `make events-soak` does it for 100,000 events.
func TestEventsLedgerKafka(t *testing.T) {
	broker, bin := kafkatest.Start(t), buildTransom(t)
	var all tally
	for i := range *ledgerSeeds {
		seed := *ledgerSeed + uint64(i) //nolint:gosec // it is not negative
		one := runLedger(t, bin, broker, seed)
		t.Logf("seed %d: %v", seed, &one)
		all.add(one)
	}
	t.Logf("ledger: %v", &all)
	if all.lost > 0 || all.disorder > 0 {
		t.Errorf("events were lost or changed their order: %v", &all)
	}
}

func runLedger(t *testing.T, bin string, broker *kafkatest.Broker, seed uint64) (result tally) {
	topic := fmt.Sprint("sold_", seed)
	l := newSelling(t, bin, seed, 16, fmt.Sprintf(`{ topics: [{ types: shop.sold, topic: %s }], kafka: { brokers: [%q], create_topics: { partitions: 3 } } }`, topic, broker.Plaintext))
	var outages sync.WaitGroup
	defer outages.Wait()
	for round := 0; len(l.acknowledged) < *ledgerEvents; round++ {
		var outage func()
		if round%4 == 0 { // in the middle of calls, and back while others are made
			outage = func() {
				outages.Wait()
				broker.Kill()
				result.brokers++
				outages.Go(func() { broker.Restart(t) })
			}
		}
		l.round(1+l.random.IntN(*ledgerEvents/2), outage)
		result.gateways++
	}
	outages.Wait()
	last := l.start()
	sink := newReceiver()
	poll.Within(ledgerPatience, func() bool {
		sink = newReceiver()
		result.disorder = readLedger(t, broker.Plaintext, topic, sink)
		result.lost, result.doubles = sink.missing(l.acknowledged)
		return result.lost == 0 || t.Failed()
	})
	last.stop()
	delivered, twoIDs := sink.seen()
	if twoIDs != "" {
		t.Errorf("%s has two IDs", twoIDs)
	}
	l.verify()
	result.sent, result.acknowledged, result.delivered = l.sold, len(l.acknowledged), delivered
	return result
}

// readLedger reads a topic into a receiver. It returns how many events came first behind a later one of
// their key.
func readLedger(t *testing.T, address, topic string, into *receiver) (disorder int) {
	client, err := sarama.NewClient([]string{address}, sarama.NewConfig())
	if err != nil {
		t.Log(err)
		return 0
	}
	defer func() { _ = client.Close() }()
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		t.Log(err)
		return 0
	}
	defer func() { _ = consumer.Close() }()
	partitions, err := client.Partitions(topic)
	if err != nil {
		t.Log(err)
	}
	last := map[string]int{} // by keys
	for _, id := range partitions {
		end, err := client.GetOffset(topic, id, sarama.OffsetNewest)
		if err != nil || end == 0 {
			continue
		}
		p, err := consumer.ConsumePartition(topic, id, sarama.OffsetOldest)
		if err != nil {
			t.Log(err)
			continue
		}
		for m := range p.Messages() {
			disorder += noteRecord(t, m, last, into)
			if m.Offset == end-1 {
				break
			}
		}
		_ = p.Close()
	}
	return disorder
}

// noteRecord notes a record, and returns 1 if it comes first behind a later one of its key.
func noteRecord(t *testing.T, m *sarama.ConsumerMessage, last map[string]int, into *receiver) int {
	var subject, id string
	for _, h := range m.Headers {
		switch string(h.Key) {
		case "ce_subject":
			subject = string(h.Value)
		case "ce_id":
			id = string(h.Value)
		}
	}
	n, err := strconv.Atoi(strings.TrimPrefix(subject, "s"))
	if err != nil || len(m.Key) == 0 {
		t.Errorf("found the key %q and the subject %q", m.Key, subject)
		return 0
	}
	into.note(subject, id)
	switch key := string(m.Key); {
	case n > last[key]:
		last[key] = n
	case into.got[subject] == 1:
		return 1
	}
	return 0
}
