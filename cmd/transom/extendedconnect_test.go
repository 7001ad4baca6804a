package main

import (
	"os"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// TestExtendedConnectIsNotOffered: browsers would take it for what works there
// as well as over HTTP/1.1 (see transcoder/websockethttp2.go).
func TestExtendedConnectIsNotOffered(t *testing.T) {
	wanted := strings.Contains(os.Getenv("GODEBUG"), "http2xconnect=1")
	if gatewaytest.OffersExtendedConnect(t, strings.TrimPrefix(startDemo(t).url, "http://")) != wanted {
		t.Error("Semantics 38: extended CONNECT is for those who ask for it")
	}
}
