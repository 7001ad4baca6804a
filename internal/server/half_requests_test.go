package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/testing/poll"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestHalfRequests: Traffic 199: a client of HTTP/3 that begins requests and does not end their heads holds its connection no
// longer than for idle_timeout and header_timeout twice, as often as it says that it is there. Who waits for an
// answer all that time gets it.
func TestHalfRequests(t *testing.T) {
	over := make(chan struct{})
	_, url := servePackets(t, t.Context(), func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush() // the client sees that it has begun
		<-over
		_, _ = w.Write([]byte("done"))
	}, func(c *transomv1.Listener) {
		c.IdleTimeout, c.HeaderTimeout = durationpb.New(2*time.Second), durationpb.New(100*time.Millisecond)
	})
	alive := &quic.Config{KeepAlivePeriod: 50 * time.Millisecond}
	insecure := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{http3.NextProtoH3}} //nolint:gosec // whose it is does not matter here
	transport := &http3.Transport{TLSClientConfig: insecure, QUICConfig: alive}
	defer func() { _ = transport.Close() }() // it was all
	waiting, err := (&http.Client{Transport: transport}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = waiting.Body.Close() }()

	c, err := quic.DialAddr(t.Context(), strings.TrimPrefix(url, "https://"), insecure, alive)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		stream, err := c.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Write([]byte{1}); err != nil { // the type of a frame of HEADERS
			t.Fatal(err)
		}
	}
	poll.Until(t, "the end of the connection", func() bool { return c.Context().Err() != nil })
	var said *quic.ApplicationError
	if err := context.Cause(c.Context()); !errors.As(err, &said) || !said.Remote || said.ErrorCode != quic.ApplicationErrorCode(http3.ErrCodeRequestIncomplete) {
		t.Errorf("the connection ends by %v", err)
	}
	close(over)
	text := make([]byte, 4)
	if _, err := waiting.Body.Read(text); string(text) != "done" {
		t.Errorf("%q, %v", text, err)
	}
}
