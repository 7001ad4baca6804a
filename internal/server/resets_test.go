package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/poll"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// client2 speaks HTTP/2 frame by frame.
type client2 struct {
	*http2.Framer
	conn  net.Conn
	block []byte
	next  uint32
	ended bool // nothing more can be sent
}

func newClient2(t *testing.T, c net.Conn) *client2 {
	t.Helper()
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	f := &client2{Framer: http2.NewFramer(c, c), conn: c, block: blockOf("/wait"), next: 1}
	if err := f.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return f
}

// blockOf is the header of a GET.
func blockOf(path string) []byte {
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	e.SetMaxDynamicTableSizeLimit(0)
	for _, f := range []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "a"}, {Name: ":path", Value: path}} {
		_ = e.WriteField(f) // a bytes.Buffer takes all
	}
	return block.Bytes()
}

// ask begins a request.
func (f *client2) ask() (id uint32, err error) {
	id = f.next
	f.next += 2
	return id, f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: f.block, EndHeaders: true, EndStream: true})
}

// TestRapidResets: Traffic 199: a client that takes back what it asks for gets GOAWAY with
// ENHANCE_YOUR_CALM, counted and logged once; one that takes back some of its requests does not, nor one
// that ends its connection.
func TestRapidResets(t *testing.T) {
	certificate, key := certificateFiles(t)
	for name, c := range map[string]*transomv1.Listener{
		"cleartext": {Address: "127.0.0.1:0"},
		"TLS":       {Address: "127.0.0.1:0", Tls: &transomv1.ServerTls{Certificate: certificate, Key: key}},
		"a bound":   {Address: "127.0.0.1:0", MaxResets: 5},
	} {
		t.Run(name, func(t *testing.T) {
			var log logtext.Text
			l := testServer(t, c, &log)
			open := func() *client2 {
				conn := dial(t, l.Addr())
				if c.GetTls() != nil {
					conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
				}
				return newClient2(t, conn)
			}
			going := open() // a connection that ends with all its requests is none of them
			for range defaultMaxStreams {
				if _, err := going.ask(); err != nil {
					t.Fatal(err)
				}
			}
			if end, ok := going.begun(defaultMaxStreams); !ok {
				t.Fatalf("requests that go on end the connection: %v", end)
			}
			_ = going.conn.Close()
			for range 2 {
				f := open()
				last := f.untilGoAway()
				if last == nil || last.ErrCode != http2.ErrCodeEnhanceYourCalm || string(last.DebugData()) != "too many resets." {
					t.Fatalf("the connection ends with %v", last)
				}
			}
			poll.Until(t, "both to be counted", func() bool { return l.resets.ended.Load() == 2 })
			if got := strings.Count(log.String(), "level=WARN msg=\"a connection ends"); got != 1 {
				t.Errorf("%d lines:\n%s", got, log.String())
			}
		})
	}
}

// heard waits until the server has read all frames, and reports false and how the connection ended
// where it did.
func (f *client2) heard() (end *http2.GoAwayFrame, ok bool) {
	if f.WritePing(false, [8]byte{}) != nil {
		f.ended = true // what was sent before is read all the same
	}
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return nil, false
		}
		switch frame := frame.(type) {
		case *http2.GoAwayFrame:
			return frame, false
		case *http2.PingFrame:
			if !f.ended {
				return nil, true
			}
		}
	}
}

// begun waits until so many requests have begun, and reports false and how the connection ended where it
// did.
func (f *client2) begun(n int) (end *http2.GoAwayFrame, ok bool) {
	for n > 0 {
		frame, err := f.ReadFrame()
		if err != nil {
			return nil, false
		}
		switch frame := frame.(type) {
		case *http2.GoAwayFrame:
			return frame, false
		case *http2.HeadersFrame:
			n--
		}
	}
	return nil, true
}

// untilGoAway takes requests back until the connection ends.
func (f *client2) untilGoAway() *http2.GoAwayFrame {
	for {
		id, err := f.ask()
		if err == nil {
			if end, ok := f.heard(); !ok {
				return end
			}
			err = f.WriteRSTStream(id, http2.ErrCodeCancel)
		}
		if err != nil {
			end, _ := f.heard()
			return end
		}
	}
}

// TestResetsOfSome: Traffic 199: what counts are more than so many in a second, most of the requests.
//
//transom:norace
func TestResetsOfSome(t *testing.T) {
	now := time.Unix(0, 0)
	try := func(times, requestsEach int, each time.Duration) bool {
		c := &connectionResets{}
		for range times {
			c.requests.Add(int64(requestsEach))
			now = now.Add(each)
			c.reset(now, 100)
		}
		return c.over.Load()
	}
	for _, test := range []struct {
		name                string
		times, requestsEach int
		each                time.Duration
		want                bool
	}{
		{"100 in a moment", 100, 1, 0, false},
		{"101 in a moment", 101, 1, 0, true},
		{"a third of the requests", 10_000, 3, 0, false},
		{"101 a second", 10_000, 1, time.Second / 102, true},
		{"100 a second", 10_000, 1, time.Second / 100, false},
	} {
		if got := try(test.times, test.requestsEach, test.each); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
	s := &countedRequests{http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), &resets{most: 100}}
	near, far := net.Pipe()
	defer func() { _, _ = near.Close(), far.Close() }()
	r, err := http.NewRequestWithContext(s.by.begin(context.Background(), near), http.MethodGet, "http://a/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.ProtoMajor = 2
	if n := testing.AllocsPerRun(100, func() { s.ServeHTTP(nil, r) }); n > 0 {
		t.Errorf("a request takes %v allocations", n)
	}
}
