package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// TestWaitersLeave: Traffic 86: calls that wait for an answer end with their clients, while the first
// one goes on.
func TestWaitersLeave(t *testing.T) {
	eachAnswerStore(t, func(t *testing.T, config string) {
		l, address := startLedger(t)
		g := gatewaytest.Start(t, gatewaytest.Options{
			NoBookstore: true, Protos: map[string]string{"ledger.proto": ledgerProto}, Backend: address, Config: fmt.Sprintf(ledgerPolicies, "WAIT") + config,
		})
		pay := func(ctx context.Context) {
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, g.URL+"/v1/payments", strings.NewReader(`{"name":"hangs"}`))
			if err != nil {
				t.Error(err)
				return
			}
			request.Header = http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {"one"}}
			if answer, err := g.HTTP2.Do(request); err == nil {
				_ = answer.Body.Close() // nobody reads it
			}
		}
		var first, others sync.WaitGroup
		first.Go(func() { pay(t.Context()) })
		<-l.entered
		before := runtime.NumGoroutine()
		ctx, cancel := context.WithCancel(t.Context())
		const waiters = 80
		for range waiters {
			others.Go(func() { pay(ctx) })
		}
		poll.Until(t, "the waiting calls", func() bool { return runtime.NumGoroutine() >= before+2*waiters })
		cancel()
		others.Wait()
		poll.Until(t, "their end", func() bool { return runtime.NumGoroutine() < before+waiters/4 })
		l.leave <- struct{}{}
		first.Wait()
		if n := l.times("hangs"); n != 1 {
			t.Errorf("%d payments", n)
		}
	})
}
