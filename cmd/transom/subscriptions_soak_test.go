package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/transom-gateway/transom/internal/testing/grpctest"
	kafkatest "github.com/transom-gateway/transom/internal/testing/kafka"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

var (
	soakRecords = flag.Int("soak-records", 600, "how many records TestSubscriptionsKilled has")
	soakEvery   = flag.Int("soak-every", 250, "after how many first effects something is killed")
	soakMembers = flag.Uint64("soak-members-seed", 1, "what its chances begin with")
)

const takenProto = `syntax = "proto3";
package shop.v1;
import "google/protobuf/wrappers.proto";
service Shop { rpc Take(google.protobuf.StringValue) returns (google.protobuf.StringValue); }
`

// stock is the server behind: it knows which records have had their effect. It holds up calls
// when there have been as many as limit says, so that whoever is killed then has calls under way.
type stock struct {
	mu                     sync.Mutex
	limit                  int
	more                   chan struct{}  // closed when the limit is raised
	next                   map[string]int // by keys
	first, doubles, failed int
	disorder               []string
	random                 *rand.Rand
}

// take takes the record "KEY/NUMBER".
func (s *stock) take(_ any, stream grpc.ServerStream) error {
	m := new(wrapperspb.StringValue)
	if err := stream.RecvMsg(m); err != nil {
		return err
	}
	key, text, _ := strings.Cut(m.GetValue(), "/")
	n, err := strconv.Atoi(text)
	if err != nil {
		return status.Error(codes.InvalidArgument, "no record of the test")
	}
	for {
		held, err := s.note(key, n)
		if err != nil {
			return err
		}
		if held == nil {
			return stream.SendMsg(m)
		}
		select {
		case <-held:
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

// raise lets so many more records have their effect.
func (s *stock) raise(by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit += by
	close(s.more)
	s.more = make(chan struct{})
}

// note notes a call, unless it has to wait for held.
func (s *stock) note(key string, n int) (held chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.random.IntN(200) == 0 { // it is ill at times
		s.failed++
		return nil, status.Error(codes.Aborted, "not now")
	}
	switch next := s.next[key]; {
	case n == next && s.first >= s.limit:
		return s.more, nil
	case n == next:
		s.next[key]++
		s.first++
	case n < next:
		s.doubles++
	default:
		s.disorder = append(s.disorder, fmt.Sprintf("%s: %d where %d should be", key, n, next))
	}
	return nil, nil
}

func (s *stock) done() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first
}

// TestSubscriptionsKilled: Events 164, 167, 171: three gateways are members of a group of a real Kafka
// broker, and they and the broker are killed: each record has its effect, and the first effects of each
// key are in the order of its records. `make subscriptions-soak` does it for 100,000 records.
func TestSubscriptionsKilled(t *testing.T) {
	const keys, partitions, members = 50, 12, 3
	broker, bin := kafkatest.Start(t), buildTransom(t)
	random := rand.New(rand.NewPCG(164, *soakMembers))                                                               //nolint:gosec // it is a test's
	s := &stock{more: make(chan struct{}), next: map[string]int{}, random: rand.New(rand.NewPCG(165, *soakMembers))} //nolint:gosec // as above
	backend := grpctest.ServeAny(t, s.take)
	files := map[string]string{"protos/shop.proto": takenProto}
	for i := range members {
		files[fmt.Sprintf("member-%d.yaml", i)] = fmt.Sprintf(`schemas: [{ directory: ./protos }]
upstreams: { shop: { grpc: { target: %q } } }
data_directory: ./data-%d
events:
  kafka: { brokers: [%q] }
  subscriptions: [{ name: takes, topic: goods, start: EARLIEST, method: shop.v1.Shop/Take, max_attempts: 0, rebalance_timeout: 5s }]
`, backend, i, broker.Plaintext)
	}
	dir := folder(t, files)
	fillGoods(t, broker.Plaintext, partitions, keys, *soakRecords)
	start := func(i int) *process {
		return startProcess(t, bin, "--config", fmt.Sprintf("%s/member-%d.yaml", dir, i))
	}
	var all [members]*process
	for i := range all {
		all[i] = start(i)
	}
	poll.Within(ledgerPatience, func() bool { return sharing(t, broker.Plaintext) == members || t.Failed() })
	s.raise(*soakEvery)
	var outage sync.WaitGroup
	defer outage.Wait()
	gateways, brokers, began := 0, 0, time.Now()
	for kill := 1; kill**soakEvery < *soakRecords; kill++ {
		poll.Within(ledgerPatience, func() bool { return s.done() >= kill**soakEvery || t.Failed() })
		if kill%3 == 2 {
			outage.Wait()
			broker.Kill()
			brokers++
			s.raise(*soakEvery)
			outage.Go(func() { broker.Restart(t) })
			continue
		}
		i := random.IntN(members)
		kill9(all[i])
		gateways++
		s.raise(*soakEvery)
		all[i] = start(i)
	}
	outage.Wait()
	poll.Within(ledgerPatience, func() bool { return s.done() == *soakRecords || t.Failed() })
	s.mu.Lock()
	defer s.mu.Unlock()
	lost := *soakRecords - s.first
	t.Logf("seed %d: records %d, lost %d, out of order %d, doubles %d, failed calls %d; %d gateways and %d brokers killed in %v",
		*soakMembers, *soakRecords, lost, len(s.disorder), s.doubles, s.failed, gateways, brokers, time.Since(began).Round(time.Second))
	if lost != 0 || len(s.disorder) != 0 {
		t.Errorf("%d records are lost, and out of order: %.2000s", lost, strings.Join(s.disorder, ", "))
	}
}

// kill9 kills a gateway as a crash does.
func kill9(p *process) {
	p.once.Do(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended //nolint:errcheck // "signal: killed"
	})
}

// fillGoods makes the topic, with the records of each key in their order.
func fillGoods(t *testing.T, address string, partitions int32, keys, records int) {
	t.Helper()
	c := sarama.NewConfig()
	c.Version = sarama.V2_8_0_0
	c.Producer.Return.Successes, c.Producer.Idempotent, c.Net.MaxOpenRequests = true, true, 1
	c.Producer.RequiredAcks = sarama.WaitForAll
	client, err := sarama.NewClient([]string{address}, c)
	if err != nil {
		t.Fatal(err)
	}
	admin, err := sarama.NewClusterAdminFromClient(client)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	if err := admin.CreateTopic("goods", &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1}, false); err != nil {
		t.Fatal(err)
	}
	producer, err := sarama.NewSyncProducerFromClient(client)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = producer.Close() }()
	for from := 0; from < records; from += 1000 {
		var batch []*sarama.ProducerMessage
		for i := from; i < min(from+1000, records); i++ {
			key := fmt.Sprint("key-", i%keys)
			batch = append(batch, &sarama.ProducerMessage{Topic: "goods", Key: sarama.StringEncoder(key), Value: sarama.StringEncoder(fmt.Sprintf(`"%s/%d"`, key, i/keys))})
		}
		if err := producer.SendMessages(batch); err != nil {
			t.Fatal(err)
		}
	}
}

// sharing is how many members of the group have partitions.
func sharing(t *testing.T, address string) (n int) {
	c := sarama.NewConfig()
	c.Version = sarama.V2_8_0_0
	admin, err := sarama.NewClusterAdmin([]string{address}, c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	groups, err := admin.DescribeConsumerGroups([]string{"transom.takes"})
	if err != nil || len(groups) == 0 {
		return 0
	}
	for _, m := range groups[0].Members {
		if a, err := m.GetMemberAssignment(); err == nil && a != nil && len(a.Topics) > 0 {
			n++
		}
	}
	return n
}
