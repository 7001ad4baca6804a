package kafka

import (
	"fmt"
	"math"
	"slices"

	"github.com/IBM/sarama"
)

// producer is what makes batches idempotent: brokers know them by the producer's id and by a
// sequence number in their partition.
type producer struct {
	known bool // id and epoch are those of a producer
	id    int64
	epoch int16
	// sequences are those of the partitions that got something of this producer.
	sequences map[partition]*sequence
}

// sequence is how far a partition has come.
type sequence struct {
	next int32
	// doubtful are the events of the last batch, if it may or may not have been taken: what is
	// sent next is that very batch, or by another producer.
	doubtful []string
}

// prepare gets an id, unless there is one.
func (p *producer) prepare(link *link) error {
	if p.known {
		return nil
	}
	response, err := link.client.InitProducerID()
	if err != nil {
		return fmt.Errorf("it gives no producer id: %w", err)
	}
	if response.Err != sarama.ErrNoError {
		return fmt.Errorf("it gives no producer id: %w", response.Err)
	}
	*p = producer{known: true, id: response.ProducerID, epoch: response.ProducerEpoch, sequences: map[partition]*sequence{}}
	return nil
}

// size is how many events the next batch of a partition has, where n would do.
func (p *producer) size(at partition, n int) int {
	if s := p.sequences[at]; s != nil && len(s.doubtful) > 0 {
		return len(s.doubtful)
	}
	return n
}

// doubts reports whether the next batch of a partition, with the first of these events, cannot
// be numbered, as brokers could take it for another that they have.
func (p *producer) doubts(at partition, ids []string) bool {
	s := p.sequences[at]
	if s == nil {
		return false
	}
	same := len(ids) >= len(s.doubtful) && slices.Equal(ids[:len(s.doubtful)], s.doubtful)
	return !same || s.next > math.MaxInt32-maxBatchRecords
}

// number writes the sequence number of a batch with these events.
func (p *producer) number(at partition, ids []string, batch *sarama.RecordBatch) {
	s := p.sequences[at]
	if s == nil {
		s = &sequence{}
		p.sequences[at] = s
	}
	s.doubtful = ids
	batch.ProducerID, batch.ProducerEpoch, batch.FirstSequence = p.id, p.epoch, s.next
}

// taken notes that the last batch was acknowledged.
func (p *producer) taken(at partition, n int) {
	if s := p.sequences[at]; s != nil {
		s.next += int32(n) //nolint:gosec // at most maxBatchRecords
		s.doubtful = nil
	}
}

// refused notes that the last batch was not taken, and never will be.
func (p *producer) refused(at partition) {
	if s := p.sequences[at]; s != nil {
		s.doubtful = nil
	}
}

// forget makes the next batch one of a new producer.
func (p *producer) forget() { p.known = false }
