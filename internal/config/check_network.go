package config

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/transom-gateway/transom/internal/overload"
	"github.com/transom-gateway/transom/internal/span"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// maxConnections is the most connections to one target that make sense: far
// above, somebody meant something else.
const maxConnections = 1024

// maxStreams and maxWaiting are where a limit of a listener's connections is none.
const (
	maxStreams = 100_000
	maxWaiting = 1 << 40
	// maxClients is what Linux lets one process have open at all (fs.nr_open is 1,048,576).
	maxClients = 1 << 20
)

func (c *checker) listeners(config *transomv1.Config) {
	seen := map[string]string{}
	for i, l := range config.Listeners {
		path := join("listeners", i)
		c.address(join(path, "address"), l.Address, true, seen)
		c.http3(path, l)
		c.socketFile(path, l)
		c.reusePort(path, l)
		if l.MaxStreams > maxStreams {
			c.fail(join(path, "max_streams"), "is %d; expected at most %d", l.MaxStreams, maxStreams)
		}
		if l.MaxWaitingBytes > maxWaiting {
			c.fail(join(path, "max_waiting_bytes"), "is %d; expected at most %d (1 TiB)", l.MaxWaitingBytes, uint64(maxWaiting))
		}
		if l.HttpsRedirect && l.Tls != nil {
			c.fail(join(path, "https_redirect"), "found it beside tls, whose requests are by https already; expected it at a listener without tls")
		}
		c.proxyProtocol(join(path, "proxy_protocol"), l)
		c.connections(path, l)
		c.serverTLS(join(path, "tls"), l.Tls)
	}
	c.secretFile("fleet_secret", config.FleetSecret)
	if config.Admin.GetAddress() != NoAdmin {
		c.address("admin.address", config.Admin.GetAddress(), false, seen)
		c.admin(config.Admin)
	}
}

// connections checks the bounds of a listener's connections.
func (c *checker) connections(path string, l *transomv1.Listener) {
	if l.MaxConnections > maxClients {
		c.fail(join(path, "max_connections"), "is %d; expected at most %d", l.MaxConnections, maxClients)
	}
	c.positive(join(path, "max_connection_age"), l.MaxConnectionAge)
	c.positive(join(path, "max_connection_age_grace"), l.MaxConnectionAgeGrace)
	c.positive(join(path, "header_timeout"), l.HeaderTimeout)
	c.positive(join(path, "idle_timeout"), l.IdleTimeout)
	c.positive(join(path, "handshake_timeout"), l.HandshakeTimeout)
	if l.MaxConnectionAgeGrace != nil && l.MaxConnectionAge == nil {
		c.fail(join(path, "max_connection_age_grace"), "found it without max_connection_age, beside which alone it has a meaning")
	}
	if l.HandshakeTimeout != nil && l.Tls == nil {
		c.fail(join(path, "handshake_timeout"), "found it without tls, whose handshake it bounds")
	}
}

// proxyProtocol holds that a listener says of whom it takes headers of the PROXY protocol.
func (c *checker) proxyProtocol(path string, l *transomv1.Listener) {
	if l.ProxyProtocol == nil {
		return
	}
	from := l.ProxyProtocol.From
	if len(from) == 0 {
		c.fail(join(path, "from"), "found none, expected the address ranges of the load balancers, such as %q", "10.0.0.0/8")
	}
	c.peers(join(path, "from"), from)
	if slices.Contains(from, "unix") && !strings.HasPrefix(l.Address, unixScheme) && !strings.HasPrefix(l.Address, systemdScheme) {
		c.fail(join(join(path, "from"), slices.Index(from, "unix")), "found \"unix\" at %q, which is no unix socket", l.Address)
	}
}

