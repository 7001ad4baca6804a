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

// requestID is as long as those that Transom makes.
const requestID = "5f0c6f3f9f8b4c0e8d2a7b1c3e5f7a9d"

// serveBare serves the answer by nothing but net/http and quic-go.
func serveBare(ctx context.Context, address, dir string) error {
	heap := make([]byte, ballast)
	defer runtime.KeepAlive(heap)
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		return err
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	handler := http.HandlerFunc(answerBare)
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

// answerBare reads the request, as whoever serves unary calls has to, and says what Transom says, with the same headers.
func answerBare(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return // the client may be gone
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Request-Id", requestID)
	_, _ = io.WriteString(w, answer) // as above
}
