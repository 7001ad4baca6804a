package server

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
	"weak"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http2"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/poll"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestUnreadAnswers: Traffic 199: a client of HTTP/2 that gives its streams no window, and asks for nothing more, holds its
// connection no longer than for idle_timeout and header_timeout twice. Who waits for an answer all that time gets it.
func TestUnreadAnswers(t *testing.T) {
	var log logtext.Text
	l := testServer(t, &transomv1.Listener{
		Address: "127.0.0.1:0", IdleTimeout: durationpb.New(100 * time.Millisecond), HeaderTimeout: durationpb.New(50 * time.Millisecond),
	}, &log)

	reads := newClient2(t, dial(t, l.Addr()))
	if _, err := reads.ask(); err != nil { // it goes on
		t.Fatal(err)
	}
	if end, ok := reads.begun(1); !ok {
		t.Fatalf("the connection ends: %v", end)
	}
	f := newClient2(t, dial(t, l.Addr()))
	if err := f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}); err != nil {
		t.Fatal(err)
	}
	short := blockOf("/")
	if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: short, EndHeaders: true, EndStream: true}); err != nil {
		t.Fatal(err)
	}
	end := f.untilEnd()
	if end == nil || end.ErrCode != http2.ErrCodeEnhanceYourCalm || string(end.DebugData()) != "answers are not read" {
		t.Errorf("the connection ends with %v", end)
	}
	for id := uint32(3); id < 20; id += 2 {
		if err := reads.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: short, EndHeaders: true, EndStream: true}); err != nil {
			t.Fatal(err)
		}
		if end, ok := reads.begun(1); !ok {
			t.Fatalf("the connection of a client that reads ends: %v", end)
		}
	}
	if end, ok := reads.heard(); !ok {
		t.Errorf("the connection of a client that reads ends: %v", end)
	}
}

// untilEnd reads until the connection ends, and answers pings.
func (f *client2) untilEnd() *http2.GoAwayFrame {
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return nil
		}
		switch frame := frame.(type) {
		case *http2.GoAwayFrame:
			return frame
		case *http2.PingFrame:
			if !frame.IsAck() && f.WritePing(true, frame.Data) != nil {
				return nil
			}
		}
	}
}

// TestUnreadIsForgotten: nothing of a connection that is gone is held by what looks at it.
func TestUnreadIsForgotten(t *testing.T) {
	c := new(connectionResets)
	c.unread.every, c.unread.end = time.Hour, func() {}
	c.unread.watch(&c.requests)
	of := weak.Make(c)
	poll.Until(t, "the memory to be free", func() bool {
		runtime.GC()
		return of.Value() == nil
	})
}

// TestUnreadLooks: a connection ends where no request has come or been under way between two looks.
func TestUnreadLooks(t *testing.T) {
	c, ended := new(connectionResets), 0
	c.unread.every, c.unread.end = time.Hour, func() { ended++ }
	c.requests.Add(1)
	c.unread.watch(&c.requests)
	for i, step := range []struct{ begun, done int64 }{{0, 0}, {0, 0}, {0, 1}, {1, 1}, {1, 0}, {0, 0}, {0, 1}, {0, 0}} {
		c.requests.Add(step.begun)
		c.unread.done.Add(step.done)
		c.unread.look(&c.requests)
		if want := i == 7; (ended > 0) != want {
			t.Errorf("look %d: ended: %v", i, ended > 0)
		}
	}
}

// TestUnreadAnswersOverHTTP3: Traffic 199: by HTTP/3 such an answer has a deadline of its own.
func TestUnreadAnswersOverHTTP3(t *testing.T) {
	w := &deadlines{ResponseWriter: httptest.NewRecorder()}
	f := &http3Front{o: frontOptions{handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}}
	began := time.Now()
	f.ServeHTTP(w, &http.Request{Method: http.MethodGet, Body: http.NoBody})
	if w.write.Before(began.Add(unreadWithin)) || w.write.After(time.Now().Add(unreadWithin)) {
		t.Errorf("the deadline is %s, %s after the answer", w.write, w.write.Sub(began))
	}
	_, url := servePackets(t, t.Context(), func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(-time.Second)) // the streams of QUIC have some
		_, err := io.WriteString(w, strings.Repeat("x", 1<<20))
		if err == nil {
			t.Error("what nobody may read any more is written")
		}
	})
	c, err := quic.DialAddr(t.Context(), strings.TrimPrefix(url, "https://"), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{http3.NextProtoH3}}, nil) //nolint:gosec // whose it is does not matter here
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := new(http3.Transport).NewClientConn(c).RoundTrip(r); err == nil {
		if _, err := io.Copy(io.Discard, a.Body); err == nil {
			t.Error("the answer is whole")
		}
		_ = a.Body.Close() // it was cut
	}
}

// deadlines keeps the deadline of writes.
type deadlines struct {
	http.ResponseWriter
	write time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.write = t
	return nil
}
