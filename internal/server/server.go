package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transom-gateway/transom/internal/admin"
	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/gateway"
	"github.com/transom-gateway/transom/internal/observe"
	"github.com/transom-gateway/transom/transcoder"
)

const (
	// maxHeaderBytes is what is read at all. Above transcoder.MaxHeader the gateway
	// answers 431 in the client's own form; net/http's answer is plain text.
	maxHeaderBytes    = 4 * transcoder.MaxHeader
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	// An HTTP/2 client that is silent for pingAfter is asked whether it is there;
	// one that does not answer within pingTimeout, be it gone or not reading, loses
	// its connection and with it the calls that wait to write to it.
	pingAfter   = 30 * time.Second
	pingTimeout = 15 * time.Second
	// settle is the time for a load balancer to see that we are not ready, and for
	// requests that were accepted but not read.
	settle = 300 * time.Millisecond
	// lastWords is the part of shutdown_timeout that is left to calls that did not end
	// in time, to be told so.
	lastWords = time.Second
)

// Options are what a Server needs; all of them.
type Options struct {
	// File is the configuration of the start. Its listeners and its admin stay.
	File *config.File
	// Gateway serves the requests.
	Gateway *gateway.Gateway
	// Telemetry is the gateway's.
	Telemetry *observe.Telemetry
	// NotReloaded is told of files of the listeners that cannot be used.
	NotReloaded *NotReloaded
	// Version is the program's.
	Version string
	// Where says where a setting stands, by its path in the configuration, for what is
	// wrong with it.
	Where func(path string) string
}

// Server is the listeners of one process.
type Server struct {
	listeners []*listener
	admin     net.Listener
	gateway   *gateway.Gateway
	file      *config.File // of the start
	not       *NotReloaded
	log       *slog.Logger
	draining  atomic.Bool

	http      []*http.Server
	adminHTTP *http.Server
	failed    chan error
	running   sync.WaitGroup
}

// Listen opens all listeners, or none.
func Listen(o Options) (*Server, error) {
	s := &Server{gateway: o.Gateway, file: o.File, not: o.NotReloaded, log: o.Telemetry.Log, failed: make(chan error, 1)}
	var errs []error
	for i, c := range o.File.Config.GetListeners() {
		path := fmt.Sprintf("listeners[%d]", i)
		l, err := openListener(c, o.File)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", o.Where(path), err))
			continue
		}
		l.check(headOptions(o.Gateway), o.Telemetry)
		l.report(func(what, why string) { s.not.Set(path+".tls"+what, why) })
		s.listeners = append(s.listeners, l)
		h := newHTTPServer(o.Gateway.Context(), o.Gateway, l.tls, o.Telemetry)
		limitConnections(h, c)
		s.http = append(s.http, h)
	}
	if address := o.File.Config.GetAdmin().GetAddress(); address != config.NoAdmin {
		l, err := net.Listen("tcp", address)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", o.Where("admin"), advised(err)))
		} else {
			s.admin = l
			s.adminHTTP = newAdmin(s, o)
		}
	}
	if len(errs) > 0 {
		s.closeListeners()
		return nil, errors.Join(errs...)
	}
	return s, nil
}

// Addresses are where the gateway listens, in the configuration's order.
func (s *Server) Addresses() []net.Addr {
	var all []net.Addr
	for _, l := range s.listeners {
		all = append(all, l.Addr())
	}
	return all
}

// Admin is where the admin listener is; nil for none.
func (s *Server) Admin() net.Addr {
	if s.admin == nil {
		return nil
	}
	return s.admin.Addr()
}

// Draining reports whether the server is being shut down.
func (s *Server) Draining() bool { return s.draining.Load() }

// InFlight is how many requests are being served, and how many of them are streams.
func (s *Server) InFlight() (all, streams int) { return s.gateway.InFlight() }

func newHTTPServer(ending context.Context, h http.Handler, tls *tls.Config, t *observe.Telemetry) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           h,
		TLSConfig:         tls,
		Protocols:         protocols,
		MaxHeaderBytes:    maxHeaderBytes,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		HTTP2:             &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
		ErrorLog:          httpLog(t.Log),
		BaseContext:       func(net.Listener) context.Context { return ending },
		// OPTIONS * is answered as every other request.
		DisableGeneralOptionsHandler: true,
	}
}

func newAdmin(s *Server, o Options) *http.Server {
	options := admin.Options{Version: o.Version, Gateway: administered{s}, Metrics: o.Telemetry.Metrics.Handler()}
	if host, _, err := net.SplitHostPort(o.File.Config.GetAdmin().GetAddress()); err == nil && net.ParseIP(host) == nil && host != "" {
		options.Hosts = []string{host}
	}
	handler := admin.New(options)
	return &http.Server{Handler: handler, ReadHeaderTimeout: readHeaderTimeout, ErrorLog: httpLog(o.Telemetry.Log)}
}

// Start serves on all listeners.
func (s *Server) Start() {
	for i, l := range s.listeners {
		s.run(func() error {
			return s.http[i].Serve(l)
		})
	}
	if s.admin != nil {
		s.run(func() error { return s.adminHTTP.Serve(s.admin) })
	}
}

func (s *Server) run(serve func() error) {
	s.running.Go(func() {
		if err := serve(); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			select {
			case s.failed <- err:
			default: // one is enough
			}
		}
	})
}

// Wait returns when ctx ends or a listener fails.
func (s *Server) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.failed:
		return err
	}
}

// Shutdown ends the server without losing a request that was accepted: not
// ready, no more keep-alive, no more connections, then the calls in flight.
func (s *Server) Shutdown(ctx context.Context) error {
	start := time.Now()
	s.draining.Store(true)
	all, streams := s.gateway.InFlight()
	s.log.Info("draining: the gateway is shutting down", "calls", all-streams, "streams", streams,
		"limit", s.file.Config.GetShutdownTimeout().AsDuration().String())
	for _, h := range s.http {
		h.SetKeepAlivesEnabled(false)
	}
	for _, l := range s.listeners {
		_ = l.Close() // it is only closed once more by Shutdown
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
	for _, h := range s.http {
		if err := h.Shutdown(ctx); err != nil && !errors.Is(err, net.ErrClosed) {
			// Connections whose calls have been answered may linger a second.
			if all, _ := s.gateway.InFlight(); all > 0 {
				errs = append(errs, fmt.Errorf("calls were still in flight: %w", err))
			}
			errs = append(errs, ignoreClosed(h.Close()))
		}
	}
	errs = append(errs, s.gateway.Wait(ctx))
	if s.adminHTTP != nil {
		errs = append(errs, ignoreClosed(s.adminHTTP.Close()))
	}
	s.running.Wait()
	all, streams = s.gateway.InFlight()
	s.log.Info("stopped", "took", time.Since(start).Round(time.Millisecond).String(), "calls", all-streams, "streams", streams)
	return errors.Join(errs...)
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (s *Server) closeListeners() {
	for _, l := range s.listeners {
		_ = l.Close() // nothing was served yet
	}
	if s.admin != nil {
		_ = s.admin.Close()
	}
}
