package kafka

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/transom-gateway/transom/events"
	kafkatest "github.com/transom-gateway/transom/internal/testing/kafka"
	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/poll"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// said is what an inquiry found: "place: message", warnings marked.
func said(t *testing.T, settings *transomv1.KafkaSink, largest int, uses ...events.Use) (all []string) {
	t.Helper()
	Ask(t.Context(), "main", settings, env(t), events.Inquiry{At: "sink.yaml:1:1", Uses: uses, Largest: largest, Found: func(at string, warning bool, message string) {
		if warning {
			message = "warning: " + message
		}
		all = append(all, at+": "+message)
	}})
	return all
}

func writes(topic string) events.Use {
	return events.Use{At: "rules.proto:7:3", By: "events[0] of p.v1.S/Get", Topic: topic, Types: []string{"user.test"}}
}

func reads(topic, group string) events.Use {
	return events.Use{At: "sub.yaml:2:2", By: "subscription s", Topic: topic, Group: group}
}

// administer is what an administrator does at the broker.
func administer(t *testing.T, broker *kafkatest.Broker) sarama.ClusterAdmin {
	t.Helper()
	c := sarama.NewConfig()
	c.Version = sarama.V2_8_0_0
	admin, err := sarama.NewClusterAdmin([]string{broker.Plaintext}, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close() })
	return admin
}

func create(t *testing.T, admin sarama.ClusterAdmin, settings map[string]string, topics ...string) {
	t.Helper()
	detail := &sarama.TopicDetail{NumPartitions: 2, ReplicationFactor: 1, ConfigEntries: map[string]*string{}}
	for name, value := range settings {
		detail.ConfigEntries[name] = &value
	}
	for _, topic := range topics {
		if err := admin.CreateTopic(topic, detail, false); err != nil {
			t.Fatal(err)
		}
		poll.Until(t, "the topic has leaders", func() bool {
			all, err := admin.DescribeTopics([]string{topic})
			return err == nil && all[0].Err == sarama.ErrNoError && len(all[0].Partitions) == 2 && leaderless(all[0]) == 0
		})
	}
}

