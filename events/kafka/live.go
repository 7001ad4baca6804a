package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/IBM/sarama"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/cloudevents"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// Ask asks a cluster whether it takes and gives what a configuration says (Events 151): that topics are there
// and have leaders, what its user may do, and how large a message may be.
func Ask(ctx context.Context, name string, settings *transomv1.KafkaSink, env events.Env, in events.Inquiry) {
	c, err := newCluster(settings, env, env.Log.With("sink", name))
	if err == nil {
		i := &inquiry{Inquiry: in, cluster: c, topics: topicsOf(in.Uses)}
		err = i.run(ctx)
	}
	if err != nil {
		in.Found(in.At, false, fmt.Sprintf("sink %s: %v", name, err))
	}
}

// inquiry is one look at a cluster.
type inquiry struct {
	events.Inquiry
	cluster *cluster
	topics  []string
	link    *link
	admin   sarama.ClusterAdmin
	// bounds are the largest messages of topics, where they are known.
	bounds map[string]int
}

func topicsOf(uses []events.Use) (all []string) {
	for _, u := range uses {
		all = append(all, u.Topic)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// anyTopic need not exist: who asks for it finds out whether it is let in.
const anyTopic = "transom"

func (i *inquiry) run(ctx context.Context) (err error) {
	first := anyTopic
	if len(i.topics) > 0 {
		first = i.topics[0]
	}
	if i.link, err = i.cluster.connect(ctx, first); err != nil {
		return i.cluster.away(err)
	}
	defer i.link.close()
	defer context.AfterFunc(ctx, i.link.cut)() // sarama's calls know no context
	if i.admin, err = sarama.NewClusterAdminFromClient(i.link.client); err != nil {
		return i.cluster.away(err)
	}
	found, err := i.describe()
	if err != nil {
		return i.cluster.away(i.link.dialer.why(err))
	}
	there := found.there()
	i.readBounds(there)
	for _, u := range i.Uses {
		if i.judge(u, found[u.Topic]) {
			i.size(u)
		}
	}
	i.groups(ctx)
	if slices.ContainsFunc(i.Uses, func(u events.Use) bool { return u.Group == "" }) {
		return i.produces(ctx)
	}
	return nil
}

// described are topics as a broker describes them.
type described map[string]*sarama.TopicMetadata

// there are those that exist.
func (d described) there() (all []string) {
	for name, t := range d {
		if t.Err == sarama.ErrNoError || t.Err == sarama.ErrLeaderNotAvailable {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// operationsVersion is the first one of the request for topics whose answer says what one may do.
const operationsVersion = 8

func (i *inquiry) describe() (described, error) {
	all := described{}
	if len(i.topics) == 0 {
		return all, nil
	}
	broker := i.link.client.LeastLoadedBroker()
	if broker == nil {
		return nil, sarama.ErrOutOfBrokers
	}
	answer, err := broker.GetMetadata(&sarama.MetadataRequest{Version: operationsVersion, Topics: i.topics, IncludeTopicAuthorizedOperations: true})
	if err != nil {
		return nil, err
	}
	for _, t := range answer.Topics {
		if t.Version < operationsVersion {
			t.TopicAuthorizedOperations = math.MinInt32 // it is older, and does not say
		}
		all[t.Name] = t
	}
	return all, nil
}

// judge says what stands against the use of a topic, and reports whether it is there.
func (i *inquiry) judge(u events.Use, t *sarama.TopicMetadata) bool {
	fail := func(format string, args ...any) { i.Found(u.At, false, u.By+": "+fmt.Sprintf(format, args...)) }
	switch {
	case t == nil:
		fail("topic %s: %v", u.Topic, errNoAnswer)
		return false
	case t.Err == sarama.ErrUnknownTopicOrPartition:
		i.missing(u, fail)
		return false
	case t.Err == sarama.ErrTopicAuthorizationFailed:
		fail("topic %s: the gateway's user may not even describe it: allow it %s", u.Topic, need(u))
		return false
	case t.Err != sarama.ErrNoError && t.Err != sarama.ErrLeaderNotAvailable:
		fail("topic %s: %v", u.Topic, t.Err)
		return false
	}
	if headless := leaderless(t); headless > 0 {
		fail("topic %s: %d of its %d partitions have no leader, so that what goes there waits", u.Topic, headless, len(t.Partitions))
	}
	operation := sarama.AclOperationWrite
	if u.Group != "" {
		operation = sarama.AclOperationRead
	}
	if !may(t.TopicAuthorizedOperations, operation) {
		fail("topic %s: the gateway's user may not %s: allow it %s", u.Topic, verb(u), need(u))
	}
	return true
}

func leaderless(t *sarama.TopicMetadata) (n int) {
	for _, p := range t.Partitions {
		if p.Leader < 0 {
			n++
		}
	}
	return n
}

func verb(u events.Use) string {
	if u.Group != "" {
		return "read it"
	}
	return "write to it"
}

// need is the operations that a use takes.
func need(u events.Use) string {
	if u.Group != "" {
		return "Describe and Read"
	}
	return "Describe and Write"
}

// may reports whether a set of operations has one; where the broker does not say, it does.
func may(operations int32, one sarama.AclOperation) bool {
	return operations == math.MinInt32 || operations&(1<<one) != 0
}

// missing says what follows from a topic that is not there. Where it is created by the gateway, the cluster
// is asked whether that will do.
func (i *inquiry) missing(u events.Use, fail func(format string, args ...any)) {
	if i.cluster.settings.CreateTopics == nil {
		fail("topic %s: %v", u.Topic, errNoTopic)
		return
	}
	err := i.admin.CreateTopic(u.Topic, i.cluster.topicDetail(), true)
	if err != nil && !errors.Is(err, sarama.ErrTopicAlreadyExists) {
		fail("topic %s does not exist, and create_topics cannot create it: %v", u.Topic, err)
	}
}

const (
	maxMessage  = "max.message.bytes"
	minInSync   = "min.insync.replicas"
	recordExtra = 512 // what a batch of one record has beside its value and headers, and more
)

// readBounds asks for the settings of topics.
func (i *inquiry) readBounds(topics []string) {
	i.bounds = map[string]int{}
	if len(topics) == 0 {
		return
	}
	var resources []*sarama.ConfigResource
	for _, name := range topics {
		resources = append(resources, &sarama.ConfigResource{Type: sarama.TopicResource, Name: name, ConfigNames: []string{maxMessage, minInSync}})
	}
	results, err := i.admin.DescribeConfigs(resources, sarama.DescribeConfigsOptions{})
	if err != nil {
		i.Found(i.At, true, fmt.Sprintf("the settings of topics cannot be read, so that it is not known how large a message may be: %v", err))
		return
	}
	for _, r := range results {
		if r.ErrorCode != sarama.ErrNoError {
			i.Found(i.At, true, fmt.Sprintf("topic %s: its settings cannot be read, so that it is not known how large a message may be: %v", r.Name, r.ErrorCode))
			continue
		}
		for _, e := range r.Configs {
			n, err := strconv.Atoi(e.Value)
			switch {
			case err != nil:
			case e.Name == maxMessage:
				i.bounds[r.Name] = n
			case e.Name == minInSync:
				i.inSync(r.Name, n)
			}
		}
	}
}

// inSync holds that a topic has as many replicas as must have a record before it is acknowledged.
func (i *inquiry) inSync(topic string, least int) {
	partitions, err := i.link.client.Partitions(topic)
	if err != nil || len(partitions) == 0 {
		return // that is said elsewhere
	}
	all, err := i.link.client.Replicas(topic, partitions[0])
	if err != nil || len(all) >= least {
		return
	}
	for _, u := range i.Uses {
		if u.Topic == topic && u.Group == "" {
			i.Found(u.At, false, fmt.Sprintf("%s: topic %s: it has %d replicas, and %s is %d, so that no record is acknowledged", u.By, topic, len(all), minInSync, least))
		}
	}
}

// size holds that a topic takes the largest message that may go there.
func (i *inquiry) size(u events.Use) {
	bound, known := i.bounds[u.Topic]
	if !known || u.Group != "" {
		return
	}
	if u.Buries != "" {
		if source, ok := i.bounds[u.Buries]; ok && bound < source {
			i.Found(u.At, false, fmt.Sprintf("%s: topic %s takes messages of up to %d bytes, but the topic %s, whose dead letters go there, of up to %d: raise its %s", u.By, u.Topic, bound, u.Buries, source, maxMessage))
		}
		return
	}
	if most := i.Largest + cloudevents.MaxHeaders + recordExtra; bound < most {
		i.Found(u.At, false, fmt.Sprintf("%s: topic %s takes messages of up to %d bytes, but an event may have %d: raise its %s, or lower events.max_event_bytes", u.By, u.Topic, bound, most, maxMessage))
	}
}

// groupsVersion is the first one of the request for groups whose answer says what one may do.
const groupsVersion = 3

// groups asks whether the consumer groups may be joined.
func (i *inquiry) groups(ctx context.Context) {
	for _, u := range i.Uses {
		if u.Group == "" {
			continue
		}
		if err := begun(ctx, func() error { return i.group(u.Group) }); err != nil {
			i.Found(u.At, false, fmt.Sprintf("%s: group %s: %v", u.By, u.Group, err))
		}
	}
}

var errGroup = errors.New("the gateway's user may not read by it: allow it Read of the group")

const (
	// coordinatorWait is how long a cluster may take that has begun, or has its first group.
	coordinatorWait  = 15 * time.Second
	coordinatorPause = 200 * time.Millisecond
)

// begun asks until the cluster is ready to answer.
func begun(ctx context.Context, ask func() error) error {
	ctx, cancel := context.WithTimeout(ctx, coordinatorWait)
	defer cancel()
	for {
		err := ask()
		if !errors.Is(err, sarama.ErrConsumerCoordinatorNotAvailable) && !errors.Is(err, sarama.ErrOffsetsLoadInProgress) && !errors.Is(err, sarama.ErrNotCoordinatorForConsumer) {
			return err
		}
		timer := time.NewTimer(coordinatorPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

func (i *inquiry) group(name string) error {
	coordinator, err := i.link.client.Coordinator(name)
	if errors.Is(err, sarama.ErrGroupAuthorizationFailed) {
		return errGroup
	}
	if err != nil {
		return err
	}
	answer, err := coordinator.DescribeGroups(&sarama.DescribeGroupsRequest{Version: groupsVersion, Groups: []string{name}, IncludeAuthorizedOperations: true})
	if err != nil {
		return err
	}
	for _, g := range answer.Groups {
		switch {
		case g.Err == sarama.ErrGroupAuthorizationFailed:
			return errGroup
		case g.Err != sarama.ErrNoError && g.Err != sarama.ErrGroupIDNotFound:
			return g.Err
		case g.Version >= groupsVersion && g.Err == sarama.ErrNoError && !may(g.AuthorizedOperations, sarama.AclOperationRead):
			return errGroup
		}
	}
	return nil
}

// produces asks for the id of an idempotent producer, as a sink does before it sends.
func (i *inquiry) produces(ctx context.Context) error {
	if err := begun(ctx, func() error { return (&producer{}).prepare(i.link) }); err != nil {
		return i.cluster.away(err)
	}
	return nil
}
