package upstream

import (
	"net"
	"testing"

	"golang.org/x/net/http2"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/transport"
)

// connectedEndpoint is an endpoint with one connection, to a server that takes so many
// streams at once.
func connectedEndpoint(t testing.TB, streams uint32) *Endpoint {
	t.Helper()
	near, far := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		fr := http2.NewFramer(far, far)
		_, _ = far.Read(make([]byte, len(http2.ClientPreface)))
		for range 2 {
			_, _ = fr.ReadFrame()
		}
		_ = fr.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: streams})
		for {
			if _, err := fr.ReadFrame(); err != nil {
				return
			}
		}
	}()
	conn, err := transport.New(t.Context(), near, transport.Options{Pool: proxy.Buffers})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		<-conn.Done()
		_ = far.Close()
		<-done
	})
	e := new(Endpoint)
	e.ready.Store(&[]*transport.Conn{conn})
	return e
}

// TestPick: Traffic 73, 163: a pick avoids what is full, and what was tried while
// anything else has room.
func TestPick(t *testing.T) {
	a, b, full := connectedEndpoint(t, 10), connectedEndpoint(t, 10), connectedEndpoint(t, 0)
	for _, test := range []struct {
		name             string
		endpoints, tried []*Endpoint
		want             map[*Endpoint]int // picks of each, of 12
	}{
		{"in turn", []*Endpoint{a, b}, nil, map[*Endpoint]int{a: 6, b: 6}},
		{"one is full", []*Endpoint{a, full}, nil, map[*Endpoint]int{a: 12}},
		{"one was tried", []*Endpoint{a, b}, []*Endpoint{b}, map[*Endpoint]int{a: 12}},
		{"all were tried", []*Endpoint{a, b}, []*Endpoint{b, a}, map[*Endpoint]int{a: 6, b: 6}},
		{"the other one is full", []*Endpoint{a, full}, []*Endpoint{a}, map[*Endpoint]int{a: 12}},
		{"all are full", []*Endpoint{full, full}, nil, map[*Endpoint]int{nil: 12}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := new(roundRobin).picker(test.endpoints)
			got := map[*Endpoint]int{}
			for range 12 {
				got[p.Pick(test.tried)]++
			}
			if len(got) != len(test.want) {
				t.Errorf("%v, want %v", got, test.want)
			}
			for e, n := range test.want {
				if got[e] != n {
					t.Errorf("picked %d times, want %d", got[e], n)
				}
			}
			if n := testing.AllocsPerRun(100, func() { p.Pick(test.tried) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

// BenchmarkPick measures a pick among ten endpoints.
func BenchmarkPick(b *testing.B) {
	var endpoints []*Endpoint
	for range 10 {
		endpoints = append(endpoints, connectedEndpoint(b, 100))
	}
	p := new(roundRobin).picker(endpoints)
	b.ReportAllocs()
	for b.Loop() {
		p.Pick(nil)
	}
}
