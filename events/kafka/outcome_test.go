package kafka

import (
	"errors"
	"fmt"
	"testing"

	"github.com/IBM/sarama"

	"github.com/transom-gateway/transom/events"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// mock is a broker that answers the first batch with that code, and takes the others.
func mock(t *testing.T, code sarama.KError) *sarama.MockBroker {
	t.Helper()
	b := sarama.NewMockBrokerAddr(t, 1, "127.0.0.1:0")
	t.Cleanup(b.Close)
	b.SetHandlerByMap(map[string]sarama.MockResponse{
		"ApiVersionsRequest": sarama.NewMockApiVersionsResponse(t).SetApiKeys([]sarama.ApiVersionsResponseKey{
			{ApiKey: 0, MinVersion: 3, MaxVersion: 8}, {ApiKey: 3, MaxVersion: 9}, {ApiKey: 18, MaxVersion: 3}, {ApiKey: 22, MaxVersion: 4},
		}),
		"MetadataRequest":       sarama.NewMockMetadataResponse(t).SetBroker(b.Addr(), 1).SetLeader("t", 0, 1).SetController(1),
		"InitProducerIDRequest": sarama.NewMockInitProducerIDResponse(t),
		"ProduceRequest": sarama.NewMockSequence(
			sarama.NewMockProduceResponse(t).SetError("t", 0, code), sarama.NewMockProduceResponse(t)),
	})
	return b
}

// batches are how many requests with batches a broker got.
func batches(b *sarama.MockBroker) int {
	n := 0
	for _, r := range b.History() {
		if _, ok := r.Request.(*sarama.ProduceRequest); ok {
			n++
		}
	}
	return n
}

// TestCodes holds what becomes of an event by each code that a broker may answer with.
func TestCodes(t *testing.T) {
	const taken, again, refused = "taken", "again", "rejected"
	want := map[sarama.KError]string{
		sarama.ErrDuplicateSequenceNumber: taken, sarama.ErrMessageSizeTooLarge: refused, sarama.ErrMessageSetSizeTooLarge: refused,
		sarama.ErrInvalidRecord: refused, sarama.ErrInvalidTimestamp: refused, sarama.ErrUnsupportedForMessageFormat: refused,
		sarama.ErrPolicyViolation: refused, sarama.ErrInvalidTopic: refused, sarama.ErrTopicAuthorizationFailed: refused,
	}
	for code := sarama.KError(-1); code <= 95; code++ {
		if code == sarama.ErrNoError {
			continue
		}
		expected, ok := want[code]
		if !ok {
			expected = again
		}
		t.Run(fmt.Sprintf("%d %s", code, expected), func(t *testing.T) {
			t.Parallel()
			b := mock(t, code)
			s := open(t, &transomv1.KafkaSink{Brokers: []string{b.Addr()}})
			errs := make([]error, 1)
			s.Send(t.Context(), []*events.Event{event("t", "ann", 1)}, errs)
			got := taken
			switch {
			case errors.Is(errs[0], events.ErrRejected):
				got = refused
				if !errors.Is(errs[0], code) {
					t.Errorf("the error %v does not say %v", errs[0], code)
				}
			case errs[0] == nil && batches(b) > 1:
				got = again
			}
			if got != expected {
				t.Errorf("got %s after %d requests, %v", got, batches(b), errs[0])
			}
		})
	}
}

// TestOnePartitionFails holds that no event is acknowledged behind one of its partition that was
// not, and that another partition's are.
func TestOnePartitionFails(t *testing.T) {
	b := sarama.NewMockBrokerAddr(t, 1, "127.0.0.1:0")
	t.Cleanup(b.Close)
	b.SetHandlerByMap(map[string]sarama.MockResponse{
		"ApiVersionsRequest": sarama.NewMockApiVersionsResponse(t).SetApiKeys([]sarama.ApiVersionsResponseKey{
			{ApiKey: 0, MinVersion: 3, MaxVersion: 8}, {ApiKey: 3, MaxVersion: 9}, {ApiKey: 18, MaxVersion: 3}, {ApiKey: 22, MaxVersion: 4},
		}),
		"MetadataRequest":       sarama.NewMockMetadataResponse(t).SetBroker(b.Addr(), 1).SetLeader("t", 0, 1).SetLeader("t", 1, 1).SetController(1),
		"InitProducerIDRequest": sarama.NewMockInitProducerIDResponse(t),
		"ProduceRequest":        sarama.NewMockProduceResponse(t).SetError("t", 0, sarama.ErrNotEnoughReplicas),
	})
	s := open(t, &transomv1.KafkaSink{Brokers: []string{b.Addr()}})
	var batch []*events.Event
	for n := range 3000 { // several batches of each partition
		batch = append(batch, event("t", fmt.Sprint("key ", n%10), n))
	}
	errs := make([]error, len(batch))
	s.Send(t.Context(), batch, errs)
	failed := map[int32]int{}
	for i, e := range batch {
		at := choose(sarama.NewMurmur2Partitioner(""), e, 2)
		if (errs[i] != nil) != (at == 0) || errs[i] != nil && !errors.Is(errs[i], sarama.ErrNotEnoughReplicas) {
			t.Fatalf("partition %d, event %d: got %v", at, i, errs[i])
		}
		failed[at]++
	}
	if failed[0] < maxBatchRecords || failed[1] < maxBatchRecords {
		t.Errorf("the keys fall to partitions so: %v", failed)
	}
}
