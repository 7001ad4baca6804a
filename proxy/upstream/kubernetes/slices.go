package kubernetes

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxEndpoints bounds what is kept of a service: many more than are used.
	maxEndpoints = 10_000
	// maxSlices bounds the slices that something is kept of: as many as a list has.
	maxSlices = maxPages * pageSlices
	// maxName bounds the names of zones, slices and pods, in bytes, as the API does.
	maxName = 253
	// maxPorts bounds the ports of a slice that are kept for people, and maxPort the name of
	// one, in bytes.
	maxPorts = 10
	maxPort  = 63
)

// Endpoint is one pod of a service.
type Endpoint struct {
	// Addresses lead to it, "host:port" each; there is more than one where the service
	// has two families of addresses.
	Addresses []string
	// Terminating is set for one that ends: it gets calls only while no other one can.
	Terminating bool
	// Zone is where it is; "" where the API does not say.
	Zone string
}

// ErrNone is the error of a service without an endpoint that takes calls.
var ErrNone = errors.New("the service has no endpoint that is ready")

// slice is what counts of a discovery.k8s.io/v1 EndpointSlice.
type slice struct {
	Metadata struct {
		Name            string `json:"name"`
		ResourceVersion string `json:"resourceVersion"`
	} `json:"metadata"`
	AddressType string     `json:"addressType"`
	Endpoints   []endpoint `json:"endpoints"`
	Ports       []struct {
		Name     string `json:"name"`
		Port     *int32 `json:"port"` // nil: all ports
		Protocol string `json:"protocol"`
	} `json:"ports"`
}

type endpoint struct {
	Addresses  []string `json:"addresses"`
	Conditions struct {
		Ready       *bool `json:"ready"`
		Serving     *bool `json:"serving"`
		Terminating *bool `json:"terminating"`
	} `json:"conditions"`
	TargetRef struct {
		Kind string `json:"kind"`
		Name string `json:"name"`
	} `json:"targetRef"`
	Zone string `json:"zone"`
}

// calls reports whether the endpoint takes calls, and whether only while no other one
// does. A condition that is not known counts as the API's description says: ready, and
// serving where it is ready.
func (e *endpoint) calls() (takes, last bool) {
	ready := e.Conditions.Ready == nil || *e.Conditions.Ready
	serving := ready
	if e.Conditions.Serving != nil {
		serving = *e.Conditions.Serving
	}
	terminating := e.Conditions.Terminating != nil && *e.Conditions.Terminating
	return ready || serving && terminating, !ready
}

// pod is an endpoint of one slice as it is kept.
type pod struct {
	target string // what it is, the same in all slices
	Endpoint
}

// table holds the endpoints of a service's slices, by the slice's name.
type table struct {
	port  string
	pods  map[string][]pod
	ports map[string][]string // that the slices have, for people
}

func newTable(port string) *table {
	return &table{port: port, pods: map[string][]pod{}, ports: map[string][]string{}}
}

// set puts a slice in, or in place of the one of its name.
func (t *table) set(s *slice) {
	t.remove(s.Metadata.Name)
	switch {
	case s.AddressType == "FQDN":
		return // nobody makes them; their meaning is not defined
	case len(s.Metadata.Name) > maxName, len(t.ports) >= maxSlices:
		return // no API does that
	}
	number, known := t.find(s)
	t.ports[s.Metadata.Name] = known
	if number == "" {
		return
	}
	room := maxEndpoints
	for _, pods := range t.pods {
		room -= len(pods)
	}
	var pods []pod
	for _, e := range s.Endpoints {
		takes, last := e.calls()
		if !takes || len(e.Addresses) == 0 || len(pods) >= room {
			continue
		}
		// All addresses lead to the same pod: the first one is enough.
		ip, err := netip.ParseAddr(e.Addresses[0])
		if err != nil {
			continue
		}
		p := pod{target: e.TargetRef.Kind + "/" + e.TargetRef.Name}
		if p.target == "/" || len(p.target) > 2*maxName {
			p.target = ip.String()
		}
		p.Addresses, p.Terminating = []string{net.JoinHostPort(ip.String(), number)}, last
		if len(e.Zone) <= maxName {
			p.Zone = e.Zone
		}
		pods = append(pods, p)
	}
	if len(pods) > 0 {
		t.pods[s.Metadata.Name] = pods
	}
}

func (t *table) remove(name string) {
	delete(t.pods, name)
	delete(t.ports, name)
}

// find returns the number of the wanted port in a slice, "" for none, and what ports
// there are instead.
func (t *table) find(s *slice) (number string, known []string) {
	_, err := strconv.ParseUint(t.port, 10, 16)
	for _, p := range s.Ports {
		switch {
		case p.Protocol != "" && p.Protocol != "TCP":
			continue
		case p.Port == nil:
			if err == nil {
				return t.port, nil // all ports
			}
			continue
		}
		number := strconv.Itoa(int(*p.Port))
		if *p.Port <= 0 || *p.Port > 65535 {
			continue
		}
		if p.Name == t.port || err == nil && number == t.port {
			return number, nil
		}
		if len(known) < maxPorts && len(p.Name) <= maxPort {
			known = append(known, strings.TrimSpace(p.Name+" "+number))
		}
	}
	return "", known
}

// endpoints lists what all slices have: each pod once, in the order of their addresses.
func (t *table) endpoints() ([]Endpoint, error) {
	byTarget := map[string]Endpoint{}
	for _, name := range slices.Sorted(maps.Keys(t.pods)) {
		for _, p := range t.pods[name] {
			e, ok := byTarget[p.target]
			switch {
			case !ok, e.Terminating && !p.Terminating:
				byTarget[p.target] = p.Endpoint // a pod may be in two slices while it moves
			case e.Terminating == p.Terminating && !slices.Contains(e.Addresses, p.Addresses[0]):
				e.Addresses = append(slices.Clip(e.Addresses), p.Addresses[0])
				byTarget[p.target] = e
			}
		}
	}
	if len(byTarget) == 0 {
		return nil, t.none()
	}
	all := slices.Collect(maps.Values(byTarget))
	slices.SortFunc(all, func(a, b Endpoint) int { return cmp.Compare(a.Addresses[0], b.Addresses[0]) })
	return all, nil
}

// none says why there is no endpoint.
func (t *table) none() error {
	var known []string
	for _, name := range slices.Sorted(maps.Keys(t.ports)) {
		known = append(known, t.ports[name]...)
	}
	slices.Sort(known)
	if known = slices.Compact(known); len(known) == 0 {
		return ErrNone
	}
	const most = 10
	return fmt.Errorf("%w: no port of its pods is %s; expected one of: %s", ErrNone, t.port, strings.Join(known[:min(len(known), most)], ", "))
}
