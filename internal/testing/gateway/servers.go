package gatewaytest

import (
	"context"
	"net"
	"testing"
)

// StartServers has an example serve its API and its site, each at a free port of loopback, until
// the end of the test. It returns their addresses.
func StartServers(t testing.TB, serve func(ctx context.Context, api, site net.Listener) error) (api, site string) {
	t.Helper()
	listen := func() net.Listener {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	apiAt, siteAt := listen(), listen()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- serve(ctx, apiAt, siteAt) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return apiAt.Addr().String(), siteAt.Addr().String()
}
