package server

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Shutdown ends the server without losing a request that was accepted: not
// ready, no more keep-alive, no more connections, then the calls in flight.
func (s *Server) Shutdown(ctx context.Context) error {
	start := time.Now()
	s.draining.Store(true)
	all, streams := s.gateway.InFlight()
	s.log.Info("draining: the gateway is shutting down", "calls", all-streams, "streams", streams,
		"limit", s.file.Config.GetShutdownTimeout().AsDuration().String())
	subscriptions := make(chan struct{})
	go func() {
		defer close(subscriptions)
		s.gateway.StopSubscriptions(ctx)
	}()
	clients := s.clients()
	for _, l := range clients {
		l.front.StopKeepAlives()
	}
	for _, l := range clients {
		_ = l.Close() // it is only closed once more by the front
	}
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
	var errs []error
	for _, l := range clients {
		if err := l.front.Shutdown(ctx); err != nil {
			// Connections whose calls have been answered may linger a second.
			if all, _ := s.gateway.InFlight(); all > 0 {
				errs = append(errs, fmt.Errorf("calls were still in flight: %w", err))
			}
			errs = append(errs, l.front.Close())
		}
	}
	errs = append(errs, s.gateway.Wait(ctx))
	<-subscriptions
	s.gateway.StopEvents(ctx)
	if s.admin != nil {
		errs = append(errs, s.admin.front.Close())
	}
	s.running.Wait()
	all, streams = s.gateway.InFlight()
	s.log.Info("stopped", "took", time.Since(start).Round(time.Millisecond).String(), "calls", all-streams, "streams", streams)
	return errors.Join(errs...)
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
	s.running.Wait()
	return errors.Join(errs...)
}

func (s *Server) closeListeners() {
	for _, l := range s.all() {
		_ = l.Close() // nobody is told of a connection less
	}
}
