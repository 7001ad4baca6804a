package gateway_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	gatewaytest "github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/keytest"

	"github.com/golang-jwt/jwt/v5"
)

// toyAuth lets nobody in that has no token.
const toyAuth = "policy: { auth: { jwt: {} } }"

const toyIssuer = "auth: { jwt: [{ issuer: id, audience: toys, secret: \"0123456789abcdef0123456789abcdef\" }] }\n"

// toyRoutes guard /admin of the two toy backends by their own host names, where all else
// is open.
const toyRoutes = toyIssuer + `
routes:
  - { match: { host: d.example, path_prefix: /public }, upstream: decoding }
  - { match: { host: d.example, path_prefix: /admin }, upstream: decoding, ` + toyAuth + ` }
  - { match: { host: m.example, path_prefix: /public }, upstream: merging }
  - { match: { host: m.example, path_prefix: /admin }, upstream: merging, ` + toyAuth + ` }
  - { match: { host: all.d.example, path_prefix: / }, upstream: decoding }
  - { match: { host: all.d.example, path_prefix: /admin }, upstream: decoding, ` + toyAuth + ` }
  - { match: { host: all.m.example, path_prefix: / }, upstream: merging }
  - { match: { host: all.m.example, path_prefix: /admin }, upstream: merging, ` + toyAuth + ` }
  - { match: { host: strip.d.example, path_prefix: /public }, upstream: decoding, rewrite: { strip_prefix: /public } }
  - { match: { host: strip.d.example, path_prefix: /public/admin }, upstream: decoding, rewrite: { strip_prefix: /public }, ` + toyAuth + ` }
  - { match: { host: strip.m.example, path_prefix: /public }, upstream: merging, rewrite: { strip_prefix: /public } }
  - { match: { host: strip.m.example, path_prefix: /public/admin }, upstream: merging, rewrite: { strip_prefix: /public }, ` + toyAuth + ` }
  - { match: { host: add.d.example, path_prefix: / }, upstream: decoding, rewrite: { add_prefix: /files } }
  - { match: { host: add.m.example, path_prefix: / }, upstream: merging, rewrite: { add_prefix: /files } }
  - { match: { host: both.d.example, path_prefix: /public }, upstream: decoding, rewrite: { strip_prefix: /public, add_prefix: /files } }
  - { match: { host: both.m.example, path_prefix: /public }, upstream: merging, rewrite: { strip_prefix: /public, add_prefix: /files } }
`

var toyHosts = []string{
	"d.example", "m.example", "all.d.example", "all.m.example", "strip.d.example", "strip.m.example",
	"add.d.example", "add.m.example", "both.d.example", "both.m.example",
}

