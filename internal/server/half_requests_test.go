package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
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

// TestHalfRequestsBesideWhole: Traffic 199: nor does one that makes whole requests meanwhile: it is told by GOAWAY to make them
// elsewhere. The connection of one that does not listen ends as above, since no request comes any more.
func TestHalfRequestsBesideWhole(t *testing.T) {
	_, url := servePackets(t, t.Context(), func(http.ResponseWriter, *http.Request) {}, func(c *transomv1.Listener) {
		c.IdleTimeout, c.HeaderTimeout = durationpb.New(300*time.Millisecond), durationpb.New(100*time.Millisecond)
	})
	insecure := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{http3.NextProtoH3}} //nolint:gosec // whose it is does not matter here
	c, err := quic.DialAddr(t.Context(), strings.TrimPrefix(url, "https://"), insecure, &quic.Config{KeepAlivePeriod: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	client := new(http3.Transport).NewClientConn(c)
	half, err := c.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := half.Write([]byte{1}); err != nil { // the type of a frame of HEADERS
		t.Fatal(err)
	}
	whole := 0
	poll.Until(t, "the client to be sent elsewhere", func() bool {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		a, err := client.RoundTrip(r)
		if err != nil {
			return true
		}
		whole++
		return a.Body.Close() != nil
	})
	poll.Until(t, "the end of the connection", func() bool { return c.Context().Err() != nil })
	var said *quic.ApplicationError
	if err := context.Cause(c.Context()); whole == 0 || !errors.As(err, &said) || said.Remote || said.ErrorCode != quic.ApplicationErrorCode(http3.ErrCodeNoError) {
		t.Errorf("%d requests were answered; the client ends the connection by %v, expected to after GOAWAY", whole, err)
	}
}

// onStream is a body of a stream of QUIC.
type onStream struct {
	io.ReadCloser
	id quic.StreamID
}

func (o onStream) StreamID() quic.StreamID { return o.id }

// TestHalfRequestsOfNobody: Traffic 199: nobody is sent elsewhere whose requests all begin, in whatever order, and however often
// it is looked meanwhile.
func TestHalfRequestsOfNobody(t *testing.T) {
	var retired atomic.Int64
	h := &halfRequests{
		next: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), every: time.Hour,
		retire: func() { retired.Add(1) }, end: func() {},
	}
	defer h.watch()()
	const together = 8
	for first := range 500 {
		var running sync.WaitGroup
		for i := range together {
			r := &http.Request{Body: onStream{http.NoBody, quic.StreamID(4 * (together*(first+1) - i - 1))}}
			running.Go(func() { h.ServeHTTP(nil, r) })
		}
		running.Go(h.look)
		running.Wait() // all have begun before it is looked a second time
	}
	if n := retired.Load(); n != 0 {
		t.Errorf("%d times", n)
	}
	h.ServeHTTP(nil, &http.Request{Body: onStream{http.NoBody, 4 * (together*500 + 1)}}) // the one before it does not begin
	for i := range 3 {
		h.ServeHTTP(nil, &http.Request{Body: onStream{http.NoBody, quic.StreamID(4 * (together*500 + 2 + i))}})
		h.look()
	}
	if n := retired.Load(); n != 1 {
		t.Errorf("a client whose request does not begin is sent elsewhere %d times", n)
	}
}
