// Package resilient is an example: three stations that tell the tides, each of which may
// be made ill, behind a gateway whose clients do not notice.
package resilient

import (
	"context"
	"fmt"
	"math"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	tidesv1 "github.com/transom-gateway/transom/examples/resilient/protos/tides/v1"
)

// State is how a station is.
type State string

const (
	// Well answers at once.
	Well State = "well"
	// Slow answers after two seconds.
	Slow State = "slow"
	// Hanging takes calls and answers none.
	Hanging State = "hanging"
	// Sick answers every call with UNAVAILABLE.
	Sick State = "sick"
	// Dead is a process that was killed: its connections are cut, and it takes none.
	Dead State = "dead"
)

// States are all there are.
var States = []State{Well, Slow, Hanging, Sick, Dead}

// slowness is how long a slow station takes.
const slowness = 2 * time.Second

// Station is a gRPC server that counts the calls it gets.
type Station struct {
	tidesv1.UnimplementedTideServiceServer

	Name    string
	address string
	calls   atomic.Int64

	mu     sync.Mutex
	state  State
	server *grpc.Server  // nil: dead
	ended  chan struct{} // closed when server has ended
}

// NewStation starts a station at a port of the host that is free.
func NewStation(name, host string) (*Station, error) {
	s := &Station{Name: name, address: net.JoinHostPort(host, "0"), state: Dead}
	return s, s.Become(Well)
}

// Address is where the station listens, or did.
func (s *Station) Address() string { return s.address }

// Calls is how many calls the station has had.
func (s *Station) Calls() int64 { return s.calls.Load() }

// State is how the station is.
func (s *Station) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Become changes how the station is.
func (s *Station) Become(state State) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state == Dead {
		s.kill()
	} else if s.server == nil {
		if err := s.live(); err != nil {
			return err
		}
	}
	s.state = state
	return nil
}

// live starts the server. s.mu is held.
func (s *Station) live() error {
	listener, err := net.Listen("tcp", s.address)
	if err != nil {
		return fmt.Errorf("station %s cannot listen: %w", s.Name, err)
	}
	s.address = listener.Addr().String()
	server, ended := grpc.NewServer(), make(chan struct{})
	tidesv1.RegisterTideServiceServer(server, s)
	s.server, s.ended = server, ended
	go func() {
		defer close(ended)
		_ = server.Serve(listener) // it says that it was stopped
	}()
	return nil
}

// kill ends the server and cuts its connections. s.mu is held.
func (s *Station) kill() {
	if s.server == nil {
		return
	}
	s.server.Stop()
	<-s.ended
	s.server = nil
}

// ail makes a call that arrives feel how the station is.
func (s *Station) ail(ctx context.Context) error {
	s.calls.Add(1)
	switch s.State() {
	case Slow:
		return wait(ctx, slowness)
	case Hanging:
		return wait(ctx, math.MaxInt64)
	case Sick:
		return status.Errorf(codes.Unavailable, "station %s is sick", s.Name)
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

// GetTide implements tidesv1.TideServiceServer.
func (s *Station) GetTide(ctx context.Context, r *tidesv1.GetTideRequest) (*tidesv1.Tide, error) {
	if err := s.ail(ctx); err != nil {
		return nil, err
	}
	return &tidesv1.Tide{Name: r.GetName(), LevelCm: level(r.GetName(), time.Now()), Station: s.Name}, nil
}

// SetBuoy implements tidesv1.TideServiceServer.
func (s *Station) SetBuoy(ctx context.Context, r *tidesv1.SetBuoyRequest) (*tidesv1.Buoy, error) {
	if err := s.ail(ctx); err != nil {
		return nil, err
	}
	buoy := r.GetBuoy()
	return &tidesv1.Buoy{Name: buoy.GetName(), Latitude: buoy.GetLatitude(), Longitude: buoy.GetLongitude(), Station: s.Name}, nil
}

// level is that of a tide that rises and falls twice in 24 hours and 50 minutes, two
// metres up and down, at a phase of each harbour's own.
func level(harbour string, at time.Time) int32 {
	const period = 12*time.Hour + 25*time.Minute
	phase := float64(len(strings.TrimSuffix(harbour, "/tide"))) / 7
	return int32(300 + 200*math.Sin(2*math.Pi*float64(at.UnixNano()%int64(period))/float64(period)+phase))
}