// TestAsk asks a real broker about topics that are there and not, too small, not to be acknowledged, and
// about what ACLs forbid (Events 151).
func TestAsk(t *testing.T) {
	broker := kafkatest.Shared(t)
	admin := administer(t, broker)
	create(t, admin, nil, "live_good", "live_forbidden", "live_hidden", "live_unread")
	create(t, admin, map[string]string{"max.message.bytes": "100000"}, "live_small")
	create(t, admin, map[string]string{"min.insync.replicas": "2"}, "live_alone")
	allow := func(user string, kind sarama.AclResourceType, name string, operations ...sarama.AclOperation) {
		t.Helper()
		to := &sarama.ResourceAcls{Resource: sarama.Resource{ResourceType: kind, ResourceName: name, ResourcePatternType: sarama.AclPatternLiteral}}
		for _, operation := range operations {
			to.Acls = append(to.Acls, &sarama.Acl{Principal: "User:" + user, Host: "*", Operation: operation, PermissionType: sarama.AclPermissionAllow})
		}
		if err := admin.CreateACLs([]*sarama.ResourceAcls{to}); err != nil {
			t.Fatal(err)
		}
	}
	allow(kafkatest.User, sarama.AclResourceTopic, "live_forbidden", sarama.AclOperationDescribe)
	allow(kafkatest.User, sarama.AclResourceTopic, "live_unread", sarama.AclOperationWrite, sarama.AclOperationDescribeConfigs)
	allow(kafkatest.User, sarama.AclResourceGroup, "live-group", sarama.AclOperationDescribe)
	allow("somebody", sarama.AclResourceTopic, "live_hidden", sarama.AclOperationAll)
	open := &transomv1.KafkaSink{Brokers: []string{broker.Plaintext}}
	creating := &transomv1.KafkaSink{Brokers: []string{broker.Plaintext}, CreateTopics: creates}
	impossible := &transomv1.KafkaSink{Brokers: []string{broker.Plaintext}, CreateTopics: &transomv1.KafkaTopics{ReplicationFactor: 3}}
	named := &transomv1.KafkaSink{Brokers: []string{broker.SASLPlaintext}, Sasl: &transomv1.KafkaSasl{
		Mechanism: transomv1.KafkaSasl_SCRAM_SHA_512, Username: kafkatest.User, Password: kafkatest.Password, Insecure: true,
	}}
	poll.Until(t, "the broker knows the ACLs", func() bool { return len(said(t, named, 1, writes("live_hidden"))) > 0 })
	const size = 256 << 10
	dead := events.Use{At: "sub.yaml:3:3", By: "subscription s, dead letters", Topic: "live_small", Buries: "live_good"}
	for name, test := range map[string]struct {
		settings *transomv1.KafkaSink
		uses     []events.Use
		want     []string // parts of what is said, in order
	}{
		"all is well":         {open, []events.Use{writes("live_good"), reads("live_good", "live-a")}, nil},
		"as somebody":         {named, []events.Use{writes("live_good"), reads("live_good", "live-a")}, nil},
		"nothing is used":     {open, nil, nil},
		"no topic":            {open, []events.Use{writes("live_none")}, []string{"rules.proto:7:3: events[0] of p.v1.S/Get: topic live_none: the topic does not exist: create it, or set create_topics"}},
		"a topic to create":   {creating, []events.Use{writes("live_none")}, nil},
		"none can be created": {impossible, []events.Use{writes("live_none")}, []string{"topic live_none does not exist, and create_topics cannot create it: "}},
		"small":               {open, []events.Use{writes("live_small")}, []string{"topic live_small takes messages of up to 100000 bytes, but an event may have 295424: raise its max.message.bytes, or lower events.max_event_bytes"}},
		"small dead letters":  {open, []events.Use{reads("live_good", "live-a"), dead}, []string{"sub.yaml:3:3: subscription s, dead letters: topic live_small takes messages of up to 100000 bytes, but the topic live_good, whose dead letters go there, of up to 1048588"}},
		"never acknowledged":  {open, []events.Use{writes("live_alone")}, []string{"topic live_alone: it has 1 replicas, and min.insync.replicas is 2, so that no record is acknowledged"}},
		"not to be written":   {named, []events.Use{writes("live_forbidden")}, []string{"warning: topic live_forbidden: its settings cannot be read", "rules.proto:7:3: events[0] of p.v1.S/Get: topic live_forbidden: the gateway's user may not write to it: allow it Describe and Write"}},
		"not to be described": {named, []events.Use{writes("live_hidden")}, []string{"topic live_hidden: the gateway's user may not even describe it: allow it Describe and Write"}},
		"not to be read":      {named, []events.Use{reads("live_unread", "live-a")}, []string{"sub.yaml:2:2: subscription s: topic live_unread: the gateway's user may not read it"}},
		"not by the group":    {named, []events.Use{reads("live_good", "live-group")}, []string{"sub.yaml:2:2: subscription s: group live-group: the gateway's user may not read by it: allow it Read of the group"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := said(t, test.settings, size, test.uses...)
			if len(got) != len(test.want) || !slices.EqualFunc(got, test.want, strings.Contains) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
	topics, err := admin.ListTopics()
	if _, made := topics["live_none"]; err != nil || made {
		t.Errorf("asking has created a topic: %v, %v", made, err)
	}
}

// TestAskNobody: a broker that is not there, or says nothing, is one error at the sink's place, in bounded time.
func TestAskNobody(t *testing.T) {
	broker := kafkatest.Start(t)
	broker.Pause(t)
	defer broker.Resume(t)
	for _, address := range []string{loopback.Address(t), broker.Plaintext} {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		var got []string
		Ask(ctx, "main", &transomv1.KafkaSink{Brokers: []string{address}}, env(t), events.Inquiry{At: "sink.yaml:1:1", Uses: []events.Use{writes("a")}, Found: func(at string, _ bool, message string) {
			got = append(got, at+": "+message)
		}})
		if len(got) != 1 || !strings.HasPrefix(got[0], "sink.yaml:1:1: sink main: kafka at "+address+": ") {
			t.Errorf("%s: got %q", address, got)
		}
	}
}
