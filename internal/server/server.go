// Package server listens for a gateway: addresses, TLS and its handshakes, what one
// connection may ask for, the check of HTTP/1 heads, the fronts that speak HTTP, the
// admin listener, and an end that loses no request. It knows neither flags nor
// signals, so that tests drive what production runs.
//
//	s, err := server.Listen(server.Options{File: file, Gateway: g, …})
//	s.Start()
//	err = s.Wait(ctx)          // until it ends, or a listener fails
//	err = s.Shutdown(limited)
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transom-gateway/transom/internal/admin"
	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/console"
	"github.com/transom-gateway/transom/internal/gateway"
	"github.com/transom-gateway/transom/internal/observe"
	"github.com/transom-gateway/transom/internal/overload"
	"github.com/transom-gateway/transom/internal/server/security"
	"github.com/transom-gateway/transom/internal/server/sockets"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

const (
	// settle is the time for a load balancer to see that we are not ready, and for
	// requests that were accepted but not read.
	settle = 300 * time.Millisecond
	// lastWords is the part of shutdown_timeout that is left to calls that did not end
	// in time, to be told so.
	lastWords = time.Second
)

// Options are what a Server needs.
type Options struct {
	// File is the configuration of the start. Its listeners and its admin stay.
	File *config.File
	// Gateway serves the requests.
	Gateway *gateway.Gateway
	// Telemetry is the gateway's.
	Telemetry *observe.Telemetry
	// Overload has connections wait as memory is short. Nil: none do.
	Overload *overload.Guard
	// NotReloaded is told of files of the listeners that cannot be used.
	NotReloaded *NotReloaded
	// Version is the program's.
	Version string
	// Sockets are those that came with the process; nil for none.
	Sockets *sockets.Set
	// Released is closed when the process before this one has let go of the UDP sockets that it
	// has handed over; nil where there was none.
	Released <-chan struct{}
	// Upgrade gives the place of this process to another one, and returns its id and what ends
	// this one; nil where nobody can.
	Upgrade func(context.Context) (pid int, done func(), err error)
	// Where says where a setting stands, by its path in the configuration, for what is
	// wrong with it; nil for the place in the file.
	Where func(path string) string
}

// Server is the listeners of one process.
type Server struct {
	gateway   *gateway.Gateway
	sockets   *sockets.Set
	file      *config.File // of the start
	not       *NotReloaded
	telemetry *observe.Telemetry
	log       *slog.Logger
	fleet     *security.Fleet
	listeners []*listener
	secured   *security.Security // of the admin listener; nil for cleartext
	admin     *served            // nil for none
	audit     *admin.Audit
	// calls are those of the console; nil for none.
	calls      *consoleCalls
	callsFront netHTTP
	draining   atomic.Bool
	handed     atomic.Bool // to another process
	released   atomic.Pointer[func()]
	upgrade    func(context.Context) (pid int, done func(), err error)
	failed     chan error
	running    sync.WaitGroup

	started time.Time
	history *observe.History
	ended   chan struct{} // is closed when nobody looks at the history any more
	end     func()
}

// served is a listener with its front.
type served struct {
	net.Listener
	front Front
}

// Listen opens all listeners, or none.
func Listen(o Options) (*Server, error) {
	if o.Where == nil {
		o.Where = o.File.Where
	}
	if o.Sockets == nil {
		o.Sockets = new(sockets.Set)
	}
	s := &Server{gateway: o.Gateway, sockets: o.Sockets, upgrade: o.Upgrade, file: o.File, not: o.NotReloaded, telemetry: o.Telemetry, log: o.Telemetry.Log, failed: make(chan error, 1)}
	s.started, s.history, s.ended = time.Now(), observe.NewHistory(o.Telemetry.Metrics), make(chan struct{})
	s.end = sync.OnceFunc(func() { close(s.ended) })
	var errs []error
	var err error
	if s.fleet, err = security.NewFleet(o.File.Config.GetFleetSecret(), o.File.Resolve); err != nil {
		return nil, fmt.Errorf("%s: %w", o.Where("fleet_secret"), err)
	}
	s.fleet.Report(func(why string) { s.not.Set("fleet_secret", why) })
	for i := range o.File.Config.GetListeners() {
		path := fmt.Sprintf("listeners[%d]", i)
		l, err := o.listen(s, i)
		if err != nil {
			errs = append(errs, placed(o.Where, path, err))
			continue
		}
		if l.secured != nil {
			l.secured.Report(func(what, why string) { s.not.Set(path+".tls"+what, why) })
		}
		s.listeners = append(s.listeners, l)
	}
	if address := o.File.Config.GetAdmin().GetAddress(); address != config.NoAdmin {
		if err := o.openAdmin(s); err != nil {
			errs = append(errs, placed(o.Where, "admin", err))
		}
	}
	if len(errs) > 0 {
		s.closeListeners()
		return nil, errors.Join(errs...)
	}
	for _, name := range o.Sockets.Discard() {
		s.log.Warn("a socket came with the process that no listener takes; it is closed", "name", name)
	}
	s.telemetry.Metrics.SetListeners(s.connections)
	s.telemetry.Metrics.SetCertificates(s.certificates)
	return s, nil
}