// knownBypasses are paths by which other proxies were made to reach what they guarded.
var knownBypasses = []struct {
	from  string
	paths []string
}{
	{"CVE-2019-9901, paths that are not normalized", []string{
		"/public/../admin", "/public/./../admin", "/public/%2e%2e/admin", "/public/%2E%2E/admin", "/public/.%2e/admin", "/public/%2e./admin",
		"/public/x/../../admin", "/./admin", "/%2e/admin", "/public/../public/../admin", "/../admin", "/public/../../admin", "/x/..//admin",
	}},
	{"CVE-2021-29492, escaped slashes", []string{
		"/public%2F..%2Fadmin", "/public/..%2Fadmin", "/public/..%2fadmin", "/public%2f../admin", "/%2Fadmin", "/%2fadmin", "/admin%2Fx", "/public/%2e%2e%2fadmin",
		"/public/..%5Cadmin", "/public/..%5cadmin", `/public/..\admin`, `/public\..\admin`, `/\admin`, "/%5Cadmin", `/public/\../admin`, "/public/x%2F..%2F..%2Fadmin",
	}},
	{"CVE-2021-32779 and CVE-2021-32777, fragments", []string{
		"/admin#x", "/public#/../../admin", "/public/%23/../../admin", "/admin%23", "/public/..%2Fadmin%23",
	}},
	{"CVE-2025-66490, escapes of reserved characters", []string{
		"/public/..%2Fadmin/", "/public/..%5Cadmin/", "/public/..%3B/admin", "/public/..%00/admin", "/public%00/../admin", "/admin%00", "/public/..%3F/admin",
		"/admin%3F", "/admin%3fx=y", "/public/%25%32%65%25%32%65/admin", "/admin%3B", "/public/..%25%32%46admin",
	}},
	{"StripPrefix and encoded dots", []string{
		"/public%2e/../admin", "/public/%2e%2e/public/admin", "/public/%2e/admin", "/public%2fadmin", "/public%2Fadmin", "/public//admin", "/public/%2Fadmin",
		"/public/;/admin", "/public/x/..%2Fadmin", "/public/./admin", "/public/x/%2e%2e/admin", "/public//../admin", "/public/%5Cadmin", "/publi%63/admin", "/%70ublic/admin",
		"/public;/admin", "/public;x=y/admin", "/public/admin;x", "/public/%61dmin", "/public/%2561dmin", "/public/;x/..;y/admin", "/public/.//admin",
	}},
	{"repeated slashes", []string{
		"//admin", "///admin", "/public//../admin", "/public/..//admin", "//public//..//admin", "/.//admin", "/%2F%2Fadmin", "//x/admin", "//x/../admin", "/public/x//../../admin", "//public/../admin",
	}},
	{"CVE-2026-27587, escapes in matchers", []string{
		"/%61dmin", "/%61%64%6d%69%6e", "/%61%64%6D%69%6E", "/adm%69n", "/admin%2f", "/admin%2F%2E%2E", "/admi%6E/x", "/public%2F%2E%2E%2Fadmin",
	}},
	{"path parameters", []string{
		"/public/..;/admin", "/public/..;x=y/admin", "/public;/../admin", "/public;x=/../admin", "/admin;x", "/admin;/x", "/;/admin", "/;x/admin", "/public/;/../admin",
		"/public/.;/../admin", "/public/..;a/;b/admin", "/public/%2e%2e;/admin", "/public/..%3b/admin", "/public/..%253b/admin", "/admin;/../public", "/..;/admin",
	}},
	{"CVE-2021-41773 and CVE-2021-42013, escaped twice", []string{
		"/public/.%2e/admin", "/public/%%32%65%%32%65/admin", "/public/.%%32%65/admin", "/%2561dmin", "/public/%252e%252e/admin", "/public/..%252fadmin", "/public/..%252Fadmin",
		"/public/..%255cadmin", "/public%252f..%252fadmin", "/%252Fadmin", "/public/%252e%252e%252fadmin", "/public/%25252e%25252e/admin", "/public/%2e%252e/admin",
	}},
	{"CVE-2000-0884, UTF-8 that is too long", []string{
		"/public/..%c0%afadmin", "/public/..%c1%9cadmin", "/public/%c0%ae%c0%ae/admin", "/public/..%e0%80%afadmin", "/public/..%25c0%25afadmin", "/%c1%a1dmin",
	}},
	{"aliases without a slash", []string{"/public../admin", "/public..%2Fadmin", "/public%2e%2e/admin", "/publicx/../admin", "/public..;/admin", "/public../../admin"}},
	{"control characters", []string{
		"/public/..%09/admin", "/public/%2e%09%2e/admin", "/ad%0amin", "/public/..%0a/admin", "/public/..%0d%0a/admin", "/admin%20", "/admin%09", "/%20/../admin", "/public/..%20/admin", "/public/..%7f/admin",
		"/public/ ../admin", "/public\t/../admin", "/public/..\x01/admin", "/public/..\x80/admin", "/public/\xe2\x80\xa5/admin",
	}},
	{"out of what a prefix adds", []string{
		"/..%2Fadmin", "/..%5Cadmin", "/%2E%2E%2Fadmin", "/x/..%2F..%2Fadmin", "/x%2F..%2F..%2Fadmin", "/..;/admin", "/..%252Fadmin", "/%252e%252e/admin", `/..\admin`, `/x\..\..\admin`,
		"/public/..%2F..%2Fadmin", "/public/..%2Fadmin", "/public/x;/..;/..;/admin", "/public/%2e%2e%2fadmin", "//..%2Fadmin", "/public//..%2F..%2Fadmin", "/x//..//..%2Fadmin", "/;/..;/..;/admin",
	}},
	{"other forms of a target", []string{
		"http://HOST/admin", "http://HOST/public/../admin", "http://HOST/public/..%2Fadmin", "http://admin/admin", "http://HOST//admin", "http:///admin", "//HOST/admin", "admin", "?/admin", "*",
		"http://HOST?/../admin", "http://HOST@x/admin", `http://HOST\@x/admin`, "http://HOST#/admin", "/public?/../admin", "/public?x=/../admin", "HOST:80", "/admin HTTP/1.1",
	}},
}

