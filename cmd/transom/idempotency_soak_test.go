package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/poll"
	redistest "github.com/transom-gateway/transom/internal/testing/redis"
)

var (
	soakKeys  = flag.Int("soak-keys", 400, "how many keys TestNoCallTwiceKilled uses")
	soakKills = flag.Int("soak-kills", 2, "how often it kills a gateway")
	soakSeed  = flag.Uint64("soak-seed", 82, "what its chances begin with; 0 for another each time")
)

const soakProto = `syntax = "proto3";
package soak.v1;
import "google/api/annotations.proto";
import "transom/v1/annotations.proto";
message Payment { string name = 1; }
message Receipt { string id = 1; }
service Till {
  rpc Pay(Payment) returns (Receipt) {
    option (google.api.http) = { post: "/v1/pay" body: "*" };
    option (transom.v1.method) = { timeout: { seconds: 60 } idempotency_key: { scope: METHOD required: true } };
  }
}
`

// soakTill is a service that is UNAVAILABLE at times, before it does anything, and notes what it
// has done.
type soakTill struct {
	mu       sync.Mutex
	chances  *rand.Rand
	receipts map[string][]string // by key: one for each time that a call was made
	active   int
	held     int
	hold     chan struct{} // calls stay until it is closed; nil: they end
}

func (s *soakTill) serve(_ any, stream grpc.ServerStream) error {
	if err := stream.RecvMsg(new(emptypb.Empty)); err != nil {
		return err
	}
	md, _ := metadata.FromIncomingContext(stream.Context())
	key := strings.Join(md.Get("idempotency-key"), ",")
	s.mu.Lock()
	if s.chances.IntN(10) == 0 {
		s.mu.Unlock()
		return status.Error(codes.Unavailable, "not now")
	}
	id := fmt.Sprint(key, " ", len(s.receipts[key]))
	s.receipts[key] = append(s.receipts[key], id)
	s.active++
	hold := s.hold
	if hold != nil {
		s.held++
	}
	s.mu.Unlock()
	if hold != nil {
		<-hold
	}
	s.mu.Lock()
	s.active--
	s.mu.Unlock()
	answer := new(emptypb.Empty)
	answer.ProtoReflect().SetUnknown(protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), id))
	return stream.SendMsg(answer)
}

// holdCalls has calls stay, once they are carried out, until the function returned is called.
func (s *soakTill) holdCalls() (leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hold := make(chan struct{})
	s.hold, s.held = hold, 0
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.hold = nil
		close(hold)
	}
}

// number is one of its numbers.
func (s *soakTill) number(of *int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *of
}

// soak is one run: clients that pay under keys, and what they have seen.
type soak struct {
	t        *testing.T
	till     *soakTill
	redis    *redistest.Server
	start    func() *process
	gateways [2]*process
	urls     [2]atomic.Pointer[string]
	clients  soakClients
	seed     uint64

	next, settled                           atomic.Int64
	cuts, tries, replays, kills, redisKills atomic.Int64
	mu                                      sync.Mutex
	answers                                 []string // by key: the receipt, or outcomeUnknown
}

// TestNoCallTwiceKilled: Traffic 85 to 97: clients by REST, Connect and gRPC that cut
// connections and cancel streams, half a request or an answer sent, a backend that is
// UNAVAILABLE before it does anything, gateways that are killed and started again, and a Redis
// that is: no key's call is made twice, and each key has one answer. `make keys-soak` does it for
// 100,000 keys.
func TestNoCallTwiceKilled(t *testing.T) {
	s := newSoak(t)
	begun := time.Now()
	const workers = 24
	var running sync.WaitGroup
	parked := make([][]int, workers)
	for w := range workers {
		running.Go(func() { parked[w] = s.work(s.chances(uint64(w))) })
	}
	s.killGateways()
	running.Wait()
	s.settleRest(parked)
	s.sweep()
	s.judge(time.Since(begun), workers)
}

func newSoak(t *testing.T) *soak {
	seed := *soakSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	s := &soak{
		t: t, till: &soakTill{receipts: map[string][]string{}}, redis: redistest.StartWithClock(t, 0), seed: seed,
		answers: make([]string, *soakKeys),
	}
	s.till.chances = s.chances(1 << 32)
	s.clients.init(t)
	dir := folder(t, map[string]string{"protos/soak.proto": soakProto, "transom.yaml": fmt.Sprintf(`
schemas: [{ directory: ./protos }]
upstreams: { till: { grpc: { target: %q } } }
stores: { redis: { url: %q, timeout: 10s } }
telemetry: { log: { access: false } }
`, grpctest.ServeAny(t, s.till.serve), s.redis.URL)})
	bin := buildTransom(t)
	s.start = func() *process { return startProcess(t, bin, "--config", dir+"/transom.yaml") }
	for i := range s.gateways {
		s.startGateway(i)
	}
	return s
}

// chances are those of one client.
func (s *soak) chances(of uint64) *rand.Rand { return rand.New(rand.NewPCG(s.seed, of)) }

func (s *soak) startGateway(i int) {
	s.gateways[i] = s.start()
	s.urls[i].Store(&s.gateways[i].url)
}

// url is that of one of the gateways.
func (s *soak) url(r *rand.Rand) string { return *s.urls[r.IntN(len(s.urls))].Load() }

