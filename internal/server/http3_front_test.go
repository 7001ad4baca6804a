package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"

	"github.com/transom-gateway/transom/internal/observe"
	"github.com/transom-gateway/transom/internal/server/security"
	"github.com/transom-gateway/transom/internal/server/sockets"
	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/poll"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// servePackets serves HTTP/3 until the test is over, by a listener with more settings. It returns a client, and where it finds the server.
func servePackets(t *testing.T, ending context.Context, handler http.HandlerFunc, set ...func(*transomv1.Listener)) (client *http.Client, url string) {
	t.Helper()
	_, client, url = servedPackets(t, ending, handler, set...)
	return client, url
}

// servedPackets is servePackets, with the listener.
func servedPackets(t *testing.T, ending context.Context, handler http.HandlerFunc, set ...func(*transomv1.Listener)) (l *quicListener, client *http.Client, url string) {
	t.Helper()
	certificate, key := certificateFiles(t)
	fleet, err := security.NewFleet("", nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &transomv1.Listener{Address: "127.0.0.1:0", Http3: true, Tls: &transomv1.ServerTls{Certificate: certificate, Key: key}}
	for _, set := range set {
		set(c)
	}
	o := &Options{Sockets: new(sockets.Set), Telemetry: &observe.Telemetry{Log: slog.New(slog.DiscardHandler)}}
	opened, err := openListener(o.Sockets, c, nil, fleet, o.Telemetry.Log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() }) // only its port was needed
	f := newFrontOptions(c)
	f.ending, f.resets = ending, newResets(c, o.Telemetry.Log)
	f.handler = &countedRequests{handler, f.resets}
	packets, err := o.listenQUIC(opened, fleet, c, &f)
	if err != nil {
		t.Fatal(err)
	}
	front := newHTTP3(packets, c, f, opened.connections)
	served := make(chan error, 1)
	go func() { served <- front.Serve(packets) }()
	transport := &http3.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // whose it is does not matter here
	t.Cleanup(func() {
		_ = transport.Close() // the server may have ended it
		if err := front.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return packets, &http.Client{Transport: transport}, "https://" + packets.Addr().String()
}

// TestHTTP3Panics: the log has a handler's panic, as it has those of the other versions.
func TestHTTP3Panics(t *testing.T) {
	var log logtext.Text
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	client, url := servePackets(t, t.Context(), func(http.ResponseWriter, *http.Request) { panic("a fault of the gateway") })
	if a, err := client.Get(url); err == nil {
		t.Errorf("the answer is %s", a.Status)
		_ = a.Body.Close()
	}
	poll.Until(t, "the panic in the log", func() bool { return strings.Contains(log.String(), "a fault of the gateway") })
}

// TestHTTP3Contexts: the context of a request ends with the request, and with the gateway's calls.
func TestHTTP3Contexts(t *testing.T) {
	ending, end := context.WithCancel(t.Context())
	defer end()
	contexts := make(chan context.Context, 2)
	client, url := servePackets(t, ending, func(w http.ResponseWriter, r *http.Request) {
		contexts <- r.Context()
		if r.URL.Path == "/wait" {
			_ = http.NewResponseController(w).Flush() // the client sees that it has begun
			<-r.Context().Done()
		}
	})
	for _, path := range []string{"/", "/wait"} {
		a, err := client.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		of := <-contexts
		if path == "/wait" {
			if of.Err() != nil {
				t.Error("the context of a request that goes on has ended")
			}
			end()
		}
		<-of.Done()
		_, _ = io.Copy(io.Discard, a.Body) // it may be cut
		_ = a.Body.Close()                 // it is read
	}
}

// TestHTTP3Date: answers have the time, unless they have one or want none.
func TestHTTP3Date(t *testing.T) {
	client, url := servePackets(t, t.Context(), func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/own":
			w.Header().Set("Date", "Sun, 06 Nov 1994 08:49:37 GMT")
		case "/none":
			w.Header()["Date"] = nil
		}
		w.WriteHeader(http.StatusNoContent)
	})
	began := time.Now().Truncate(time.Second)
	for path, want := range map[string]string{"/": "", "/own": "Sun, 06 Nov 1994 08:49:37 GMT", "/none": ""} {
		for range 2 { // the second one's time was written for the first
			a, err := client.Get(url + path)
			if err != nil {
				t.Fatal(err)
			}
			_ = a.Body.Close() // there is none
			switch got := a.Header.Get("Date"); {
			case path != "/":
				if got != want {
					t.Errorf("%s: %q, want %q", path, got, want)
				}
			default:
				at, err := http.ParseTime(got)
				if err != nil || at.Before(began) || at.After(time.Now()) {
					t.Errorf("the date is %q at %s: %v", got, began, err)
				}
			}
		}
	}
}

// TestHTTP3LastHandshakes: Traffic 202: a handshake that has begun before the listener closes ends, and its request has an answer; one
// that does not end is not waited for.
func TestHTTP3LastHandshakes(t *testing.T) {
	l, client, url := servedPackets(t, t.Context(), func(http.ResponseWriter, *http.Request) {})
	verify := make(chan struct{})
	transport, ok := client.Transport.(*http3.Transport)
	if !ok {
		t.Fatal("another transport")
	}
	transport.TLSClientConfig.VerifyConnection = func(tls.ConnectionState) error {
		<-verify
		return nil
	}
	answered := make(chan error, 1)
	ask := func() {
		answer, err := client.Get(url) //nolint:noctx // it ends, or the test does
		if err == nil {
			err = answer.Body.Close()
		}
		answered <- err
	}
	go ask()
	poll.Until(t, "a handshake", func() bool { return l.shaking.Load() == 1 })
	left := make(chan struct{})
	go func() {
		defer close(left)
		l.leave()
	}()
	close(verify)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	<-left
	if n := l.shaking.Load(); n != 0 {
		t.Errorf("%d handshakes are under way", n)
	}
}

// TestHTTP3HandshakesWithoutEnd: one that does not end holds nobody up.
func TestHTTP3HandshakesWithoutEnd(t *testing.T) {
	l, client, url := servedPackets(t, t.Context(), func(http.ResponseWriter, *http.Request) {})
	ctx, cancel := context.WithCancel(t.Context())
	transport, ok := client.Transport.(*http3.Transport)
	if !ok {
		t.Fatal("another transport")
	}
	transport.TLSClientConfig.VerifyConnection = func(tls.ConnectionState) error {
		<-ctx.Done()
		return ctx.Err()
	}
	ended := make(chan error, 1)
	go func() {
		answer, err := client.Get(url) //nolint:noctx // the test ends it
		if err == nil {
			err = errors.Join(errors.New("there was an answer"), answer.Body.Close())
		}
		ended <- err
	}()
	poll.Until(t, "a handshake", func() bool { return l.shaking.Load() == 1 })
	l.leave()
	poll.Until(t, "the end of the handshake", func() bool { return l.shaking.Load() == 0 })
	cancel()
	if err := <-ended; err == nil || strings.Contains(err.Error(), "there was an answer") {
		t.Error(err)
	}
}