// TestKnownBypasses sends what other proxies fell for to two servers that read paths in
// their own ways, as it is, over HTTP/1.1 and HTTP/2. No request has a token (Traffic 136).
func TestKnownBypasses(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Upstreams: startToys(t, "/admin"), Config: toyRoutes})
	h1, h2 := &rawH1{addr: g.Addr}, &rawH2{addr: g.Addr}
	t.Cleanup(h1.close)
	t.Cleanup(h2.close)
	clients := map[string]rawClient{"HTTP/1.1": h1, "HTTP/2": h2}
	token := keytest.Token(t, jwt.SigningMethodHS256, []byte("0123456789abcdef0123456789abcdef"), nil, map[string]any{"iss": "id", "aud": "toys", "sub": "x", "exp": time.Now().Add(time.Hour).Unix()})
	for _, host := range toyHosts {
		open, guarded := "/public/x", "/admin/x"
		if strings.HasPrefix(host, "strip") {
			guarded = "/public/admin/x"
		}
		for by, c := range clients {
			if a := c.get(t, host, open, ""); a.status != 200 || !strings.HasPrefix(a.body, "public /") {
				t.Fatalf("%s, %s: %d %s", by, host, a.status, a.body)
			}
			if strings.HasPrefix(host, "add") || strings.HasPrefix(host, "both") {
				continue // nothing leads to it
			}
			if a := c.get(t, host, guarded, ""); a.status != 401 {
				t.Fatalf("%s, %s: %s without a token: %d %s", by, host, guarded, a.status, a.body)
			}
			if a := c.get(t, host, guarded, token); a.status != 200 || !strings.Contains(a.body, toySecret) {
				t.Fatalf("%s, %s: %s with a token: %d %s", by, host, guarded, a.status, a.body)
			}
		}
	}
	passed := 0
	for _, known := range knownBypasses {
		t.Run("Traffic 136: "+known.from, func(t *testing.T) {
			for _, path := range known.paths {
				for _, host := range toyHosts {
					for by, c := range clients {
						a := c.get(t, host, strings.ReplaceAll(path, "HOST", host), "")
						if strings.Contains(a.body, toySecret) {
							t.Errorf("%s, %s: %q gets %s", by, host, path, a.body)
						}
						if a.status == 200 {
							passed++
						}
					}
				}
			}
		})
	}
	if passed == 0 {
		t.Error("not one was let through, so that nothing was tried")
	}
}

// rawAnswer is what a request was answered; status 0 for a connection or stream that was
// ended.
type rawAnswer struct {
	status int
	body   string
}

// rawClient sends targets as they are. It keeps its connection while it can.
type rawClient interface {
	get(t testing.TB, host, target, token string) rawAnswer
}

type rawH1 struct {
	addr string
	conn net.Conn
	r    *bufio.Reader
}

func (c *rawH1) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

func (c *rawH1) get(t testing.TB, host, target, token string) rawAnswer {
	t.Helper()
	if c.conn == nil {
		conn, err := net.Dial("tcp", c.addr)
		if err != nil {
			t.Fatal(err)
		}
		c.conn, c.r = conn, bufio.NewReader(conn)
	}
	_ = c.conn.SetDeadline(time.Now().Add(time.Minute))
	if token != "" {
		token = "Authorization: Bearer " + token + "\r\n"
	}
	if _, err := fmt.Fprintf(c.conn, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", target, host, token); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.close()
		return rawAnswer{}
	}
	body, err := io.ReadAll(response.Body)
	if err != nil || response.Close {
		c.close()
	}
	return rawAnswer{response.StatusCode, string(body)}
}

type rawH2 struct {
	addr   string
	conn   net.Conn
	framer *http2.Framer
	block  bytes.Buffer
	hpack  *hpack.Encoder
	stream uint32
}

func (c *rawH2) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

func (c *rawH2) open(t testing.TB) {
	t.Helper()
	conn, err := net.Dial("tcp", c.addr)
	if err != nil {
		t.Fatal(err)
	}
	c.conn, c.stream = conn, 1
	c.framer = http2.NewFramer(conn, bufio.NewReader(conn))
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.hpack = hpack.NewEncoder(&c.block)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := c.framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
}

func (c *rawH2) get(t testing.TB, host, target, token string) rawAnswer {
	t.Helper()
	if c.conn == nil {
		c.open(t)
	}
	_ = c.conn.SetDeadline(time.Now().Add(time.Minute))
	c.block.Reset()
	fields := []hpack.HeaderField{
		{Name: ":method", Value: "GET"},
		{Name: ":scheme", Value: "http"},
		{Name: ":authority", Value: host},
		{Name: ":path", Value: target},
	}
	if token != "" {
		fields = append(fields, hpack.HeaderField{Name: "authorization", Value: "Bearer " + token})
	}
	for _, f := range fields {
		if err := c.hpack.WriteField(f); err != nil {
			t.Fatal(err)
		}
	}
	id := c.stream
	c.stream += 2
	if err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.block.Bytes(), EndStream: true, EndHeaders: true}); err != nil {
		t.Fatal(err)
	}
	return c.answer(t, id)
}

func (c *rawH2) answer(t testing.TB, id uint32) (a rawAnswer) {
	t.Helper()
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			c.close()
			return rawAnswer{}
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				if err := c.framer.WriteSettingsAck(); err != nil {
					t.Fatal(err)
				}
			}
		case *http2.MetaHeadersFrame:
			if _, err := fmt.Sscan(f.PseudoValue("status"), &a.status); err != nil {
				t.Fatal(err)
			}
		case *http2.DataFrame:
			a.body += string(f.Data())
			if n := len(f.Data()); n > 0 {
				if err := c.framer.WriteWindowUpdate(0, uint32(n)); err != nil {
					t.Fatal(err)
				}
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == id {
				return rawAnswer{}
			}
			continue
		case *http2.GoAwayFrame:
			c.close()
			return rawAnswer{}
		}
		if h := frame.Header(); h.StreamID == id && h.Flags.Has(http2.FlagDataEndStream) { // of headers, too
			return a
		}
	}
}
