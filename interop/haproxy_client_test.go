package interop

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	gatewaytest "github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/poll"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestProxyProtocolOfHAProxy: Traffic 192: HAProxy passes on TCP connections, and says whose
// they are by both versions; its checks are LOCAL.
func TestProxyProtocolOfHAProxy(t *testing.T) {
	for _, version := range []string{"send-proxy", "send-proxy-v2"} {
		t.Run(version, func(t *testing.T) {
			var log logtext.Text
			g := gatewaytest.Start(t, gatewaytest.Options{Log: &log, Listener: func(l *transomv1.Listener) {
				l.ProxyProtocol = &transomv1.ProxyProtocol{From: []string{"127.0.0.1/32"}}
			}})
			haproxy := loopback.Address(t)
			start(t, haproxy, "haproxy", "haproxy", "-db", "-q", "-f", put(t, filepath.Join(t.TempDir(), "haproxy.cfg"), fmt.Sprintf(
				"defaults\n\tmode tcp\n\ttimeout connect 10s\n\ttimeout client 1m\n\ttimeout server 1m\nfrontend f\n\tbind %s\n\tdefault_backend b\nbackend b\n\tsource 127.0.0.1\n\tserver g %s %s\n",
				haproxy, g.Addr, version)))
			transport := &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}).DialContext}
			defer transport.CloseIdleConnections()
			for range 3 {
				if r, text := exchanged(t, &http.Client{Transport: transport}, "GET", "http://"+haproxy+"/v1/shelves/1", nil); r.StatusCode != 200 {
					t.Fatalf("%s: %s", r.Status, text)
				}
			}
			if r, text := exchanged(t, g.HTTP2, "GET", "http://"+haproxy+"/v1/shelves/1", nil); r.StatusCode != 200 {
				t.Fatalf("HTTP/2: %s: %s", r.Status, text)
			}
			poll.Until(t, "the log to name the client", func() bool { return strings.Count(log.String(), "127.0.0.9") == 3 })
		})
	}
}