// address holds that one can listen at an address, and that nobody else does.
func (c *checker) address(path, address string, socket bool, seen map[string]string) {
	expected, host := `expected "host:port", such as "127.0.0.1:9901", or "unix:/path"`, "127.0.0.1" // who is admin is not asked
	if socket {
		expected, host = `expected "host:port", ":port", "unix:/path" or "systemd:NAME"`, ""
	}
	if name, ok := strings.CutPrefix(address, unixScheme); ok {
		if strings.TrimPrefix(name, "@") == "" {
			c.fail(path, "found %q, %s", address, expected)
			return
		}
	} else if name, ok := strings.CutPrefix(address, systemdScheme); ok && socket {
		if !isDescriptorName(name) {
			c.fail(path, "found %q, expected the FileDescriptorName of a .socket unit behind systemd: up to 255 characters of ASCII, no colon", address)
		}
		return // there may be several of a name
	} else if _, port, err := net.SplitHostPort(address); err != nil {
		c.fail(path, "found %q, %s%s", address, expected, portHint(host, address))
		return
	} else if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		c.fail(path, "found port %q, expected a number from 0 to 65535", port)
		return
	} else if n == 0 {
		return
	}
	if other, ok := seen[address]; ok {
		c.fail(path, "found %q, which is the address of %s, too", address, cmp.Or(c.file.Flag(other), other))
	}
	seen[address] = path
}

// Schemes of addresses that are none of TCP.
const (
	unixScheme    = "unix:"
	systemdScheme = "systemd:"
)

// isDescriptorName reports whether systemd could call a socket so (FileDescriptorName=).
func isDescriptorName(name string) bool {
	for _, b := range []byte(name) {
		if b <= ' ' || b >= 0x7f || b == ':' {
			return false
		}
	}
	return name != "" && len(name) <= 255
}

// socketFile checks what is said of the file of a listener's unix socket.
func (c *checker) socketFile(path string, l *transomv1.Listener) {
	file := strings.HasPrefix(l.Address, unixScheme) && !strings.HasPrefix(l.Address, unixScheme+"@")
	for _, said := range [][2]string{{"socket_mode", l.SocketMode}, {"socket_group", l.SocketGroup}} {
		if said[1] != "" && !file {
			c.fail(join(path, said[0]), "found it at %q, which has no file: expected it at an address such as \"unix:/run/transom.sock\"", l.Address)
		}
	}
	switch n, err := strconv.ParseUint(l.SocketMode, 8, 12); {
	case l.SocketMode == "":
	case err != nil || n == 0 || n > 0o777:
		c.fail(join(path, "socket_mode"), "found %q, expected permissions in octal digits, such as \"0660\"", l.SocketMode)
	case l.SocketMode[0] != '0': // it could be meant as a decimal number
		c.fail(join(path, "socket_mode"), "found %q, expected octal digits that begin with 0: \"0%s\"", l.SocketMode, l.SocketMode)
	}
}

// reusePort checks whether others could listen at a listener's address, too.
func (c *checker) reusePort(path string, l *transomv1.Listener) {
	if l.ReusePort && (strings.HasPrefix(l.Address, unixScheme) || strings.HasPrefix(l.Address, systemdScheme)) {
		c.fail(join(path, "reuse_port"), "found it at %q, expected host:port: only ports can be shared", l.Address)
	}
}

// portHint suggests the address for a bare port.
func portHint(host, port string) string {
	if _, err := strconv.ParseUint(port, 10, 16); err == nil {
		return `; did you mean "` + host + ":" + port + `"?`
	}
	return ""
}

func (c *checker) upstreams(config *transomv1.Config) {
	patterns, homes := map[string]string{}, Homes(config)
	c.stickyCookies(config)
	for _, name := range upstreamNames(config) {
		path, u := join("upstreams", name), config.Upstreams[name]
		switch kind := u.Kind.(type) {
		case *transomv1.Upstream_Grpc:
			c.grpcUpstream(join(path, "grpc"), kind.Grpc)
		case *transomv1.Upstream_Http:
			c.httpUpstream(path, kind.Http)
		default:
			c.fail(path, "found no kind, expected one of grpc, http")
		}
		if len(u.Services) > 0 && u.GetHttp() != nil {
			c.fail(join(path, "services"), "found it beside a plain HTTP upstream, where no gRPC service lives; routes say what is sent there: remove it")
		}
		if len(u.Services) == 0 && homes[name] && len(homes) > 1 {
			c.fail(join(path, "services"), `found none, expected which services live here, as there is more than one gRPC upstream: "package.Service", "package.*" or "*"`)
		}
		for i, pattern := range u.Services {
			c.service(join(join(path, "services"), i), pattern, patterns)
		}
	}
}

