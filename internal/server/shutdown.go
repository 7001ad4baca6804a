package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Shutdown ends the server without losing a request that was accepted: not ready, no more
// connections, answers that end theirs, then the calls in flight (Traffic 202).
func (s *Server) Shutdown(ctx context.Context) error {
	start := time.Now()
	s.draining.Store(true) // answers end their connections from here on
	all, streams := s.gateway.InFlight()
	s.log.Info("draining: the gateway is shutting down", "calls", all-streams, "streams", streams,
		"limit", s.file.Config.GetShutdownTimeout().AsDuration().String())
	subscriptions := make(chan struct{})
	go func() {
		defer close(subscriptions)
		s.gateway.StopSubscriptions(ctx)
	}()
	s.leaveListeners()
	select {
	case <-time.After(settle):
	case <-ctx.Done():
	}
	s.gateway.Drain()
	if due, ok := ctx.Deadline(); ok {
		left := time.Until(due)
		stop := time.AfterFunc(left-min(lastWords, left/5), s.gateway.EndCalls)
		defer stop.Stop()
	}
	errs := s.endFronts(ctx)
	errs = append(errs, s.gateway.Wait(ctx))
	<-subscriptions
	s.gateway.StopEvents(ctx)
	if s.admin != nil {
		errs = append(errs, s.admin.front.Close())
	}
	s.end()
	s.running.Wait()
	all, streams = s.gateway.InFlight()
	s.log.Info("stopped", "took", time.Since(start).Round(time.Millisecond).String(), "calls", all-streams, "streams", streams)
	return errors.Join(errs...)
}

// endFronts ends all fronts of clients at the same time, so that each tells its clients at
// once.
func (s *Server) endFronts(ctx context.Context) (errs []error) {
	var packets, streams sync.WaitGroup
	var mu sync.Mutex
	end := func(running *sync.WaitGroup, front Front) {
		running.Go(func() {
			err := s.endFront(ctx, front)
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	for _, l := range s.listeners {
		if l.udp != nil {
			end(&packets, l.udp.front)
		}
	}
	streams.Go(func() {
		s.awaitClients(ctx)
		for _, l := range s.listeners {
			l.front.StopKeepAlives()
			end(&streams, l.front)
		}
		if s.calls != nil {
			s.callsFront.StopKeepAlives()
			end(&streams, s.callsFront)
		}
	})
	packets.Wait()
	s.release()
	streams.Wait()
	return errs
}

// endFront waits for the calls of a front, as long as ctx lets it.
func (s *Server) endFront(ctx context.Context, front Front) (err error) {
	if err = front.Shutdown(ctx); err == nil {
		return nil
	}
	err = fmt.Errorf("calls were still in flight: %w", err)
	// Connections whose calls have been answered may linger a second.
	if all, _ := s.gateway.InFlight(); all == 0 {
		err = nil
	}
	return errors.Join(err, front.Close())
}

// leaveListeners accepts no more connections: a successor does, where there is one.
func (s *Server) leaveListeners() {
	var leaving sync.WaitGroup
	for _, l := range s.clients() {
		if packets, ok := l.Listener.(*quicListener); ok {
			leaving.Go(packets.leave)
			continue
		}
		_ = l.Close() // it is only closed once more by the front
	}
	leaving.Wait()
	if s.handed.Load() && s.admin != nil {
		_ = s.admin.Close()
		s.admin.front.StopKeepAlives()
	}
}

// Close ends the server at once: connections are closed, whatever they carry. The
// requests in flight may outlast it; the gateway's Wait tells when they have ended.
func (s *Server) Close() error {
	s.draining.Store(true)
	s.closeListeners()
	var errs []error
	for _, l := range s.all() {
		errs = append(errs, l.front.Close())
	}
	s.end()
	s.running.Wait()
	return errors.Join(errs...)
}

func (s *Server) closeListeners() {
	for _, l := range s.all() {
		_ = l.Close() // nobody is told of a connection less
	}
}
