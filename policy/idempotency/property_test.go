package idempotency

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/transport"
)

// till is a backend that takes money, and ends in every way that a backend can.
type till struct {
	proxy.Backend
	t    *testing.T
	seed uint64

	mu    sync.Mutex
	calls uint64
	taken map[string]int // by key
}

// Call implements proxy.Backend. Where it says that it did nothing, it has done nothing.
func (b *till) Call(ctx context.Context, _ string, md proxy.Metadata, request proxy.Frame) (proxy.Reply, error) {
	request.Free()
	b.mu.Lock()
	b.calls++
	random := rand.New(rand.NewPCG(b.seed, b.calls))
	b.mu.Unlock()
	sent := proxy.Reply{Tries: proxy.Tries{Attempts: 1}}
	time.Sleep(time.Duration(random.IntN(2000)) * time.Millisecond)
	switch random.IntN(8) {
	case 0:
		return sent, transport.Told(status.New(codes.Unavailable, "not now"))
	case 1:
		return sent, transport.Told(status.New(codes.Aborted, "once more"))
	case 2:
		return proxy.Reply{Tries: proxy.Tries{Attempts: 1, Unsent: true}}, status.Error(codes.Unavailable, "there is no connection")
	}
	answer := b.take(md.Get(metadata))
	switch random.IntN(6) {
	case 0:
		return sent, transport.Told(status.New(codes.Internal, answer))
	case 1:
		return sent, transport.Told(status.New(codes.Canceled, "the backend went away"))
	case 2:
		return sent, status.Error(codes.Unavailable, "the connection broke")
	case 3:
		<-ctx.Done()
		return sent, status.FromContextError(ctx.Err()).Err()
	}
	time.Sleep(time.Duration(random.IntN(2000)) * time.Millisecond)
	sent.Message = proxy.WrapFrame([]byte(answer))
	return sent, nil
}

// take takes the money of a key.
func (b *till) take(key string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taken[key]++
	if b.taken[key] > 1 {
		b.t.Errorf("seed %d: the call of %s was made %d times", b.seed, key, b.taken[key])
	}
	return fmt.Sprint("paid for ", key, " by call ", b.calls)
}

func (b *till) has(key string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.taken[key] > 0
}

// noCallTwice has clients with few keys try again and again, some of them without patience,
// while the policy is loaded anew.
func noCallTwice(t *testing.T, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		backend := &till{t: t, seed: seed, taken: map[string]int{}}
		bench := policytest.NewBench(t, policy.StateOptions{Now: time.Now}, Kind())
		var loaded [2]*policy.Set
		for i, inFlight := range []string{"WAIT", "REFUSE"} {
			loaded[i] = bench.Set(`timeout { seconds: 3 } idempotency_key { scope: METHOD in_flight: ` + inFlight + ` }`)
		}
		var mu sync.Mutex
		answers := map[string]string{} // by key
		var all sync.WaitGroup
		for worker := range uint64(6) {
			all.Go(func() {
				random := rand.New(rand.NewPCG(seed, 1000+worker))
				for range 40 {
					set, key := loaded[random.IntN(len(loaded))], fmt.Sprint("key-", random.IntN(12))
					body := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), key)
					if random.IntN(10) == 0 {
						body = append(body, body...) // another request
					}
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+random.IntN(5000))*time.Millisecond)
					text, err := try(ctx, set, backend, key, body)
					cancel()
					if err == nil {
						mu.Lock()
						if first, ok := answers[key]; ok && text != first || !backend.has(key) {
							t.Errorf("seed %d: %s was answered %q, before %q", seed, key, text, first)
						}
						answers[key] = text
						mu.Unlock()
					}
					time.Sleep(time.Duration(random.IntN(1000)) * time.Millisecond)
				}
			})
		}
		all.Wait()
		if len(answers) == 0 {
			t.Errorf("seed %d: no key was answered", seed)
		}
	})
}

// try makes one try of a call.
func try(ctx context.Context, set *policy.Set, backend proxy.Backend, key string, body []byte) (string, error) {
	r := policytest.Request("192.0.2.1", header+": "+key)
	ctx, err := set.Admit(ctx, r)
	defer set.Done(r, &policy.Outcome{})
	if err != nil {
		return "", err
	}
	reply, err := set.Wrap(backend).Call(policy.NewContext(ctx, r), "/grpc.testing.TestService/UnaryCall", r.Metadata, proxy.WrapFrame(body))
	defer reply.Message.Free()
	return string(reply.Message.Bytes()), err
}

// TestNoCallTwice: Traffic 85 to 90: no key's call is made twice, and each key has one answer.
func TestNoCallTwice(t *testing.T) {
	for seed := range uint64(10) {
		noCallTwice(t, seed)
	}
}

// FuzzNoCallTwice is TestNoCallTwice with any seed.
func FuzzNoCallTwice(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { noCallTwice(t, seed) })
}
