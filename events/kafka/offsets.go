package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"github.com/transom-gateway/transom/events/subscription"
)

// asker keeps a link for what is asked now and then, by one at a time.
type asker struct {
	cluster *cluster
	topic   string
	turn    chan struct{} // has a token while nobody asks
	link    *link
	closed  bool
}

func (a *asker) init(c *cluster, topic string) {
	a.cluster, a.topic, a.turn = c, topic, make(chan struct{}, 1)
	a.turn <- struct{}{}
}

var errClosed = errors.New("the source is closed")

// ask has f ask. A link on which that fails is given up, unless a broker has said no.
func (a *asker) ask(ctx context.Context, f func(*link) error) error {
	select {
	case <-a.turn:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { a.turn <- struct{}{} }()
	if a.closed {
		return errClosed
	}
	if a.link == nil {
		l, err := a.cluster.connect(ctx, a.topic)
		if err != nil {
			return err
		}
		a.link = l
	}
	l := a.link
	stop := context.AfterFunc(ctx, l.cut) // sarama's calls know no context
	err := f(l)
	if !stop() || judge(err) == away {
		err = l.dialer.why(err)
		l.close()
		a.link = nil
	}
	return err
}

func (a *asker) close() {
	<-a.turn
	defer func() { a.turn <- struct{}{} }()
	a.closed = true
	if a.link != nil {
		a.link.close()
		a.link = nil
	}
}

// ofGroup asks with an admin of the topic's partitions.
func (s *Source) ofGroup(ctx context.Context, f func(l *link, admin sarama.ClusterAdmin, partitions []int32) error) error {
	return s.asking.ask(ctx, func(l *link) error {
		err := l.client.RefreshMetadata(s.what.Topic)
		if errors.Is(err, sarama.ErrUnknownTopicOrPartition) && s.settings.CreateTopics != nil {
			s.missing(s.what.Topic)
			s.create(ctx, l, []string{s.what.Topic})
			err = l.client.RefreshMetadata(s.what.Topic)
		}
		if errors.Is(err, sarama.ErrUnknownTopicOrPartition) {
			return fmt.Errorf("topic %s: %w", s.what.Topic, errNoTopic)
		}
		if err != nil {
			return err
		}
		partitions, err := l.client.Partitions(s.what.Topic)
		if err != nil {
			return err
		}
		admin, err := sarama.NewClusterAdminFromClient(l.client) // closing it would close the client
		if err != nil {
			return err
		}
		return f(l, admin, partitions)
	})
}

// committed is how far the group has come.
func (s *Source) committed(l *link, admin sarama.ClusterAdmin, partitions []int32) (map[int32]int64, error) {
	answer, err := admin.ListConsumerGroupOffsets(s.what.Group, map[string][]int32{s.what.Topic: partitions})
	if err != nil {
		_ = l.client.RefreshCoordinator(s.what.Group)
		return nil, err
	}
	all := map[int32]int64{}
	for _, id := range partitions {
		block := answer.GetBlock(s.what.Topic, id)
		switch {
		case block == nil:
			return nil, errNoAnswer
		case block.Err != sarama.ErrNoError:
			return nil, block.Err
		}
		all[id] = block.Offset
	}
	return all, nil
}

// offsets are those of a time, or of sarama.OffsetOldest or OffsetNewest.
func (s *Source) offsets(l *link, admin sarama.ClusterAdmin, partitions []int32, at int64) (map[int32]int64, error) {
	asked := map[int32]int64{}
	for _, id := range partitions {
		asked[id] = at
	}
	answer, err := admin.ListOffsets(map[string]map[int32]int64{s.what.Topic: asked}, &sarama.ListOffsetsOptions{IsolationLevel: sarama.ReadCommitted})
	if err != nil {
		return nil, err
	}
	all := map[int32]int64{}
	for _, id := range partitions {
		result := answer[s.what.Topic][id]
		switch {
		case result == nil:
			return nil, errNoAnswer
		case result.Err != nil && !errors.Is(result.Err, sarama.ErrNoError):
			l.stale(s.what.Topic)
			return nil, result.Err
		}
		all[id] = result.Offset
	}
	return all, nil
}

// find is where a position is in each partition.
func (s *Source) find(l *link, admin sarama.ClusterAdmin, partitions []int32, to subscription.Position) (map[int32]int64, error) {
	switch {
	case to.Earliest:
		return s.offsets(l, admin, partitions, sarama.OffsetOldest)
	case to.Time.IsZero():
		return s.offsets(l, admin, partitions, sarama.OffsetNewest)
	}
	all, err := s.offsets(l, admin, partitions, to.Time.UnixMilli())
	if err != nil {
		return nil, err
	}
	end, err := s.offsets(l, admin, partitions, sarama.OffsetNewest)
	for id, offset := range all {
		if offset < 0 { // nothing is as late
			all[id] = end[id]
		}
	}
	return all, err
}

// begin has a group that is new begin where it shall, before its first member joins, so that nothing
// is missed from then on (Events 173). Partitions that were added later begin with their oldest record.
func (s *Source) begin(ctx context.Context) error {
	return s.ofGroup(ctx, func(l *link, admin sarama.ClusterAdmin, partitions []int32) error {
		committed, err := s.committed(l, admin, partitions)
		if err != nil {
			return err
		}
		var missing []int32
		for _, id := range partitions {
			if committed[id] < 0 {
				missing = append(missing, id)
			}
		}
		if len(missing) == 0 {
			return nil
		}
		start := s.what.Start
		if len(missing) < len(partitions) {
			start = subscription.Position{Earliest: true}
		}
		to, err := s.find(l, admin, missing, start)
		if err != nil {
			return err
		}
		err = s.commit(admin, to)
		if errors.Is(err, sarama.ErrUnknownMemberId) || errors.Is(err, sarama.ErrIllegalGeneration) || errors.Is(err, sarama.ErrRebalanceInProgress) {
			return nil // another member has joined, and has done it
		}
		return err
	})
}

// commit writes the places of a group without members.
func (s *Source) commit(admin sarama.ClusterAdmin, to map[int32]int64) error {
	offsets := map[int32]sarama.OffsetAndMetadata{}
	for id, offset := range to {
		offsets[id] = sarama.OffsetAndMetadata{Offset: offset, LeaderEpoch: -1}
	}
	answer, err := admin.AlterConsumerGroupOffsets(s.what.Group, map[string]map[int32]sarama.OffsetAndMetadata{s.what.Topic: offsets}, nil)
	if err != nil {
		return err
	}
	for _, code := range answer.Errors[s.what.Topic] {
		if code != sarama.ErrNoError {
			return code
		}
	}
	return nil
}

// Seek implements subscription.Source.
func (s *Source) Seek(ctx context.Context, to subscription.Position) (at map[int32]int64, err error) {
	err = s.ofGroup(ctx, func(l *link, admin sarama.ClusterAdmin, partitions []int32) error {
		if err := s.withoutMembers(admin); err != nil {
			return err
		}
		at = map[int32]int64{to.Partition: to.Offset}
		if to.Earliest || to.Latest || !to.Time.IsZero() {
			if at, err = s.find(l, admin, partitions, to); err != nil {
				return err
			}
		} else if err := s.offered(l, admin, partitions, to); err != nil {
			return err
		}
		return s.commit(admin, at)
	})
	switch {
	case errors.Is(err, subscription.ErrNotMoved):
		return nil, err
	case err != nil:
		return nil, s.away(err)
	}
	return at, nil
}

// offered refuses an offset that its partition does not have.
func (s *Source) offered(l *link, admin sarama.ClusterAdmin, partitions []int32, to subscription.Position) error {
	oldest, err := s.offsets(l, admin, partitions, sarama.OffsetOldest)
	if err != nil {
		return err
	}
	end, err := s.offsets(l, admin, partitions, sarama.OffsetNewest)
	if err != nil {
		return err
	}
	first, ok := oldest[to.Partition]
	switch {
	case !ok:
		return fmt.Errorf("%w: found the partition %d, but the topic %s has 0 to %d", subscription.ErrNotMoved, to.Partition, s.what.Topic, len(partitions)-1)
	case to.Offset < first || to.Offset > end[to.Partition]:
		return fmt.Errorf("%w: found the offset %d, but the partition %d has %d to %d", subscription.ErrNotMoved, to.Offset, to.Partition, first, end[to.Partition])
	}
	return nil
}

// withoutMembers refuses what is done to a group that has members. A member of ours with an ID has not
// left with the others.
func (s *Source) withoutMembers(admin sarama.ClusterAdmin) error {
	if s.what.Instance != "" {
		if _, err := admin.RemoveMemberFromConsumerGroup(s.what.Group, []string{s.what.Instance}); err != nil {
			return err
		}
	}
	groups, err := admin.DescribeConsumerGroups([]string{s.what.Group})
	if err != nil {
		return err
	}
	for _, g := range groups {
		if n := len(g.Members); n > 0 {
			return fmt.Errorf("%w: the group %s has %d members in other processes: stop these first", subscription.ErrNotMoved, s.what.Group, n)
		}
	}
	return nil
}

// Lag implements subscription.Source.
func (s *Source) Lag(ctx context.Context) (all []subscription.Lag, err error) {
	err = s.ofGroup(ctx, func(l *link, admin sarama.ClusterAdmin, partitions []int32) error {
		committed, err := s.committed(l, admin, partitions)
		if err != nil {
			return err
		}
		end, err := s.offsets(l, admin, partitions, sarama.OffsetNewest)
		if err != nil {
			return err
		}
		for _, id := range partitions {
			if committed[id] < 0 {
				continue // the group has not begun
			}
			one := subscription.Lag{Partition: id, Committed: committed[id], End: end[id]}
			if one.End > one.Committed && !s.claims.has(id) {
				one.Oldest = s.written(l, id, one.Committed)
			}
			all = append(all, one)
		}
		return nil
	})
	if err != nil {
		return nil, s.away(err)
	}
	return all, nil
}

// fetchWait is how long a broker may wait for a record, in milliseconds.
const fetchWait = 100

// written is when the record at an offset was written; zero where that is not known.
func (s *Source) written(l *link, id int32, offset int64) time.Time {
	leader, err := l.client.Leader(s.what.Topic, id)
	if err != nil {
		return time.Time{}
	}
	request := &sarama.FetchRequest{Version: 11, MaxWaitTime: fetchWait, MinBytes: 1, MaxBytes: 1, Isolation: sarama.ReadCommitted, SessionEpoch: -1}
	request.AddBlock(s.what.Topic, id, offset, 1, -1) // a broker sends one batch at least
	answer, err := leader.Fetch(request)
	if err != nil {
		return time.Time{}
	}
	block := answer.GetBlock(s.what.Topic, id)
	if block == nil {
		return time.Time{}
	}
	for _, records := range block.RecordsSet {
		if records.RecordBatch == nil {
			continue
		}
		for _, r := range records.RecordBatch.Records {
			if records.RecordBatch.FirstOffset+r.OffsetDelta >= offset {
				return records.RecordBatch.FirstTimestamp.Add(r.TimestampDelta)
			}
		}
	}
	return time.Time{}
}

// reachable reports whether the cluster answers.
func (s *Source) reachable(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, lookAgain)
	defer cancel()
	return s.ofGroup(ctx, func(l *link, _ sarama.ClusterAdmin, _ []int32) error {
		return l.client.RefreshCoordinator(s.what.Group)
	}) == nil
}
