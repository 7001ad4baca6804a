package unwell_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/transom-gateway/transom/bench/unwell"
)

// direct is grpc-go's own client in a gateway's place. It takes the servers in
// turn, and retries what the setup says, side effects or not where reckless.
func direct(t *testing.T, reckless bool) func(context.Context, unwell.Setup) (*unwell.Stand, error) {
	t.Helper()
	return func(_ context.Context, setup unwell.Setup) (*unwell.Stand, error) {
		method := `,"method":"GetItem"`
		if reckless {
			method = ""
		}
		config := `{"loadBalancingConfig":[{"round_robin":{}}]}`
		if setup.Attempts > 0 {
			config = fmt.Sprintf(`{"loadBalancingConfig":[{"round_robin":{}}],"methodConfig":[{"name":[{"service":"bench.v1.ItemService"%s}],
				"retryPolicy":{"maxAttempts":%d,"initialBackoff":"0.001s","maxBackoff":"0.01s","backoffMultiplier":2,"retryableStatusCodes":["UNAVAILABLE"]}}]}`,
				method, setup.Attempts)
		}
		builder := manual.NewBuilderWithScheme("servers")
		var state resolver.State
		for _, address := range setup.Servers {
			state.Addresses = append(state.Addresses, resolver.Address{Addr: address})
		}
		builder.InitialState(state)
		conn, err := grpc.NewClient("servers:///all", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1, MaxDelay: 10 * time.Millisecond}}),
			grpc.WithResolvers(builder), grpc.WithDefaultServiceConfig(config))
		if err != nil {
			return nil, err
		}
		return &unwell.Stand{Conns: []grpc.ClientConnInterface{conn}, Stop: func() {
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		}}, nil
	}
}

// freeAddress returns one that nobody listens at, of a host that only this
// process uses: a server that was down is to have its port again.
func freeAddress() (string, error) {
	pid := os.Getpid()
	listener, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 1+pid>>16%254, pid>>8&255, pid&255))
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// little does everything once.
var little = unwell.Sizes{
	Idempotent: 300, Creates: 300, Outage: 100 * time.Millisecond, Steady: 50 * time.Millisecond,
	Restarts: 2, Rate: 200, Hole: 20 * time.Millisecond, Recovery: 2 * time.Second, Streams: 5,
	Try: 30 * time.Millisecond,
}

// Every case runs and says what it counted.
func TestCases(t *testing.T) {
	want := map[string]int{"outage": 1, "refusing": 3, "kills": 1, "slow": 2, "hedge": 2, "restart": 3, "hole": 3, "streams": 2}
	for _, c := range unwell.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			figures, err := c.Run(t.Context(), &unwell.Bed{Start: direct(t, false), Address: freeAddress, Sizes: little})
			if err != nil {
				t.Fatal(err)
			}
			if len(figures) != want[c.Name] {
				t.Errorf("got %d figures, want %d: %+v", len(figures), want[c.Name], figures)
			}
			switch c.Name {
			case "outage": // grpc-go has no budget: each call arrives three times
				if figures[0].Value < 1.5 || !strings.Contains(figures[0].Note, "10 calls, 30 arrivals") {
					t.Errorf("the outage is %+v", figures[0])
				}
			case "streams":
				if figures[0].Value != 0 || figures[1].Value != 1 {
					t.Errorf("the streams are %+v", figures)
				}
			}
		})
	}
}

// What a client does that retries everything is seen.
func TestRetries(t *testing.T) {
	for _, reckless := range []bool{false, true} {
		outcomes, err := unwell.Retries(t.Context(), &unwell.Bed{Start: direct(t, reckless), Address: freeAddress, Sizes: little})
		if err != nil {
			t.Fatal(err)
		}
		if len(outcomes) != 24 {
			t.Fatalf("got %d outcomes: %+v", len(outcomes), outcomes)
		}
		for _, o := range outcomes {
			if o.Fault != "UNAVAILABLE once" {
				continue
			}
			want := unwell.Outcome{Fault: o.Fault, Create: o.Create, Calls: 3, Arrivals: 6, Twice: 3, Seen: "OK"}
			if o.Create && !reckless {
				want.Arrivals, want.Twice, want.Seen = 3, 0, "3 Unavailable"
			}
			if o != want {
				t.Errorf("reckless %v: got %+v, want %+v", reckless, o, want)
			}
		}
	}
}
