package health

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	grpcgo "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// TestHungServer: Traffic 178: a server that does not answer any more is found beside a
// Watch that is open, and so is that it answers again; what it answers is left to the
// Watch to say.
func TestHungServer(t *testing.T) {
	var hangs atomic.Bool
	says := make(chan healthpb.HealthCheckResponse_ServingStatus, 1)
	says <- healthpb.HealthCheckResponse_SERVING
	server := &scripted{
		watch: func(s healthpb.Health_WatchServer) error {
			for {
				select {
				case now := <-says:
					if err := s.Send(&healthpb.HealthCheckResponse{Status: now}); err != nil {
						return err
					}
				case <-s.Context().Done():
					return s.Context().Err()
				}
			}
		},
		check: func(ctx context.Context) (healthpb.HealthCheckResponse_ServingStatus, error) {
			if hangs.Load() {
				<-ctx.Done()
				return 0, ctx.Err()
			}
			return 0, status.Error(codes.Unimplemented, "a server that has Watch alone")
		},
	}
	told := follow(t, Check{Interval: often, Timeout: 300 * time.Millisecond}, "", func(s *grpcgo.Server) { healthpb.RegisterHealthServer(s, server) })
	until := func(what string, is func(Report) bool) {
		t.Helper()
		for limit := time.After(30 * time.Second); ; {
			select {
			case r := <-told:
				if is(r) {
					return
				}
			case <-limit:
				t.Fatalf("not told that %s", what)
			}
		}
	}
	until("it is SERVING", func(r Report) bool { return r.Well && r.Final })
	until("it answers", func(r Report) bool { return r.Well && !r.Final })
	hangs.Store(true)
	until("it hangs", func(r Report) bool {
		return !r.Well && !r.Final && r.Why == "no answer to grpc.health.v1.Health/Check within 300ms"
	})
	hangs.Store(false)
	until("it answers again", func(r Report) bool { return r.Well && !r.Final })
	says <- healthpb.HealthCheckResponse_NOT_SERVING
	until("it is NOT_SERVING", func(r Report) bool { return !r.Well && r.Final })
	until("it answers, and is NOT_SERVING still", func(r Report) bool {
		return !r.Well && !r.Final && r.Why == "the server says that it is NOT_SERVING"
	})
}
