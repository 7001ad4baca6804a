package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/transcoder/websocket"
)

// maintained is the policy that refuses calls under maintenance (Traffic 207).
type maintained interface {
	Switches(yield func(name string, isOn func() bool, set func(state string)) bool)
}

// maintenance is one entry of the configuration with the services that it is for.
type maintenance struct {
	name     string
	isOn     func() bool
	set      func(state string)
	services []string
}

// MaintenanceStatus is an entry as the admin listener shows it.
type MaintenanceStatus struct {
	Name string
	On   bool
	// Services are those that it is for, as far as they are gRPC.
	Services []string
}

// addMaintenance notes the entries that are for an endpoint.
func (b *builder) addMaintenance(set *policy.Set, service string) {
	part, ok := policy.Find[maintained](set)
	if !ok {
		return
	}
	for name, m := range switchesOf(part) {
		i := slices.IndexFunc(b.snapshot.maintenance, func(known *maintenance) bool { return known.name == name })
		if i < 0 {
			i = len(b.snapshot.maintenance)
			b.snapshot.maintenance = append(b.snapshot.maintenance, m)
		}
		if known := b.snapshot.maintenance[i]; service != "" && !slices.Contains(known.services, service) {
			known.services = append(known.services, service)
		}
	}
}

// switchesOf are the entries that a part has.
func switchesOf(part maintained) func(yield func(string, *maintenance) bool) {
	return func(yield func(string, *maintenance) bool) {
		part.Switches(func(name string, isOn func() bool, set func(string)) bool {
			return yield(name, &maintenance{name: name, isOn: isOn, set: set})
		})
	}
}

// Maintenance lists the entries of the configuration that are for something, by name.
func (g *Gateway) Maintenance() []MaintenanceStatus {
	s := g.acquire()
	if s == nil {
		return nil
	}
	defer s.release()
	list := make([]MaintenanceStatus, len(s.maintenance))
	for i, m := range s.maintenance {
		list[i] = MaintenanceStatus{m.name, m.isOn(), slices.Sorted(slices.Values(m.services))}
	}
	slices.SortFunc(list, func(a, b MaintenanceStatus) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// SetMaintenance switches an entry on or off by hand, where it stays over reloads, or with
// "auto" to what the configuration says.
func (g *Gateway) SetMaintenance(name, state string) error {
	s := g.acquire()
	if s == nil {
		return fmt.Errorf("no configuration has been loaded yet")
	}
	defer s.release()
	for _, m := range s.maintenance {
		if m.name == name {
			m.set(state)
			g.own.update(nil, s)
			return nil
		}
	}
	return fmt.Errorf("there is no maintenance %q that is for something", name)
}

// health is what grpc.health.v1 says of a service.
func (s *Snapshot) health(service string) healthv1.HealthCheckResponse_ServingStatus {
	for _, m := range s.maintenance {
		if slices.Contains(m.services, service) && m.isOn() {
			return healthv1.HealthCheckResponse_NOT_SERVING
		}
	}
	return healthv1.HealthCheckResponse_SERVING
}

// showPage answers a browser with the page that a refusal has, if it has one, and reports
// whether it did.
func (c *call) showPage(err error) (httpStatus int, shown bool) {
	if err == nil {
		return 0, false
	}
	var paged interface {
		error
		Page() []byte
	}
	if c.opened || !errors.As(err, &paged) || c.match.protocol.RPC || c.match.protocol == websocket.Protocol ||
		!field.Accepts(c.r.Header["Accept"], "text/html") || strings.Contains(c.r.Header.Get("Accept"), "event-stream") {
		return 0, false
	}
	page, h := paged.Page(), c.w.Header()
	if c.route.guard.changesHeader {
		c.beforeHeader(h)
	}
	h["Content-Type"] = []string{"text/html; charset=utf-8"}
	h["Content-Length"] = []string{strconv.Itoa(len(page))}
	h["Cache-Control"] = []string{"no-store"}
	c.w.WriteHeader(http.StatusServiceUnavailable)
	if c.r.Method != http.MethodHead {
		writePage(c.w, page)
	}
	return http.StatusServiceUnavailable, true
}
