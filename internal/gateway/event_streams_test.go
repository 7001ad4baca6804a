package gateway_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

const streamsConfig = `
shutdown_timeout: 0.2s
events:
  behaviour: { delivery: AT_LEAST_ONCE }
  streams:
    - { topic: user_behaviors, types: ["user.*"], fields: ["anonymousId"] }
    - { topic: private, allow: "'staff' in roles" }
`

// streaming starts a gateway whose clients may listen.
func streaming(t *testing.T, directory string) *gatewaytest.Gateway {
	t.Helper()
	return gatewaytest.Start(t, gatewaytest.Options{Config: "data_directory: " + directory + streamsConfig})
}

func publishUser(t *testing.T, g *gatewaytest.Gateway, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if a := g.Do(t, "POST", "/v1/events", `{"type":"user.click","anonymousId":"`+id+`"}`, "Content-Type", "application/json"); a.Status != 200 {
			t.Fatal(a.Status, a.Body)
		}
	}
}

// block is a server-sent event, or what stands alone.
type block map[string]string

// sse reads server-sent events.
type sse struct {
	*testing.T
	lines *bufio.Scanner
	close func() error
}

func listen(t *testing.T, g *gatewaytest.Gateway, path string, headers ...string) *sse {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", g.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	a, err := g.Client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Body.Close() })
	if a.StatusCode != 200 || a.Header.Get("X-Accel-Buffering") != "no" || a.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatal(a.Status, a.Header)
	}
	return &sse{t, bufio.NewScanner(a.Body), a.Body.Close}
}

func (s *sse) next() block {
	s.Helper()
	b := block{}
	for s.lines.Scan() {
		line := s.lines.Text()
		if line == "" && len(b) > 0 {
			return b
		}
		if name, value, _ := strings.Cut(line, ": "); name != "" {
			b[name] = value
		}
	}
	if len(b) == 0 {
		b["end"] = "of the stream"
	}
	return b
}

// user wants the next one to be an event of a visitor.
func (s *sse) user(id string) block {
	s.Helper()
	b := s.next()
	var e struct {
		Type string
		Data map[string]any
	}
	if err := json.Unmarshal([]byte(b["data"]), &e); err != nil || e.Type != "user.click" || fmt.Sprint(e.Data) != "map[anonymousId:"+id+"]" || b["event"] != "" || b["id"] == "" {
		s.Fatalf("got %v, %v; expected %s", b, err, id)
	}
	return b
}