// service holds that a pattern is one, and of one upstream only.
func (c *checker) service(path, pattern string, seen map[string]string) {
	if !c.selector(path, pattern) {
		return
	}
	if other, ok := seen[pattern]; ok {
		c.fail(path, "found %q, which is said at %s, too", pattern, other)
		return
	}
	seen[pattern] = path
}

// grpcGo refuses what grpc-go's client has not.
func (c *checker) grpcGo(path string, g *transomv1.GrpcUpstream) {
	if g.Connections > 1 {
		c.fail(join(path, "connections"), "found %d, expected at most 1: the client GRPC_GO keeps one connection to each address", g.Connections)
	}
	if g.HealthCheck != nil {
		c.fail(join(path, "health_check"), "has no effect with the client GRPC_GO, which asks no server how it is; remove one of them")
	}
	if scheme, _, ok := strings.Cut(g.Target, ":"); ok && slices.Contains(discoveries, scheme) {
		c.fail(join(path, "target"), "found %q, expected a name for DNS or an address: the client GRPC_GO has no targets %s:///", g.Target, scheme)
	}
	for name, set := range map[string]bool{
		"balancing.hash": g.Balancing.GetHash() != nil, "balancing.sticky": g.Balancing.GetSticky() != nil, "balancing.slow_start": g.Balancing.GetSlowStart() != nil,
		"outlier": g.Outlier != nil, "min_healthy_percent": g.MinHealthyPercent > 0, "fail": g.Fail != transomv1.GrpcUpstream_FAIL_UNSPECIFIED,
		"max_connections": g.MaxConnections > 1, "max_connection_age": g.MaxConnectionAge != nil,
	} {
		if set {
			c.fail(join(path, name), "the client GRPC_GO has none; remove it, or use the client TRANSOM")
		}
	}
}

// minKeepalive is the shortest silence before a ping.
const minKeepalive = 10 * time.Second

func (c *checker) grpcUpstream(path string, g *transomv1.GrpcUpstream) {
	c.target(join(path, "target"), g.Target)
	if g.Connections > maxConnections {
		c.fail(join(path, "connections"), "found %d, expected at most %d", g.Connections, maxConnections)
	}
	if g.Client == transomv1.GrpcUpstream_GRPC_GO {
		c.grpcGo(path, g)
	} else {
		c.growth(path, g)
	}
	c.balancing(path, g)
	if d := g.Keepalive; d != nil && d.AsDuration() < minKeepalive {
		c.fail(join(path, "keepalive"), "found %s, expected at least %s: servers end connections with more pings", span.Text(d.AsDuration()), span.Text(minKeepalive))
	}
	if d := g.ResolveInterval; d != nil && d.AsDuration() < time.Second {
		c.fail(join(path, "resolve_interval"), "found %s, expected at least 1s", span.Text(d.AsDuration()))
	}
	c.health(join(path, "health_check"), g.HealthCheck)
	c.outlier(path, g)
	if g.Tls == nil {
		return
	}
	if strings.HasPrefix(g.Target, "file:") && g.Authority == "" && g.Tls.ServerName == "" && !g.Tls.InsecureSkipVerify {
		c.fail(join(path, "tls.server_name"), "found none, expected the name that the servers' certificates are for: a file of addresses has none")
	}
	c.clientTLS(join(path, "tls"), g.Tls)
}

// clientTLS holds that the files of TLS are there.
func (c *checker) clientTLS(path string, t *transomv1.ClientTls) {
	if t.GetCa() != "" {
		c.regular(join(path, "ca"), t.Ca)
	}
	if t.GetCertificate() != "" || t.GetKey() != "" {
		c.regular(join(path, "certificate"), t.Certificate)
		c.regular(join(path, "key"), t.Key)
	}
}

