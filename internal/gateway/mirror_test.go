package gateway_test

import (
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// startMirrored starts a gateway whose calls of Read are copied to an address.
func startMirrored(t *testing.T, backend, copies string) *gatewaytest.Gateway {
	t.Helper()
	return gatewaytest.Start(t, gatewaytest.Options{
		NoBookstore: true, Protos: map[string]string{"parted.proto": splitProto}, Backend: backend,
		Upstreams: fmt.Sprintf("shadow: { grpc: { target: %q } }", copies),
		Config:    `policies: [{ selector: "*", policy: { mirror: { upstream: shadow } } }]`,
	})
}

// mirrored is how often the metrics say that something became of copies.
func mirrored(g *gatewaytest.Gateway, result string, n int) bool {
	return strings.Contains(metricsOf(g), fmt.Sprintf("transom_policy_decisions_total{policy=\"mirror\",result=%q,rpc=\"parted.v1.Service/Read\"} %d\n", result, n))
}

// TestMirror: Traffic 208, 210: a unary call is copied, with a header that says so, and a stream
// is not.
func TestMirror(t *testing.T) {
	_, address := startSick(t)
	var marked, all atomic.Int64
	shadow := grpctest.ServeAny(t, func(_ any, stream grpc.ServerStream) error {
		md, _ := metadata.FromIncomingContext(stream.Context())
		all.Add(1)
		if strings.Join(md["x-transom-mirror"], ",") == "1" {
			marked.Add(1)
		}
		if err := stream.RecvMsg(new(emptypb.Empty)); err != nil {
			return err
		}
		return stream.SendMsg(new(emptypb.Empty))
	})
	g := startMirrored(t, address, shadow)
	for range 3 {
		if a := g.Do(t, "GET", "/v1/read", "", "X-Transom-Mirror", "forged"); a.Status != 200 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
	}
	if a := g.Do(t, "GET", "/v1/watch", ""); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	poll.Until(t, "the copies are answered", func() bool { return mirrored(g, "answered", 3) })
	if marked.Load() != 3 || all.Load() != 3 {
		t.Errorf("%d copies, %d of them marked", all.Load(), marked.Load())
	}
	for _, r := range g.Routes() {
		if strings.Contains(strings.Join(r.Policies, ","), "mirror") != (r.Path == "/v1/read") {
			t.Errorf("%s: %q", r.Path, r.Policies)
		}
	}
}

// TestMirrorInTrouble: Traffic 208: a mirror that hangs, refuses, or breaks off delays no call
// and has none fail, and at most 100 copies are under way.
func TestMirrorInTrouble(t *testing.T) {
	_, address := startSick(t)
	end := make(chan struct{})
	hangs := grpctest.ServeAny(t, func(_ any, stream grpc.ServerStream) error {
		select {
		case <-end:
		case <-stream.Context().Done():
		}
		return nil
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	for name, test := range map[string]struct {
		address, result string
		calls, counted  int
	}{
		"hangs":      {hangs, "too_many", 120, 20},
		"refuses":    {loopback.Address(t), "failed", 5, 5},
		"breaks off": {l.Addr().String(), "failed", 5, 5},
	} {
		t.Run(name, func(t *testing.T) {
			g := startMirrored(t, address, test.address)
			for range test.calls {
				if a := g.Do(t, "GET", "/v1/read", ""); a.Status != 200 {
					t.Fatalf("%d %s", a.Status, a.Body)
				}
			}
			poll.Until(t, "the copies are counted", func() bool { return mirrored(g, test.result, test.counted) })
		})
	}
	close(end)
}
