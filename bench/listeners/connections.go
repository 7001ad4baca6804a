package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

func newHTTP3() *http3.Transport {
	return &http3.Transport{TLSClientConfig: trust(), QUICConfig: &quic.Config{MaxIdleTimeout: 10 * time.Minute}}
}

// shake makes handshakes of TLS without a pause. With resumed, all but each client's first resume a session; one that
// does not is an error. exchange is what a connection is used for.
func shake(ctx context.Context, address string, resumed bool, exchange func(net.Conn) error) (int64, error) {
	return repeat(ctx, streams, func(count *atomic.Int64) error {
		config := trust()
		config.NextProtos = []string{"http/1.1"}
		if resumed {
			config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		}
		for first := true; ctx.Err() == nil; first = false {
			state, err := connect(ctx, address, config, exchange)
			if err != nil {
				return err
			}
			if resumed && !first && !state.DidResume {
				return errors.New("a session was not resumed")
			}
			count.Add(1)
		}
		return nil
	})
}

// connect makes a connection and uses it until the server closes it.
func connect(ctx context.Context, address string, config *tls.Config, exchange func(net.Conn) error) (tls.ConnectionState, error) {
	c, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", address)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer func() { _ = c.Close() }() // it is over
	if err := exchange(c); err != nil {
		return tls.ConnectionState{}, err
	}
	if _, err := io.Copy(io.Discard, c); err != nil { // tickets come here, too
		return tls.ConnectionState{}, err
	}
	secure, ok := c.(*tls.Conn)
	if !ok {
		return tls.ConnectionState{}, fmt.Errorf("it is a %T", c)
	}
	return secure.ConnectionState(), nil
}

// askOnce makes the only request of a connection.
func askOnce(c net.Conn) error {
	_, err := io.WriteString(c, "GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	return err
}

// askNothing ends a connection after its handshake.
func askNothing(c net.Conn) error {
	half, ok := c.(interface{ CloseWrite() error })
	if !ok {
		return fmt.Errorf("a %T has no half to close", c)
	}
	return half.CloseWrite()
}

// shakeQUIC makes handshakes of QUIC without a pause.
func shakeQUIC(ctx context.Context, address string) (int64, error) {
	return repeat(ctx, streams, func(count *atomic.Int64) error {
		for ctx.Err() == nil {
			transport := newHTTP3()
			err := get(ctx, &http.Client{Transport: transport}, "https://"+address+"/ready")
			_ = transport.Close() // it was all
			if err != nil {
				return err
			}
			count.Add(1)
		}
		return nil
	})
}

// dialers is how many connections are opened at a time, so slowly that QUIC does not ask each to prove its address.
const dialers = 8

// settle is how long connections lie idle before the memory is read.
const settle = 5 * time.Second

// idle opens connections of a version of HTTP, makes one request by each, and returns how many KB a process holds for one.
func idle(of *server, version, count int) (float64, error) {
	ctx := context.Background()
	before, err := of.Resident()
	if err != nil {
		return 0, err
	}
	open := make(chan func(), count)
	var begun atomic.Int64
	_, err = repeat(ctx, dialers, func(*atomic.Int64) error {
		shared, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return err
		}
		packets := &quic.Transport{Conn: shared}
		for begun.Add(1) <= int64(count) {
			client, closeIt := newClient(version, packets)
			open <- closeIt
			if err := get(ctx, client, "https://"+of.address+"/ready"); err != nil {
				return err
			}
		}
		return nil
	})
	time.Sleep(settle)
	after, resident := of.Resident()
	for range len(open) {
		(<-open)()
	}
	return float64(after-before) / 1024 / float64(count), errors.Join(err, resident)
}

// newClient is one with a connection of its own.
func newClient(version int, packets *quic.Transport) (*http.Client, func()) {
	if version == 3 {
		t := newHTTP3()
		t.Dial = func(ctx context.Context, address string, config *tls.Config, q *quic.Config) (*quic.Conn, error) {
			at, err := net.ResolveUDPAddr("udp", address)
			if err != nil {
				return nil, err
			}
			return packets.DialEarly(ctx, at, config, q)
		}
		return &http.Client{Transport: t}, func() { _ = t.Close() } // it was all
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(version == 1)
	protocols.SetHTTP2(version == 2)
	t := &http.Transport{TLSClientConfig: trust(), Protocols: protocols}
	return &http.Client{Transport: t}, t.CloseIdleConnections
}
