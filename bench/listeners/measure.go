package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transom-gateway/transom/bench/peers"
)

// measure starts the servers and prints what they cost.
func measure(ctx context.Context, dir string, s settings) error {
	backend, err := startBackend(ctx)
	if err != nil {
		return err
	}
	starts := [2]func() (*server, error){
		func() (*server, error) { return startTransom(dir, s, backend) },
		func() (*server, error) { return startBare(dir) },
	}
	if s.rounds > 0 {
		if err := measureRates(ctx, s, starts); err != nil {
			return err
		}
	}
	if s.idle == 0 {
		return nil
	}
	for _, version := range []int{1, 2, 3} {
		for _, start := range starts {
			of, err := start() // memory that others have given back would be used again
			if err != nil {
				return err
			}
			each, err := idle(of, version, s.idle)
			of.Stop()
			if err != nil {
				return fmt.Errorf("idle connections of HTTP/%d: %w", version, err)
			}
			fmt.Printf("%d idle connections of HTTP/%d, %s: %.1f KB each\n", s.idle, version, of.Name, each)
		}
	}
	return nil
}

// measureRates prints how much the servers do for a second of their processors' time.
func measureRates(ctx context.Context, s settings, starts [2]func() (*server, error)) error {
	var servers [2]*server
	for i, start := range starts {
		of, err := start()
		if err != nil {
			return err
		}
		defer of.Stop()
		servers[i] = of
	}
	for _, w := range []struct {
		name string
		load func(ctx context.Context, address string) (int64, error)
	}{
		{"requests by HTTP/3 that the server answers itself", func(ctx context.Context, a string) (int64, error) { return ask(ctx, a, "/ready") }},
		{"calls by HTTP/3, a small GET of a gRPC method", func(ctx context.Context, a string) (int64, error) { return ask(ctx, a, "/v1/items/1") }},
		{"whole handshakes of TLS 1.3 by TCP", func(ctx context.Context, a string) (int64, error) { return shake(ctx, a, false, askNothing) }},
		{"handshakes by TCP that resume a session", func(ctx context.Context, a string) (int64, error) { return shake(ctx, a, true, askNothing) }},
		{"connections by TCP for one request, with whole handshakes", func(ctx context.Context, a string) (int64, error) { return shake(ctx, a, false, askOnce) }},
		{"connections by TCP for one request, with resumed ones", func(ctx context.Context, a string) (int64, error) { return shake(ctx, a, true, askOnce) }},
		{"connections by QUIC, with whole handshakes", shakeQUIC},
	} {
		if !strings.Contains(w.name, s.only) {
			continue
		}
		if err := compare(ctx, s, w.name, w.load, servers); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return nil
}

// startBackend serves the gRPC service of the benchmark in this process, and returns its address.
func startBackend(ctx context.Context) (string, error) {
	from, to := io.Pipe()
	failed := make(chan error, 1)
	go func() { failed <- peers.Run(ctx, "backend", peers.Backends{}, to) }()
	said := make(chan error, 1)
	var address peers.Address
	go func() { said <- json.NewDecoder(from).Decode(&address) }()
	select {
	case err := <-failed:
		return "", err
	case err := <-said:
		return address.Serve, err
	}
}

// compare loads two servers in turn, and prints how often each did something for a second of its processor's time, and
// the median of the ratio.
func compare(ctx context.Context, s settings, name string, load func(context.Context, string) (int64, error), of [2]*server) error {
	var ratios []float64
	var last [2]float64
	for round := range s.rounds + 1 {
		for i := range of {
			which := (i + round) % 2
			rate, err := perSecond(ctx, s.time, of[which], load)
			if err != nil {
				return err
			}
			last[which] = rate
		}
		if round > 0 { // the first one warms up
			ratios = append(ratios, last[0]/last[1])
		}
	}
	slices.Sort(ratios)
	fmt.Printf("%s: %s %.0f, %s %.0f for a second of CPU; ratio %.2f (%.2f–%.2f)\n",
		name, of[0].Name, last[0], of[1].Name, last[1], ratios[len(ratios)/2], ratios[0], ratios[len(ratios)-1])
	return nil
}

// perSecond loads a server, and returns how much it did for a second of its processor's time.
func perSecond(ctx context.Context, d time.Duration, of *server, load func(context.Context, string) (int64, error)) (float64, error) {
	before, err := of.CPU()
	if err != nil {
		return 0, err
	}
	within, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	done, err := load(within, of.address)
	if err != nil {
		return 0, err
	}
	after, err := of.CPU()
	return float64(done) / (after - before).Seconds(), err
}

const (
	// clients have a connection each; each has so many requests under way.
	clients = 4
	streams = 16
)

// ask asks by HTTP/3 without a pause, until ctx ends.
func ask(ctx context.Context, address, path string) (int64, error) {
	return repeat(ctx, clients, func(count *atomic.Int64) error {
		transport := newHTTP3()
		defer func() { _ = transport.Close() }() // it was all
		client := &http.Client{Transport: transport}
		_, err := repeat(ctx, streams, func(*atomic.Int64) error {
			for ctx.Err() == nil {
				if err := get(ctx, client, "https://"+address+path); err != nil {
					return err
				}
				count.Add(1)
			}
			return nil
		})
		return err
	})
}

// get makes a request. That ctx has ended is no error.
func get(ctx context.Context, client *http.Client, url string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := client.Do(r)
	if err == nil {
		_, err = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close() // it is read
	}
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return err
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	return nil
}

// repeat runs a function so many times at once, and returns what all have counted.
func repeat(ctx context.Context, times int, f func(count *atomic.Int64) error) (int64, error) {
	var running sync.WaitGroup
	var count atomic.Int64
	failed := make(chan error, times)
	for range times {
		running.Go(func() {
			if err := f(&count); err != nil && ctx.Err() == nil && !late(err) {
				failed <- err
			}
		})
	}
	running.Wait()
	select {
	case err := <-failed:
		return 0, err
	default:
		return count.Load(), nil
	}
}

// late reports whether an error is that of a time that is over, which net says a moment before the context does.
func late(err error) bool {
	var timed net.Error
	return errors.As(err, &timed) && timed.Timeout()
}

func trust() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", MinVersion: tls.VersionTLS13} //nolint:gosec // it is ours
}