// target holds that text can be the target of a gRPC server. What has a scheme is
// left to the resolver of that name.
func (c *checker) target(path, text string) {
	const expected = `expected "host:port", "dns:///host:port", "unix:/path", "srv:///name", "file:///path" or "k8s:///service.namespace:port"`
	scheme, _, ok := strings.Cut(text, ":")
	switch {
	case text == "":
		c.fail(path, "found none, "+expected)
		return
	case ok && slices.Contains(urlSchemes, scheme) && strings.Contains(text, "://"):
		_, address, _ := strings.Cut(text, "://")
		c.fail(path, "found the URL %q, "+expected+"; %s", text, insteadOfURL(scheme, strings.TrimRight(address, "/")))
		return
	case ok && slices.Contains(discoveries, scheme):
		c.discovery(path, scheme, text)
		return
	case ok && (slices.Contains(resolvers, scheme) || strings.Contains(text, "://")):
		return
	}
	host, port, err := net.SplitHostPort(text)
	if port != "" && err == nil && host != "" && strings.Trim(port, "0123456789") == "" {
		if n, tooLarge := strconv.ParseUint(port, 10, 16); tooLarge != nil || n == 0 {
			c.fail(path, "found port %q, expected a number from 1 to 65535", port)
			return
		}
	}
	if n, notNumber := strconv.ParseUint(port, 10, 16); err != nil || host == "" || strings.ContainsAny(host, " \t/") || notNumber != nil || n == 0 {
		c.fail(path, "found %q, "+expected+"%s", text, targetHint(host, text, port))
	}
}

// discoveries are the schemes of targets that Transom has itself, besides dns.
var discoveries = []string{"srv", "file", "k8s"}

// discovery holds that a target of such a scheme has the form of one. What stands in it
// is checked where it is used.
func (c *checker) discovery(path, scheme, text string) {
	rest := strings.TrimPrefix(text, scheme+":")
	name := strings.TrimLeft(rest, "/")
	switch {
	case name == "":
		c.fail(path, "found %q, expected %s", text, discoveryForms[scheme])
	case strings.HasPrefix(rest, "///"), scheme == "srv" && strings.HasPrefix(rest, "//") && strings.Contains(name, "/"):
	default:
		c.fail(path, "found %q, expected %s; did you mean %q?", text, discoveryForms[scheme], scheme+":///"+name)
	}
}

var discoveryForms = map[string]string{
	"srv":  `a name of SRV records, such as "srv:///_grpc._tcp.books.example"`,
	"file": `the absolute path of a list of addresses, such as "file:///etc/transom/books.yaml"`,
	"k8s":  `a service and its port, such as "k8s:///books.shop:grpc"`,
}

// targetHint suggests the server on this machine for a port alone.
func targetHint(host, text, port string) string {
	switch {
	case host != "":
		return ""
	case port == "":
		return portHint("localhost", text)
	}
	return portHint("localhost", port)
}

// urlSchemes are those of URLs that people give for a target. No resolver has them.
var urlSchemes = []string{"http", "https", "grpc", "grpcs", "h2c"}

// insteadOfURL says what to write for a URL.
func insteadOfURL(scheme, address string) string {
	if scheme == "https" || scheme == "grpcs" {
		return fmt.Sprintf("write %q with `tls: {}` beside it, or --upstream-tls on the command line", address)
	}
	return fmt.Sprintf("write %q", address)
}

// resolvers are the schemes of targets that may stand without slashes behind.
var resolvers = []string{"unix", "unix-abstract", "dns", "passthrough", "ipv4", "ipv6", "xds", "vsock"}

// memory checks the bound of what is kept in this process; 0 is the default.
func (c *checker) memory(path string, n uint64) {
	if n != 0 && (n < 1<<20 || n > 1<<40) {
		c.fail(path, "found %d, want 1 MiB (1048576) to 1 TiB", n)
	}
}

