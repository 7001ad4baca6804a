package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/transom-gateway/transom/internal/testing/keytest"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// startReplacedHTTP3 is startReplaced with TLS and HTTP/3, and what clients trust.
func startReplacedHTTP3(t *testing.T) (gateway *process, url string, trust *tls.Config) {
	t.Helper()
	dir := t.TempDir()
	cert, key := keytest.Certificate(t, "first.example")
	write(t, filepath.Join(dir, "cert.pem"), cert)
	write(t, filepath.Join(dir, "key.pem"), key)
	gateway = startReplaced(t, buildTransom(t), `[{ address: "127.0.0.1:0", http3: true, tls: { certificate: "`+dir+`/cert.pem", key: "`+dir+`/key.pem" } }]`, "")
	return gateway, strings.Replace(gateway.url, "http:", "https:", 1), trusting(t, cert, "first.example")
}

// putOverHTTP3 makes a call, and returns what is wrong with its answer.
func putOverHTTP3(client *http.Client, url string) error {
	answer, err := client.Post(url+"/v1/puts", "application/json", strings.NewReader(`{"name":"a"}`)) //nolint:noctx // each ends, or the test does
	if err != nil {
		return err
	}
	text, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err == nil && (answer.StatusCode != http.StatusOK || answer.ProtoMajor != 3) {
		err = fmt.Errorf("%s %s: %s", answer.Proto, answer.Status, text)
	}
	return err
}

// TestHandOversOverHTTP3: Traffic 196 and 202: while clients ask by HTTP/3 without a pause, the process is replaced several
// times. Calls under way end; the next ones wait until the new process has the UDP socket. None fails.
func TestHandOversOverHTTP3(t *testing.T) {
	gateway, url, trust := startReplacedHTTP3(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var running sync.WaitGroup
	var calls atomic.Int64
	for range 3 {
		running.Go(func() {
			transport := &http3.Transport{TLSClientConfig: trust.Clone(), QUICConfig: &quic.Config{HandshakeIdleTimeout: handOverTime}}
			defer func() { _ = transport.Close() }() // it was all
			for client := (&http.Client{Transport: transport}); ctx.Err() == nil; calls.Add(1) {
				if err := putOverHTTP3(client, url); err != nil {
					t.Errorf("call %d: %v", calls.Load(), err)
				}
			}
		})
	}
	for i := range int64(*handOvers) {
		poll.Until(t, "calls", func() bool { return calls.Load() >= *handOverRequests*(i+1)/int64(*handOvers+1) })
		gateway.upgraded()
		poll.Until(t, "the end of the process before", func() bool { return strings.Count(gateway.log.String(), `"msg":"stopped"`) == int(i)+1 })
		before := calls.Load()
		poll.Until(t, "calls to the new process", func() bool { return calls.Load() > before+10 })
	}
	poll.Until(t, "the last calls", func() bool { return calls.Load() >= *handOverRequests })
	cancel()
	running.Wait()
	t.Logf("%d calls", calls.Load())
}
