package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	// bombGoal is the most CPU time that one bomb may cost the gateway, in ms.
	bombGoal = 100
	// bombRest is how long the gateway is left alone before its figures are read:
	// what its collector does for a bomb counts too.
	bombRest = 200 * time.Millisecond
)

// bomb is an input that costs a gateway which is not careful far more than it
// costs who sends it.
type bomb struct {
	label string
	// sent and inflated are its sizes in bytes, as they come and once they are no
	// longer compressed; of an answer what the backend sends.
	sent, inflated int
	// count is how many send sends, where that is more than one: the CPU time is
	// divided by it.
	count int
	// send sends it and returns what the gateway said of it; close ends what is
	// still open.
	send func(ctx context.Context, address string) (said string, close func(), err error)
}

// bombsScenario sends each bomb to a gateway of its own, started for it.
func bombsScenario() scenario {
	return scenario{
		name: "bombs", title: "hostile inputs: what each costs the gateway", unit: "CPU ms",
		transomOnly: true, run: runBombs,
		head: "| | sent | inflated | answer | CPU ms | peak memory | ÷ inflated | goal |\n| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |\n",
	}
}

func runBombs(ctx context.Context, f *fleet, s settings) ([]row, error) {
	backend, stop, err := startBombBackend()
	if err != nil {
		return nil, err
	}
	defer stop()
	var rows []row
	for i, b := range bombs() {
		r, err := f.measureBomb(ctx, fmt.Sprint("transom-bombs-", i), backend, b, s.rounds)
		if err != nil {
			return rows, fmt.Errorf("%s: %w", b.label, err)
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// measureBomb sends a bomb several times to a new gateway. The CPU time is the
// median, the memory the most that the process held above what it held before.
func (f *fleet) measureBomb(ctx context.Context, name, backend string, b bomb, rounds int) (row, error) {
	p, err := f.startBombed(ctx, name, backend)
	if err != nil {
		return row{}, err
	}
	defer p.process.Stop()
	if _, err := bombRequest(ctx, hostOf(p), http.MethodPost, "/v1/nodes", "application/json", "", []byte(`{"text":"warm"}`)); err != nil {
		return row{}, err
	}
	time.Sleep(bombRest)
	before, err := p.process.Resident()
	if err != nil {
		return row{}, err
	}
	if err := p.process.ForgetPeak(); err != nil {
		return row{}, err
	}
	var costs []time.Duration
	var said string
	for range rounds {
		begun, err := p.process.CPU()
		if err != nil {
			return row{}, err
		}
		var end func()
		if said, end, err = b.send(ctx, hostOf(p)); err != nil {
			return row{}, errors.Join(err, p.process.Err())
		}
		time.Sleep(bombRest)
		ended, err := p.process.CPU()
		end()
		if err != nil {
			return row{}, err
		}
		costs = append(costs, ended-begun)
	}
	peak, err := p.process.Peak()
	if err != nil {
		return row{}, err
	}
	r := row{label: b.label, goal: bombGoal, ratio: math.NaN(), allocs: math.NaN(),
		figure: median(costs, func(d time.Duration) float64 {
			return float64(d) / float64(time.Millisecond) / float64(max(1, b.count))
		})}
	grown := max(0, peak-before)
	r.cells = fmt.Sprintf("%s | %s | %s | %s | %s | %s", size(b.sent), size(b.inflated), said, number(r.figure), size(int(grown)),
		number(float64(grown)/float64(b.inflated)))
	return r, nil
}

// size writes a number of bytes for people.
func size(n int) string {
	switch {
	case n >= 1e6:
		return number(float64(n)/1e6) + " MB"
	case n >= 1e3:
		return number(float64(n)/1e3) + " KB"
	}
	return fmt.Sprint(n, " B")
}

// startBombed starts a gateway with its own defaults, whose backend is this process.
func (f *fleet) startBombed(ctx context.Context, name, backend string) (*peer, error) {
	serve, err := freeAddress()
	if err != nil {
		return nil, err
	}
	protos, err := filepath.Abs("bombs")
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(map[string]any{
		"listeners": []any{map[string]any{"address": serve}},
		"schemas":   []any{map[string]any{"directory": protos}},
		"upstreams": map[string]any{"bombs": map[string]any{"grpc": map[string]any{"target": backend}}},
		"telemetry": map[string]any{"log": map[string]any{"access": false, "format": "JSON"}},
	})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(f.dir, name+".yaml") // JSON is YAML.
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, err
	}
	p, err := f.add(name, exec.Command(f.transom, "serve", "--config", file))
	if err != nil {
		return nil, err
	}
	p.base = "http://" + serve
	return p, p.ready(ctx, serve)
}

// bombRequest sends one request over a connection of its own and reads the answer
// to its end, which it does not keep.
func bombRequest(ctx context.Context, address, method, path, contentType, encoding string, body []byte) (said string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "http://"+address+path, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", contentType)
	if encoding != "" {
		request.Header.Set("Content-Encoding", encoding)
	}
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	n, err := io.Copy(io.Discard, response.Body)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d, %s", response.StatusCode, size(int(n))), nil
}

// openRaw opens a connection and sends bytes.
func openRaw(ctx context.Context, address string, text []byte) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if _, err := conn.Write(text); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// openBombed opens a WebSocket with permessage-deflate.
func openBombed(ctx context.Context, address string) (*socket, error) {
	conn, err := openRaw(ctx, address, []byte("GET /v1/nodes:chat HTTP/1.1\r\nHost: "+address+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"))
	if err != nil {
		return nil, err
	}
	s := &socket{conn: conn, reader: bufio.NewReaderSize(conn, 512)}
	response, err := http.ReadResponse(s.reader, nil)
	if err == nil {
		_ = response.Body.Close()
		if response.StatusCode != http.StatusSwitchingProtocols || response.Header.Get("Sec-WebSocket-Extensions") == "" {
			err = fmt.Errorf("the upgrade was answered %s without permessage-deflate", response.Status)
		}
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return s, nil
}
