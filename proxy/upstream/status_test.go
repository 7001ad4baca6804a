package upstream_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/connectivity"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/resolver"

	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/proxy/attempt"
	"github.com/transom-gateway/transom/proxy/upstream"
	"github.com/transom-gateway/transom/proxy/upstream/health"
)

// TestEndpoints: Traffic 181: each endpoint with its state, the reason, since when, its
// last check and what is under way.
func TestEndpoints(t *testing.T) {
	began := time.Now()
	a, _ := startChecked(t)
	ill, say := startChecked(t)
	say.SetServingStatus("", notServing)
	standby := startOn(t, loopback.Listen(t))
	r, target := names(t)
	share := func(address string, s upstream.Share) resolver.Endpoint {
		return upstream.WithShare(resolver.Endpoint{Addresses: []resolver.Address{{Addr: address}}}, s)
	}
	given := []resolver.Endpoint{
		share(a.address, upstream.Share{Weight: 1, Zone: "eu-1a"}), share(ill.address, upstream.Share{Weight: 1}),
		share("127.0.0.1:1", upstream.Share{Weight: 1}), share(standby.address, upstream.Share{Weight: 3, Priority: 1}),
	}
	r.InitialState(resolver.State{Endpoints: given})
	conn := get(t, upstream.Target{Address: target, Health: check(health.Check{})})
	settled(t, conn, a)
	stream, err := testpb.NewTestServiceClient(attempt.NewClient(conn)).StreamingOutputCall(t.Context(), &testpb.StreamingOutputCallRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	find := func(address string) upstream.EndpointStatus {
		for _, e := range conn.Endpoints() {
			if e.Addresses[0] == address {
				return e
			}
		}
		return upstream.EndpointStatus{}
	}
	for _, want := range []struct{ address, state, why string }{
		{a.address, "READY", ""},
		{ill.address, "UNHEALTHY", "the server says that it is NOT_SERVING"},
		{"127.0.0.1:1", "TRANSIENT_FAILURE", "refused"},
		{standby.address, "STANDBY", "smaller priority number"},
	} {
		poll.Until(t, want.state, func() bool { return find(want.address).State == want.state })
		e := find(want.address)
		if !strings.Contains(e.Why, want.why) || (e.Why == "") != (want.why == "") || e.Used != (want.state == "READY") || e.Since.Before(began) || e.Since.After(time.Now()) {
			t.Errorf("%+v", e)
		}
	}
	if e := find(a.address); e.Zone != "eu-1a" || e.InFlight != 1 || e.Connections != 1 || e.Checked == 0 || e.Failed != 0 || !e.Checks[""].Well || e.Checks[""].At.Before(began) {
		t.Errorf("%+v", e)
	}
	if e := find(a.address); e.Calls == 0 || e.Faults != 0 || e.Latency <= 0 {
		t.Errorf("%+v", e)
	}
	if e := find(ill.address); e.Checks[""].Well || e.Failed == 0 || e.InFlight != 0 {
		t.Errorf("%+v", e)
	}
	if e := find(standby.address); e.Weight != 3 || e.Priority != 1 {
		t.Errorf("%+v", e)
	}
	since := find(a.address).Since
	r.UpdateState(resolver.State{Endpoints: given[1:]})
	poll.Until(t, "the endpoint to drain", func() bool { return find(a.address).State == "DRAINING" })
	if e := find(a.address); e.InFlight != 1 || !e.Since.After(since) || e.Why != "its address is not given any more" {
		t.Errorf("%+v", e)
	}
	close(a.hold)
	for err == nil {
		_, err = stream.Recv()
	}
	poll.Until(t, "it to be gone", func() bool { return find(a.address).State == "" })
	// The priority that is left has calls now.
	poll.Until(t, "the other priority", func() bool { return find(standby.address).State == "READY" })
	if conn.State() != connectivity.Ready {
		t.Error(conn.State())
	}
}
