package gateway

import (
	"fmt"

	"github.com/transom-gateway/transom/internal/config"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/httpbackend"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// httpConnection leads to a plain HTTP upstream.
type httpConnection struct {
	*upstream.Conn
	upstream *httpbackend.Upstream
}

var _ connection = httpConnection{}

// Backend implements connection: no RPC is called there.
func (httpConnection) Backend(int) proxy.Backend { return noUpstream{} }

// NotReloaded implements connection.
func (c httpConnection) NotReloaded() string { return c.upstream.NotReloaded() }

// Release implements connection.
func (c httpConnection) Release() {
	c.upstream.Release()
	c.Conn.Release()
}

// connectHTTP opens a plain HTTP upstream.
func (b *builder) connectHTTP(name string, u *transomv1.HttpUpstream) {
	options := httpOptions(u, b.file.Directory)
	conn, err := b.gateway.pool.own.Get(options.Target)
	if err != nil {
		at := append([]any{"upstreams", name, "http"}, ofUpstream(err)...)
		b.refuse(fmt.Sprintf("upstreams.%s: %v", name, err), at...)
		return
	}
	up, err := b.gateway.http.Get(options, func(t upstream.Target) (httpbackend.Servers, error) {
		own, err := b.gateway.pool.own.Get(t)
		if err != nil {
			return nil, err
		}
		return own, nil
	})
	if err != nil {
		conn.Release()
		b.refuse(fmt.Sprintf("upstreams.%s: %v", name, err), append([]any{"upstreams", name, "http"}, ofUpstream(err)...)...)
		return
	}
	b.snapshot.conns[name] = httpConnection{conn, up}
	b.httpUpstreams[name] = up
	b.idleSettings(name, "http", u)
}

// httpOptions are what the configuration says of a plain HTTP upstream.
func httpOptions(u *transomv1.HttpUpstream, directory string) httpbackend.Options {
	t := upstream.Target{
		Plain:          true,
		Protocol:       uint8(spoken(u)),
		Address:        u.GetTarget(),
		MaxConnections: int(u.GetMaxConnections()),

		LoadBalancing: config.BalancingPolicy(config.HTTPBalancing(u)),
		SlowStart:     u.GetBalancing().GetSlowStart().AsDuration(),
		Sticky:        u.GetBalancing().GetSticky() != nil,
		StickySecret:  u.GetBalancing().GetSticky().GetSecret(),

		ResolveInterval:   u.GetResolveInterval().AsDuration(),
		Health:            healthCheck(u.GetHealthCheck()),
		Outlier:           outlier(u.GetOutlier()),
		MinHealthyPercent: u.GetMinHealthyPercent(), FailClosed: u.GetFail() == transomv1.GrpcUpstream_CLOSED,
		TLS: clientTLS(u.GetTls(), directory),
	}
	switch weighted := u.GetWeightedServers(); {
	case len(u.GetServers()) > 0:
		t.Servers = upstream.Servers(u.GetServers(), nil)
	case len(weighted) > 0:
		addresses, weights := make([]string, len(weighted)), make([]uint32, len(weighted))
		for i, s := range weighted {
			addresses[i], weights[i] = s.GetAddress(), 1
			if s.Weight != nil {
				weights[i] = s.GetWeight()
			}
		}
		t.Servers = upstream.Servers(addresses, weights)
	}
	times := u.GetTimeouts()
	return httpbackend.Options{
		Target:   t,
		Protocol: httpProtocols[u.GetProtocol()],
		Times: httpbackend.Times{
			Connect: times.GetConnect().AsDuration(), ResponseHeader: times.GetResponseHeader().AsDuration(), Idle: times.GetIdle().AsDuration(),
		},
		Credentials: httpCredentials(u.GetCredentials(), directory),
	}
}

// spoken is the protocol of an upstream, by default, too.
func spoken(u *transomv1.HttpUpstream) httpbackend.Protocol {
	switch p := httpProtocols[u.GetProtocol()]; {
	case p != httpbackend.Unspecified:
		return p
	case u.GetTls() != nil:
		return httpbackend.Auto
	}
	return httpbackend.H1
}

// httpCredentials are what servers know us by. A file is read by whoever uses them, and
// read again when it changes, without a reload.
func httpCredentials(c *transomv1.HttpCredentials, directory string) httpbackend.Credentials {
	own := httpbackend.Credentials{Basic: c.GetBasic(), Bearer: c.GetBearer()}
	for _, text := range []*string{&own.Basic, &own.Bearer} {
		if name, ok := config.CredentialsFile(*text); ok {
			*text, own.File = inDirectory(directory, name), true
		}
	}
	return own
}

var httpProtocols = map[transomv1.HttpUpstream_Protocol]httpbackend.Protocol{
	transomv1.HttpUpstream_PROTOCOL_UNSPECIFIED: httpbackend.Unspecified,
	transomv1.HttpUpstream_H1:                   httpbackend.H1,
	transomv1.HttpUpstream_AUTO:                 httpbackend.Auto,
	transomv1.HttpUpstream_H2:                   httpbackend.H2,
	transomv1.HttpUpstream_H2C:                  httpbackend.H2C,
}
