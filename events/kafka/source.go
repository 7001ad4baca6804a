package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/subscription"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

const (
	// sessionTimeout is how long a member may be silent before its partitions go to others.
	sessionTimeout = 10 * time.Second
	heartbeat      = time.Second
	// commitInterval is how long what is done waits to be committed.
	commitInterval = 100 * time.Millisecond
	// defaultRelease is how long calls may last when their partition goes to another member, and
	// releaseRoom what members have beyond that.
	defaultRelease = 30 * time.Second
	releaseRoom    = 5 * time.Second
	// leaveTime is what commits and the farewell may take at the end.
	leaveTime = 3 * time.Second
	// While brokers are away, a member asks again that often, and so often, before it begins anew.
	memberRetries = 6
	memberPause   = 500 * time.Millisecond
)

// Source is a topic as one member of a consumer group reads it.
type Source struct {
	*cluster
	what subscription.Reading
	// asking is for what is asked beside the member, and burying for dead letters.
	asking, burying asker
	claims          claimed
}

var (
	_ subscription.Source      = (*Source)(nil)
	_ subscription.DeadLetters = (*Source)(nil)
)

// OpenSource makes a source. It does not wait for brokers, and none need be there.
func OpenSource(name string, settings *transomv1.KafkaSink, what subscription.Reading, env events.Env) (*Source, error) {
	c, err := newCluster(settings, env, env.Log.With("source", name, "subscription", what.Subscription))
	if err != nil {
		return nil, err
	}
	if what.Release <= 0 {
		what.Release = defaultRelease
	}
	if what.DeadLetters == "" {
		what.DeadLetters = what.Topic + "." + what.Group + ".dead"
	}
	s := &Source{cluster: c, what: what}
	s.asking.init(c, what.Topic)
	s.burying.init(c, what.DeadLetters)
	return s, nil
}

// Run implements subscription.Source.
func (s *Source) Run(ctx context.Context, w *subscription.Work) error {
	if err := s.begin(ctx); err != nil {
		return s.ended(ctx, err)
	}
	m, err := s.join(ctx)
	if err != nil {
		return s.ended(ctx, err)
	}
	h := &handler{source: s, member: m, work: w, ctx: ctx}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		h.watch()
	}()
	defer context.AfterFunc(ctx, h.ending)()
	err = m.group.Consume(ctx, []string{s.what.Topic}, h)
	if err == nil && h.lost() != nil {
		err = fmt.Errorf("the member of the group %s begins anew: %w", s.what.Group, h.lost())
	}
	m.leave()
	<-watched
	return s.ended(ctx, m.dialer.why(err))
}

// ended is the error of Run.
func (s *Source) ended(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return nil
	case err == nil:
		err = errors.New("the group has ended")
	}
	return s.away(err)
}

// member is one of a consumer group.
type member struct {
	dialer *dialer
	group  sarama.ConsumerGroup
	client sarama.Client
}

// separate is a client that reaches the coordinator of its group by connections of its own: its
// answer to who joins may take as long as other members do, and must not hold up what is fetched.
type separate struct {
	sarama.Client
	coordination sarama.Client
}

// Coordinator implements sarama.Client.
func (c separate) Coordinator(group string) (*sarama.Broker, error) {
	return c.coordination.Coordinator(group)
}

// RefreshCoordinator implements sarama.Client.
func (c separate) RefreshCoordinator(group string) error {
	return c.coordination.RefreshCoordinator(group)
}

// Close implements sarama.Client.
func (c separate) Close() error { return errors.Join(c.Client.Close(), c.coordination.Close()) }

// join connects a member. Consume has it join.
func (s *Source) join(ctx context.Context) (*member, error) {
	config, err := s.config()
	if err != nil {
		return nil, err
	}
	d := newDialer(s.tls)
	config.Net.Proxy.Enable, config.Net.Proxy.Dialer = true, d
	s.configure(config, d)
	defer context.AfterFunc(ctx, d.cut)()
	m := &member{dialer: d}
	var both separate
	if both.Client, err = sarama.NewClient(s.settings.Brokers, config); err != nil {
		d.cut()
		return nil, d.why(err)
	}
	if both.coordination, err = sarama.NewClient(s.settings.Brokers, config); err != nil {
		d.cut()
		_ = both.Client.Close()
		return nil, d.why(err)
	}
	m.client = both
	if m.group, err = sarama.NewConsumerGroupFromClient(s.what.Group, both); err != nil {
		d.cut()
		_ = both.Close()
		return nil, err
	}
	return m, nil
}

// configure has a client be that of a member.
func (s *Source) configure(c *sarama.Config, d *dialer) {
	c.Net.MaxOpenRequests = 5
	c.ChannelBufferSize = 16
	c.Metadata.Retry.Max = memberRetries
	c.Metadata.Retry.BackoffFunc = func(int, int) time.Duration {
		if d.open.Err() != nil {
			return 0 // nothing will come of it
		}
		return memberPause
	}
	c.Metadata.RefreshFrequency = time.Minute // when partitions are added
	c.Consumer.Return.Errors = true
	c.Consumer.Retry.Backoff = memberPause
	c.Consumer.IsolationLevel = sarama.ReadCommitted
	c.Consumer.Offsets.AutoCommit.Interval = commitInterval
	// What has no place by now came after the group had its places, as partitions that are added.
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Group.InstanceId = s.what.Instance
	c.Consumer.Group.Session.Timeout, c.Consumer.Group.Heartbeat.Interval = sessionTimeout, heartbeat
	c.Consumer.Group.Rebalance.Timeout = s.what.Release + releaseRoom
	c.Consumer.Group.Rebalance.Retry.Max, c.Consumer.Group.Rebalance.Retry.Backoff = memberRetries, memberPause
	c.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategyCooperativeSticky()}
	// The answer to who joins comes when all others have let go.
	c.Net.ReadTimeout = max(answerTimeout, c.Consumer.Group.Rebalance.Timeout+releaseRoom)
}

// leave has the member leave its group, and ends its connections.
func (m *member) leave() {
	bound := time.AfterFunc(leaveTime, m.dialer.cut)
	defer bound.Stop()
	_ = m.group.Close()
	m.dialer.cut()
	_ = m.client.Close()
}

// Close implements subscription.Source.
func (s *Source) Close() error {
	s.asking.close()
	s.burying.close()
	return nil
}
