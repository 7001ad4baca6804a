package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"github.com/transom-gateway/transom/events/subscription"
)

// Bury implements subscription.DeadLetters: the record as it was, with what is known of its end as
// headers (Events 168).
func (s *Source) Bury(ctx context.Context, m *subscription.Message, d subscription.Letter) error {
	r, ok := m.Raw.(*sarama.ConsumerMessage)
	if !ok {
		return errors.New("the message is none of the source")
	}
	topic := s.what.DeadLetters
	err := s.burying.ask(ctx, func(l *link) error {
		count, err := s.deadPartitions(ctx, l, topic)
		if err != nil {
			return err
		}
		at := partition{topic, 0}
		if r.Key != nil {
			at.id, err = sarama.NewMurmur2Partitioner(topic).Partition(&sarama.ProducerMessage{Key: sarama.ByteEncoder(r.Key)}, count)
		} else {
			at.id = int32(r.Offset % int64(count)) //nolint:gosec // below count
		}
		if err != nil {
			return err
		}
		leader, err := l.client.Leader(topic, at.id)
		if err != nil {
			return err
		}
		one := []*lane{{partition: at, leader: leader, chunk: deadLetter(r, d)}}
		if produce(one); one[0].outcome != nil {
			l.stale(topic)
		}
		return one[0].outcome
	})
	if err != nil {
		return s.away(fmt.Errorf("topic %s: %w", topic, err))
	}
	return nil
}

// deadPartitions is how many partitions the topic has, which is made if that is asked for.
func (s *Source) deadPartitions(ctx context.Context, l *link, topic string) (int32, error) {
	all, err := l.client.Partitions(topic)
	if errors.Is(err, sarama.ErrUnknownTopicOrPartition) && s.settings.CreateTopics != nil {
		s.missing(topic)
		s.create(ctx, l, []string{topic})
		l.stale(topic)
		all, err = l.client.Partitions(topic)
	}
	switch {
	case errors.Is(err, sarama.ErrUnknownTopicOrPartition):
		return 0, errNoTopic
	case err == nil && len(all) == 0:
		err = sarama.ErrLeaderNotAvailable
	}
	return int32(len(all)), err //nolint:gosec // brokers count them so
}

// deadLetter is a batch of one record.
func deadLetter(r *sarama.ConsumerMessage, d subscription.Letter) *sarama.RecordBatch {
	record := &sarama.Record{Key: r.Key, Value: r.Value}
	record.Headers = append(record.Headers, r.Headers...)
	for _, h := range append(d.Headers(), subscription.Pair{Name: "transom-dead-timestamp", Value: r.Timestamp.UTC().Format(time.RFC3339Nano)}) {
		record.Headers = append(record.Headers, &sarama.RecordHeader{Key: []byte(h.Name), Value: []byte(h.Value)})
	}
	now := time.Now()
	return &sarama.RecordBatch{
		Version: 2, FirstTimestamp: now, MaxTimestamp: now, Records: []*sarama.Record{record},
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, // it is no idempotent producer
	}
}