// connections are those of the clients, for metrics.
func (s *Server) connections(yield func(observe.Listener) bool) {
	for i, l := range s.listeners {
		address := s.file.Config.GetListeners()[i].GetAddress()
		if strings.HasSuffix(address, ":0") {
			address = l.Addr().String() // there may be several
		}
		if !yield(observe.Listener{Address: address, Open: l.connections.open.Load(), Refused: l.connections.refused.Load(), Reset: l.resets.ended.Load()}) {
			return
		}
	}
}

// listen opens one of the configuration's listeners.
func (o *Options) listen(s *Server, i int) (*listener, error) {
	c := o.File.Config.GetListeners()[i]
	l, err := openListener(o.Sockets, c, o.File, s.fleet, o.Telemetry.Log)
	if err != nil {
		return nil, err
	}
	l.connections.overload = o.Overload
	log := httpLog(o.Telemetry.Log)
	handler := clientsHandler(c, o.Gateway)
	front := newFrontOptions(c)
	front.resets = newResets(c, o.Telemetry.Log)
	front.ending, front.log = o.Gateway.Context(), log
	if c.GetHttp3() {
		if handler, err = o.serveHTTP3(s, l, c, front, handler); err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	l.check(headOptions(o.Gateway), log)
	front.serves(c, closing{handler, &s.draining})
	l.resets = front.resets
	front.tls = l.tls
	l.front = newHTTP1(front)
	return l, nil
}

// serveHTTP3 has a listener serve HTTP/3, too. It returns the handler for those who come by
// another version, which tells them of it.
func (o *Options) serveHTTP3(s *Server, l *listener, c *transomv1.Listener, front frontOptions, handler http.Handler) (http.Handler, error) {
	packets, err := o.listenQUIC(l, s.fleet, c, &front)
	if err != nil {
		return nil, err
	}
	front.handler = &countedRequests{handler, front.resets}
	l.udp = &served{packets, newHTTP3(packets, c, front, l.connections)}
	return newAlternative(handler, portOf(c, packets.Addr()), func() bool { return packets.serving.Load() && !s.draining.Load() }), nil
}

// portOf is the UDP port that clients see.
func portOf(c *transomv1.Listener, at net.Addr) int {
	if udp, ok := at.(*net.UDPAddr); ok && c.GetHttp3Port() == 0 {
		return udp.Port
	}
	return int(c.GetHttp3Port())
}

// openAdmin opens the operator's listener.
func (o *Options) openAdmin(s *Server) error {
	audit, err := o.openAudit()
	if err != nil {
		return err
	}
	l, err := o.listenAdmin(s)
	if err != nil {
		return err
	}
	s.audit = audit
	o.openConsoleCalls(s)
	s.admin = &served{l, newOperatorsFront(o.adminHandler(s, audit), httpLog(s.log))}
	return nil
}

// adminHandler is what the admin listener serves.
func (o *Options) adminHandler(s *Server, audit *admin.Audit) http.Handler {
	options := admin.Options{Version: o.Version, Gateway: administered{s}, Metrics: o.Telemetry.Metrics.Handler()}
	options.Access, options.Audit = accessOf(o.File.Config.GetAdmin()), audit
	options.TraceURL = o.File.Config.GetTelemetry().GetTraceUrl()
	if o.File.Config.GetAdmin().Console == nil || o.File.Config.GetAdmin().GetConsole() {
		options.Console = console.New()
	}
	if host, _, err := net.SplitHostPort(o.File.Config.GetAdmin().GetAddress()); err == nil && net.ParseIP(host) == nil && host != "" {
		options.Hosts = []string{host}
	}
	return admin.New(options)
}

// Start serves on all listeners.
func (s *Server) Start() {
	if s.admin != nil {
		s.running.Go(s.remember)
	}
	for _, l := range s.all() {
		s.running.Go(func() {
			if err := l.front.Serve(l); err != nil {
				select {
				case s.failed <- err:
				default: // one is enough
				}
			}
		})
	}
}

// clients lists what serves clients.
func (s *Server) clients() []*served {
	var all []*served
	for _, l := range s.listeners {
		all = append(all, l.fronts()...)
	}
	if s.calls != nil {
		all = append(all, &served{s.calls, s.callsFront})
	}
	return all
}

// all lists the same, and the admin's last.
func (s *Server) all() []*served {
	all := s.clients()
	if s.admin != nil {
		all = append(all, s.admin)
	}
	return all
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

// Wait returns when ctx ends or a listener fails.
func (s *Server) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.failed:
		return err
	}
}
