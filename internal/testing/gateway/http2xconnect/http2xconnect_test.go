package http2xconnect_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	_ "github.com/transom-gateway/transom/internal/testing/gateway/http2xconnect"
)

// TestOffered holds that a server offers it.
func TestOffered(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	defer server.Close()
	if !gatewaytest.OffersExtendedConnect(t, server.Listener.Addr().String()) {
		t.Error("the server does not offer extended CONNECT")
	}
}
