package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// idleGoal is the most memory an idle stream may hold, in KB.
	idleGoal = 64
	// dialers is how many sockets are opened at the same time.
	dialers = 64
	// settle is how long the sockets lie idle before the memory is read.
	settle = 3 * time.Second
	// goingAway is WebSocket's close code 1012, "service restart".
	goingAway = 1012
)

// idleScenario opens many WebSockets, reads the memory they hold, and sees
// that all are closed properly when the gateway ends.
func idleScenario() scenario {
	return scenario{
		name: "idle-websockets", title: "idle WebSocket streams", unit: "KB per stream",
		peers: []string{transomIdle}, transomOnly: true,
		run: runIdle,
	}
}

func runIdle(ctx context.Context, f *fleet, s settings) ([]row, error) {
	p, err := f.peer(transomIdle)
	if err != nil {
		return nil, err
	}
	first, err := openSocket(ctx, p)
	if err != nil {
		return nil, err
	}
	defer func() { _ = first.conn.Close() }()
	before, err := p.process.Resident()
	if err != nil {
		return nil, err
	}
	sockets := make([]*socket, s.idle)
	defer func() {
		for _, open := range sockets {
			if open != nil {
				_ = open.conn.Close()
			}
		}
	}()
	group, dialing := errgroup.WithContext(ctx)
	group.SetLimit(dialers)
	for i := range sockets {
		group.Go(func() (err error) {
			sockets[i], err = openSocket(dialing, p)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	time.Sleep(settle)
	after, err := p.process.Resident()
	if err != nil {
		return nil, err
	}
	rows := []row{{
		label:  fmt.Sprintf("Transom, %d streams", s.idle),
		figure: float64(after-before) / float64(s.idle) / 1024,
		allocs: math.NaN(), ratio: math.NaN(), goal: idleGoal,
	}}
	return rows, closeAll(p, sockets)
}

// closeAll ends the gateway and fails unless every socket is closed with the
// code for it.
func closeAll(p *peer, sockets []*socket) error {
	var clean atomic.Int64
	var group errgroup.Group
	for _, open := range sockets {
		group.Go(func() error {
			code, err := open.closeCode()
			if err == nil && code == goingAway {
				clean.Add(1)
				return nil
			}
			return errors.Join(fmt.Errorf("closed with code %d, expected %d", code, goingAway), err)
		})
	}
	p.process.Stop()
	err := group.Wait()
	if err != nil {
		return fmt.Errorf("%d of %d streams were closed cleanly at shutdown: %w", clean.Load(), len(sockets), err)
	}
	return nil
}

// socket is a WebSocket on the Chat method: as little of a client as will do,
// for ten thousand must not cost the machine more than the gateway.
type socket struct {
	conn   net.Conn
	reader *bufio.Reader
}

// openSocket opens a WebSocket, sends one message and waits for its echo, so
// that the stream is known to reach the backend.
func openSocket(ctx context.Context, p *peer) (*socket, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", hostOf(p))
	if err != nil {
		return nil, err
	}
	s := &socket{conn: conn, reader: bufio.NewReaderSize(conn, 512)}
	if err := s.greet(p); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return s, nil
}

func (s *socket) greet(p *peer) error {
	if err := s.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := fmt.Fprintf(s.conn, "GET /v1/items:chat HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n", hostOf(p))
	if err != nil {
		return err
	}
	response, err := http.ReadResponse(s.reader, nil)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(io.LimitReader(response.Body, 1000)) // For the message alone.
		return fmt.Errorf("the upgrade was answered %s\n%s", response.Status, body)
	}
	const text, masked = 0x81, 0x80
	message := `{"sequence":"1"}`
	// The mask is zero: the bytes stay as they are.
	frame := append([]byte{text, masked | byte(len(message)), 0, 0, 0, 0}, message...)
	if _, err := s.conn.Write(frame); err != nil {
		return err
	}
	for {
		opcode, _, err := s.frame()
		if err != nil {
			return err
		}
		if opcode == text&0x0f {
			return s.conn.SetDeadline(time.Time{})
		}
	}
}

// closeCode reads until the close frame and returns its code.
func (s *socket) closeCode() (int, error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	for {
		opcode, payload, err := s.frame()
		if err != nil {
			return 0, err
		}
		if opcode == 8 && len(payload) >= 2 {
			return int(binary.BigEndian.Uint16(payload)), nil
		}
	}
}

// frame reads one frame of a server, of at most 64 KB.
func (s *socket) frame() (opcode byte, payload []byte, err error) {
	head := make([]byte, 2)
	if _, err := io.ReadFull(s.reader, head); err != nil {
		return 0, nil, err
	}
	size := int(head[1] & 0x7f)
	switch size {
	case 126:
		long := make([]byte, 2)
		if _, err := io.ReadFull(s.reader, long); err != nil {
			return 0, nil, err
		}
		size = int(binary.BigEndian.Uint16(long))
	case 127:
		return 0, nil, errors.New("a frame is longer than 64 KB")
	}
	payload = make([]byte, size)
	_, err = io.ReadFull(s.reader, payload)
	return head[0] & 0x0f, payload, err
}