// killGateways kills gateways at equal distances: each second time while calls are at the
// backend, else whenever it is. One time of eight Redis is killed, too.
func (s *soak) killGateways() {
	r := s.chances(1 << 33)
	for k := range *soakKills {
		at := int64(*soakKeys) * int64(k+1) / int64(*soakKills+1)
		poll.Until(s.t, fmt.Sprintf("the keys before kill %d", k+1), func() bool { return s.settled.Load() >= at || s.next.Load() >= int64(*soakKeys) })
		leave := func() {}
		if k%2 == 0 {
			leave = s.till.holdCalls()
			poll.Within(time.Second, func() bool { return s.till.number(&s.till.held) >= 4 }) // fewer where the keys end
		}
		i := r.IntN(len(s.gateways))
		doomed := s.gateways[i]
		doomed.once.Do(func() {
			_ = doomed.cmd.Process.Kill() // that is what is tried
			<-doomed.ended                //nolint:errcheck // "signal: killed"
		})
		s.kills.Add(1)
		leave()
		if k%8 == 7 {
			s.redis.Restart()
			s.redisKills.Add(1)
		}
		s.startGateway(i)
	}
}

// work pays under keys until there are no more. It returns those that have no answer yet.
func (s *soak) work(r *rand.Rand) (parked []int) {
	for {
		i := int(s.next.Add(1)) - 1
		if i >= len(s.answers) {
			return parked
		}
		for range max(0, r.IntN(4)-1) {
			s.cuts.Add(1)
			s.clients.cut(s.t, s.url(r), soakKey(i), r)
		}
		var twin sync.WaitGroup
		if r.IntN(10) == 0 {
			other := s.chances(1<<34 + uint64(i))
			twin.Go(func() { s.attend(other, i) })
		}
		if !s.attend(r, i) {
			parked = append(parked, i)
		}
		twin.Wait()
		if len(parked) > 0 && r.IntN(8) == 0 && s.attend(r, parked[0]) {
			parked = parked[1:]
		}
	}
}

func soakKey(i int) string { return fmt.Sprint("key-", i) }

// attend pays under a key, a few times where that is needed, and reports whether there was an answer.
func (s *soak) attend(r *rand.Rand, i int) bool {
	for range 20 {
		s.tries.Add(1)
		a := s.clients.pay(s.t, s.url(r), soakKey(i), r)
		switch {
		case a.wrong != "":
			s.t.Errorf("%s: %s", soakKey(i), a.wrong)
			return true
		case a.receipt == "":
			continue
		case a.replayed:
			s.replays.Add(1)
		}
		s.settle(i, a.receipt)
		return true
	}
	return false
}

// settle notes the answer to a key, which is the same each time.
func (s *soak) settle(i int, answer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.answers[i] {
	case "":
		s.answers[i] = answer
		s.settled.Add(1)
	case answer:
	default:
		s.t.Errorf("%s: first %q, then %q", soakKey(i), s.answers[i], answer)
	}
}

// settleRest waits for the answers to keys whose gateway was killed: once its lease is over,
// they have one. Where Redis was away, others may be written late, so that the clock is left alone.
func (s *soak) settleRest(parked [][]int) {
	poll.Until(s.t, "the backend's calls", func() bool { return s.till.number(&s.till.active) == 0 })
	if s.redisKills.Load() == 0 {
		s.redis.Advance(16 * time.Second)
	}
	r := s.chances(1 << 35)
	for _, list := range parked {
		for _, i := range list {
			poll.Until(s.t, "an answer to "+soakKey(i), func() bool { return s.attend(r, i) })
		}
	}
}

// sweep asks for the answers to up to 10,000 keys once more.
func (s *soak) sweep() {
	r := s.chances(1 << 36)
	for i := 0; i < len(s.answers); i += max(1, len(s.answers)/10_000) {
		if !s.attend(r, i) {
			s.t.Errorf("%s has no answer at the end", soakKey(i))
		}
	}
}

// judge compares what clients have seen with what was done.
func (s *soak) judge(took time.Duration, workers int) {
	unknown, executed, twice := 0, 0, 0
	for i, answer := range s.answers {
		receipts := s.till.receipts[soakKey(i)]
		executed += len(receipts)
		switch {
		case len(receipts) > 1:
			twice++
			s.t.Errorf("%s: %d calls", soakKey(i), len(receipts))
		case answer == outcomeUnknown:
			unknown++
		case len(receipts) == 0 || answer != receipts[0]:
			s.t.Errorf("%s: answered %q, the receipts are %q", soakKey(i), answer, receipts)
		}
	}
	if most := int(s.kills.Load()) * workers * 3; unknown > most {
		s.t.Errorf("%d outcomes are unknown; what was under way at the kills is %d at most", unknown, most)
	}
	s.t.Logf("seed %d: %d keys, %d cuts, %d gateways and %d times Redis killed, %d tries, %d calls made, %d outcomes unknown, %d replays, %d keys twice, in %v",
		s.seed, len(s.answers), s.cuts.Load(), s.kills.Load(), s.redisKills.Load(), s.tries.Load(), executed, unknown, s.replays.Load(), twice, took.Round(time.Millisecond))
}