// overload checks that each stage begins behind the one before it.
func (c *checker) overload(o *transomv1.Overload) {
	last, before := uint32(0), ""
	for _, stage := range []struct {
		name  string
		said  uint32
		usual int
	}{
		{"save_percent", o.GetSavePercent(), overload.Default.Save},
		{"shed_percent", o.GetShedPercent(), overload.Default.Shed},
		{"refuse_percent", o.GetRefusePercent(), overload.Default.Refuse},
	} {
		percent := cmp.Or(stage.said, uint32(stage.usual)) //nolint:gosec // a percentage
		switch {
		case percent > 100:
			c.fail(join("overload", stage.name), "found %d, expected a percentage, 1 to 100", percent)
		case percent <= last:
			c.fail(join("overload", stage.name), "found %d%s, expected more than the %d of %s: stages follow one another",
				percent, map[bool]string{true: ", the default"}[stage.said == 0], last, before)
		}
		last, before = percent, stage.name
	}
}

func (c *checker) stores(s *transomv1.Stores) {
	r := s.GetRedis()
	if r == nil {
		return
	}
	c.positive("stores.redis.timeout", r.Timeout)
	if _, written := c.file.places["stores.redis.url"]; written && r.Url == "" {
		return // "${REDIS_URL:-}" leaves it to the environment
	}
	if !hasScheme(r.Url, "redis", "rediss", "unix") {
		c.fail("stores.redis.url", `found %s, expected "redis://host:port", "rediss://host:port" or "unix:///path"`, foundSecret(r.Url))
	}
}

func (c *checker) telemetry(t *transomv1.Telemetry) {
	if problem := traceURLProblem(t.GetTraceUrl()); t.GetTraceUrl() != "" && problem != "" {
		c.fail("telemetry.trace_url", `%s, expected a URL such as "https://traces.example/trace/{trace_id}"`, problem)
	}
	o := t.GetOtlp()
	if o == nil {
		return
	}
	if o.Endpoint != "" && !hasScheme(o.Endpoint, "http", "https", "grpc") {
		c.fail("telemetry.otlp.endpoint", `found %q, expected "http://host:4318" or "grpc://host:4317"`, o.Endpoint)
	}
	if r := o.GetSampleRatio(); r < 0 || r > 1 {
		c.fail("telemetry.otlp.sample_ratio", "found %v, expected 0 to 1", r)
	}
}

// maxTraceURL bounds telemetry.trace_url.
const maxTraceURL = 2048

// traceURLProblem is what a browser cannot go to, or should not; "" for nothing.
func traceURLProblem(text string) string {
	if len(text) > maxTraceURL {
		return fmt.Sprintf("found %d bytes, expected %d at most", len(text), maxTraceURL)
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return fmt.Sprintf("found %q, which is no URL: %v", text, errors.Unwrap(err))
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Sprintf("found %q", text)
	case u.User != nil:
		return "found a URL with a user, which all who look would be told"
	case !strings.Contains(text, "{trace_id}"):
		return fmt.Sprintf("found %q without {trace_id}", text)
	}
	return ""
}

// hasScheme reports whether text is a URL with one of the schemes and something
// behind it.
func hasScheme(text string, schemes ...string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" && u.Path == "" {
		return false
	}
	for _, scheme := range schemes {
		if u.Scheme == scheme && (u.Host != "" || scheme == "unix") {
			return true
		}
	}
	return false
}

// http3 checks whether a listener can serve HTTP/3.
func (c *checker) http3(path string, l *transomv1.Listener) {
	switch {
	case l.Http3 && l.Tls == nil:
		c.fail(join(path, "http3"), "found it without tls, expected tls beside it: HTTP/3 has no cleartext")
	case l.Http3 && strings.HasPrefix(l.Address, unixScheme):
		c.fail(join(path, "http3"), "found it at a unix socket, expected host:port: HTTP/3 is served by UDP")
	case l.Tls.GetEarlyData() && !l.Http3:
		c.fail(join(join(path, "tls"), "early_data"), "found it without http3, expected http3: true beside tls: only HTTP/3 has early data")
	}
	if l.Http3Port > 65535 {
		c.fail(join(path, "http3_port"), "found %d, expected 1 to 65535", l.Http3Port)
	}
	if l.Http3Port > 0 && !l.Http3 {
		c.fail(join(path, "http3_port"), "found it without http3, expected http3: true beside it")
	}
}
