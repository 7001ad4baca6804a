package upstream

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc/resolver"

	"github.com/transom-gateway/transom/proxy/upstream/health"
)

// Target says where a backend is and how to talk to it. Equal targets share
// their connections.
type Target struct {
	// Address in gRPC's own syntax: host:port, dns:///host:port, unix:/path; or
	// srv:///name, file:///path, k8s:///service.namespace:port.
	Address string
	// Plain tells of plain HTTP servers: Begin and End are used in place of Call and Open, and
	// others make the connections. MaxConnections bounds the requests under way at each then;
	// 0: any number.
	Plain bool
	// Protocol tells plain HTTP targets apart whose servers are spoken with by different
	// protocols: that a server does not speak one says nothing of another one.
	Protocol uint8
	// Servers is a fixed list in place of Address, as the function Servers writes it.
	Servers string
	// Authority is the :authority to send; empty for the address's own.
	Authority string
	// Connections to each address, over which calls are spread in turn; 0 means 1.
	Connections int
	// LoadBalancing is the policy over the resolved addresses: "least_request",
	// "round_robin", "random", "hash" or "pick_first"; empty means least_request.
	LoadBalancing string
	// MaxConnections is how many connections to each address there may be where the
	// server's limit of streams asks for more; 0 means defaultMaxConnections.
	MaxConnections int
	// MaxConnectionAge is how long a connection is used, give or take a tenth; 0 means as
	// long as it can be.
	MaxConnectionAge time.Duration
	// SlowStart is how long an endpoint has less than its share of the calls once it can
	// be used; 0 means not at all.
	SlowStart time.Duration
	// Sticky has tickets given out that bring clients back to the same endpoint, made of
	// StickySecret; where that is empty, of a secret of the process.
	Sticky       bool
	StickySecret string
	// ResolveInterval is how often DNS is asked for the addresses again; 0 means
	// DefaultResolveInterval.
	ResolveInterval time.Duration
	// ServiceAccount is the folder of the token, the CA and the namespace that
	// Kubernetes' API is asked with; "" for that of a pod.
	ServiceAccount string
	// Keepalive pings a quiet connection after so long, at least ten seconds; 0
	// means never.
	Keepalive time.Duration
	// Health says how servers are asked how they are; nil: they are not. Equal targets
	// have equal ones.
	Health *health.Check
	// TLS: nil means cleartext.
	TLS *TLS
	// Outlier says when endpoints are ejected; the zero Outlier is never.
	Outlier Outlier
	// MinHealthyPercent is the share of the endpoints that must be without a bar; with
	// fewer all are used. 0: as long as there is one, it is enough.
	MinHealthyPercent uint32
	// FailClosed has calls refused where others would use all endpoints.
	FailClosed bool
}

// TLS says how a backend is checked and who we say we are. Files are PEM.
type TLS struct {
	CA, Certificate, Key string
	ServerName           string
	InsecureSkipVerify   bool
}

// Key tells targets apart: those with equal keys are equal. It holds all fields of a
// Target, so that none can be forgotten here.
type Key struct {
	target  Target // without TLS and Health
	secure  bool
	tls     TLS
	checked bool
	health  health.Check
}

// Key is the target's. Files are named, not read: a changed certificate is used by
// connections made after the change.
func (t Target) Key() Key {
	k := Key{target: t}
	if t.TLS != nil {
		k.secure, k.tls = true, *t.TLS
	}
	if t.Health != nil {
		k.checked, k.health = true, *t.Health
	}
	k.target.TLS, k.target.Health = nil, nil
	return k
}

const (
	// pickFirst is the policy that has all addresses as one endpoint.
	pickFirst = "pick_first"
	// byHash is the one that heeds keys.
	byHash = "hash"
)

// balancers make the policies of load balancing by their names.
var balancers = map[string]func(c *Conn) balancer{
	"":              func(*Conn) balancer { return leastRequest{} },
	"least_request": func(*Conn) balancer { return leastRequest{} },
	"round_robin":   func(*Conn) balancer { return new(roundRobin) },
	"random":        func(*Conn) balancer { return random{} },
	byHash:          func(c *Conn) balancer { return &hashed{load: &c.load} },
	pickFirst:       func(*Conn) balancer { return leastRequest{} }, // of one endpoint
}

// Name is the address, or those of the servers, for people.
func (t Target) Name() string {
	if t.Servers == "" {
		return t.Address
	}
	return strings.Join(listed{t.Servers}.names(), ", ")
}

// check refuses what cannot be connected to.
func (t Target) check() error {
	if t.Address == "" && t.Servers == "" {
		return errors.New("the target is empty; expected host:port, dns:///host:port, unix:/path, srv:///name, file:///path or k8s:///service.namespace:port")
	}
	if t.Plain && (t.LoadBalancing == pickFirst || t.Health != nil && t.Health.Path == "") {
		return errors.New("plain HTTP servers have neither the policy pick_first nor health checks of gRPC")
	}
	if balancers[t.LoadBalancing] == nil {
		return fmt.Errorf("the load balancing policy %q is not known; expected least_request, round_robin, random, hash or pick_first", t.LoadBalancing)
	}
	return nil
}

// resolver returns the resolver of the address's scheme: our own where there is one,
// grpc-go's for others. Without a scheme that it knows, the address is a name for DNS.
func (t Target) resolver() (resolver.Builder, resolver.Target, error) {
	if t.Servers != "" {
		return listed{t.Servers}, resolver.Target{}, nil
	}
	dns := dnsBuilder{interval: t.ResolveInterval}
	if t.Plain {
		dns.port = t.usualPort()
	}
	own := []resolver.Builder{dns, srvBuilder{interval: t.ResolveInterval}, fileBuilder{}, kubernetesBuilder{folder: t.ServiceAccount}}
	if u, err := url.Parse(t.Address); err == nil {
		for _, b := range own {
			if u.Scheme == b.Scheme() {
				return b, resolver.Target{URL: *u}, nil
			}
		}
		if b := resolver.Get(u.Scheme); b != nil {
			return b, resolver.Target{URL: *u}, nil
		}
	}
	u, err := url.Parse("dns:///" + t.Address)
	if err != nil {
		return nil, resolver.Target{}, fmt.Errorf("target %q: %w", t.Address, err)
	}
	return dns, resolver.Target{URL: *u}, nil
}

// authority is what :authority says and what a certificate is checked against.
func (t Target) authority(b resolver.Builder, parsed resolver.Target) string {
	switch {
	case t.Authority != "":
		return t.Authority
	case t.TLS != nil && t.TLS.ServerName != "" && !t.Plain: // Host is not what TLS calls it
		return t.TLS.ServerName
	}
	if own, ok := b.(resolver.AuthorityOverrider); ok {
		return own.OverrideAuthority(parsed)
	}
	endpoint := parsed.Endpoint()
	if strings.HasPrefix(endpoint, ":") {
		return "localhost" + endpoint
	}
	return endpoint
}

// network is what addresses of the target are dialed on.
func network(parsed resolver.Target) string {
	if scheme := parsed.URL.Scheme; scheme == "unix" || scheme == "unix-abstract" {
		return "unix"
	}
	return "tcp"
}