// TestStreamBySSE holds Events 180, 182 and 187 for server-sent events.
func TestStreamBySSE(t *testing.T) {
	directory := t.TempDir()
	const path = "/v1/events/user_behaviors"
	var last string
	t.Run("Events 182: the first bytes are an id", func(t *testing.T) {
		g := streaming(t, directory)
		s := listen(t, g, path)
		first := s.next()
		if first["id"] == "" || first["retry"] == "" || len(first) != 2 {
			t.Fatalf("got %v", first)
		}
		publishUser(t, g, "a", "b", "c")
		s.user("a")
		last = s.user("b")["id"]
		for from, want := range map[string]string{first["id"]: "a", last: "c", "earliest": "a"} {
			s := listen(t, g, path+"?lastEventId="+from)
			s.next()
			s.user(want)
			_ = s.close()
			s = listen(t, g, path+"?lastEventId=wrong", "Last-Event-Id", from)
			s.next()
			s.user(want)
			_ = s.close()
		}
	})
	t.Run("Events 182: after a restart", func(t *testing.T) {
		g := streaming(t, directory)
		s := listen(t, g, path, "Last-Event-Id", last)
		s.next()
		s.user("c")
		wrong := listen(t, g, path, "Last-Event-Id", last+"A")
		wrong.next()
		if b := wrong.next(); b["event"] != "reset" || b["data"] != `{"reason":"unknown"}` || b["id"] == "" {
			t.Errorf("got %v", b)
		}
		for _, want := range []string{`transom_event_streams 2`, `transom_event_streams_sent_total 1`, `transom_event_streams_reset_total{reason="unknown"} 1`, `transom_event_streams_slow_total{how="catch_up"} 0`} {
			if all := metricsOf(g); !strings.Contains(all, "\n"+want+"\n") {
				t.Errorf("the metrics do not say %s", want)
			}
		}
	})
	t.Run("Events 180: a topic that is not there or not for the client", func(t *testing.T) {
		g := streaming(t, directory)
		private, none := g.Do(t, "GET", "/v1/events/private", ""), g.Do(t, "GET", "/v1/events/none", "")
		if private.Status != 404 || private.Body != none.Body || none.Status != 404 {
			t.Errorf("got %v and %v", private, none)
		}
		if a := g.Do(t, "GET", path+"?filter=claims", ""); a.Status != 400 || !strings.Contains(a.Body, "filter") {
			t.Errorf("Events 186: %v", a)
		}
	})
	t.Run("Events 187: when the gateway shuts down", func(t *testing.T) {
		g := streaming(t, directory)
		s := listen(t, g, path)
		id := s.next()["id"]
		g.Drain()
		if b := s.next(); b["event"] != "reconnect" || b["id"] != id || b["data"] != "{}" {
			t.Errorf("got %v", b)
		}
		for b := s.next(); b["end"] == ""; b = s.next() {
			if b["event"] == "end" {
				t.Error("it ended for good")
			}
		}
	})
	t.Run("Events 187: when the configuration changes", func(t *testing.T) {
		g := streaming(t, directory)
		s := listen(t, g, path)
		id := s.next()["id"]
		text, err := os.ReadFile(g.Config)
		if err != nil {
			t.Fatal(err)
		}
		for from, to := range map[string]string{"anonymousId\"": "type\""} {
			text = []byte(strings.Replace(string(text), from, to, 1))
		}
		if err := os.WriteFile(g.Config, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		if b := s.next(); b["event"] != "reconnect" || b["id"] != id {
			t.Errorf("got %v", b)
		}
	})
}

// TestStreamGoesOnAtOnce holds Events 182 for events that were missed: they come although others stand behind them in the log,
// those of another topic, in the process that has taken them and in the next.
func TestStreamGoesOnAtOnce(t *testing.T) {
	directory := t.TempDir()
	for _, name := range []string{"in memory", "after a restart"} {
		t.Run("Events 182: "+name, func(t *testing.T) {
			g := streaming(t, directory)
			if name == "in memory" {
				publishUser(t, g, "a", "b")
				if a := g.Do(t, "POST", "/v1/events", `{"type":"other.kind"}`, "Content-Type", "application/json"); a.Status != 200 {
					t.Fatal(a.Status, a.Body)
				}
			}
			s := listen(t, g, "/v1/events/user_behaviors?lastEventId=earliest")
			s.next()
			s.user("a")
			s.user("b")
		})
	}
}

// TestStreamWithoutChunks holds Events 184: over HTTP/1.1 what clients are told is the body as it is, which ends with
// the connection; over HTTP/2 nothing is said of that, and HEAD has no body.
func TestStreamWithoutChunks(t *testing.T) {
	g := streaming(t, t.TempDir())
	publishUser(t, g, "a")
	for _, version := range []string{"1.1", "1.0"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(g.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_, _ = fmt.Fprintf(conn, "GET /v1/events/user_behaviors?lastEventId=earliest HTTP/%s\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n", version)
		in := bufio.NewReader(conn)
		a, err := http.ReadResponse(in, nil)
		if err != nil || !a.Close || len(a.TransferEncoding) > 0 || a.ContentLength != -1 {
			t.Fatalf("HTTP/%s: %v, %+v", version, err, a)
		}
		s := &sse{t, bufio.NewScanner(in), conn.Close}
		s.next()
		s.user("a")
		_ = s.close()
	}
	r, _ := http.NewRequestWithContext(t.Context(), "GET", g.URL+"/v1/events/user_behaviors", nil)
	r.Header.Set("Accept", "text/event-stream")
	a, err := g.HTTP2.Do(r)
	if err != nil || a.Header.Get("Transfer-Encoding")+a.Header.Get("Connection") != "" {
		t.Fatalf("HTTP/2: %v, %v", err, a)
	}
	_ = a.Body.Close()
	if a := g.Do(t, "HEAD", "/v1/events/user_behaviors", "", "Accept", "text/event-stream"); a.Status != 200 || a.Body != "" {
		t.Errorf("HEAD: %+v", a)
	}
}

// TestStreamByAll holds Events 182 for the other protocols, which have the cursor in each message.
func TestStreamByAll(t *testing.T) {
	g := streaming(t, t.TempDir())
	publishUser(t, g, "a")
	const method = "/transom.v1.EventService/Subscribe"
	for name, option := range map[string]connect.ClientOption{
		"Connect": connect.WithClientOptions(), "gRPC-Web": connect.WithGRPCWeb(), "gRPC": connect.WithGRPC(), "Connect JSON": connect.WithProtoJSON(),
	} {
		t.Run(name, func(t *testing.T) {
			client := connect.NewClient[transomv1.SubscribeRequest, transomv1.SubscribeResponse](g.HTTP2, g.URL+method, option)
			s, err := client.CallServerStream(t.Context(), connect.NewRequest(&transomv1.SubscribeRequest{Topic: "user_behaviors", LastEventId: "earliest"}))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			if !s.Receive() || s.Msg().GetCursor() == "" || s.Msg().GetKind() != nil {
				t.Fatal(s.Msg(), s.Err())
			}
			if !s.Receive() || s.Msg().GetEvent().GetData().GetStructValue().GetFields()["anonymousId"].GetStringValue() != "a" {
				t.Errorf("Events 182: %v, %v", s.Msg(), s.Err())
			}
		})
	}
	t.Run("NDJSON", func(t *testing.T) {
		r, _ := http.NewRequestWithContext(t.Context(), "GET", g.URL+"/v1/events/user_behaviors?lastEventId=earliest", nil)
		a, err := g.Client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = a.Body.Close() }()
		lines := bufio.NewScanner(a.Body)
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), `{"cursor":"`) || !lines.Scan() || !strings.Contains(lines.Text(), `"data":{"anonymousId":"a"}`) {
			t.Errorf("Events 182: %s", lines.Text())
		}
	})
	t.Run("WebSocket", func(t *testing.T) {
		s := dialer{}.dial(t, g, "/v1/events/user_behaviors?lastEventId=earliest", nil)
		_, first, _ := s.Read(s.ctx)
		_, second, err := s.Read(s.ctx)
		if err != nil || !strings.HasPrefix(string(first), `{"cursor":"`) || !strings.Contains(string(second), `"data":{"anonymousId":"a"}`) {
			t.Errorf("Events 182: %s, %s, %v", first, second, err)
		}
	})
}
