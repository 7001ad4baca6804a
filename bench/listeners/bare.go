package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"time"

	"github.com/quic-go/quic-go/http3"
)

// ballast is heap that nobody touches, so that there is as much garbage between collections as in Transom.
const ballast = 24 << 20

// serveBare serves the answer by nothing but net/http and quic-go.
func serveBare(ctx context.Context, address, dir string) error {
	heap := make([]byte, ballast)
	defer runtime.KeepAlive(heap)
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		return err
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer) // the client may be gone
	})
	packets, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	byUDP := &http3.Server{Handler: handler, TLSConfig: http3.ConfigureTLSConfig(config), IdleTimeout: 10 * time.Minute}
	byTCP := &http.Server{Handler: handler, TLSConfig: config, Addr: address, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 10 * time.Minute}
	failed := make(chan error, 2)
	go func() { failed <- byUDP.Serve(packets) }()
	go func() { failed <- byTCP.ListenAndServeTLS("", "") }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return errors.Join(byTCP.Close(), byUDP.Close())
	}
}
