package gateway_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// longProto is a service whose answers have some hundred bytes of JSON for two
// bytes on the wire.
func longProto() string {
	wide := ""
	for i := range 30 {
		wide += fmt.Sprintf("  int64 number_%d = %d;\n", i, i+1)
	}
	return `syntax = "proto3";
package long.v1;
import "google/api/annotations.proto";

service Longs {
  rpc Echo(K) returns (K) { option (google.api.http) = { post: "/v1/k" body: "*" }; }
  rpc Get(K) returns (K) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (google.api.http) = { get: "/v1/k" additional_bindings: { get: "/v1/wides" response_body: "wides" } };
  }
  rpc List(K) returns (stream K) { option (google.api.http) = { get: "/v1/ks" }; }
}
message K { K kid = 1; string s = 2; repeated K kids = 3; repeated W wides = 4; int32 n = 5; }
message W {
` + wide + "}\n"
}

// serveLongs answers Echo with the request, Get with n wides, and List with a short
// message and then with that.
func serveLongs(_ any, stream grpc.ServerStream) error {
	m := &emptypb.Empty{}
	if err := stream.RecvMsg(m); err != nil {
		return err
	}
	method, _ := grpc.MethodFromServerStream(stream)
	if strings.HasSuffix(method, "Echo") {
		return stream.SendMsg(m)
	}
	n := uint64(0)
	for wire := []byte(m.ProtoReflect().GetUnknown()); len(wire) > 0; {
		_, _, size := protowire.ConsumeField(wire)
		if wire[0] == 5<<3 {
			n, _ = protowire.ConsumeVarint(wire[1:])
		}
		wire = wire[size:]
	}
	if strings.HasSuffix(method, "List") {
		first := &emptypb.Empty{}
		first.ProtoReflect().SetUnknown([]byte("\x12\x05first"))
		if err := stream.SendMsg(first); err != nil {
			return err
		}
	}
	m.ProtoReflect().SetUnknown(wides(int(n)))
	return stream.SendMsg(m)
}

// wides is a K with n empty W messages.
func wides(n int) []byte { return bytes.Repeat([]byte{4<<3 | 2, 0}, n) }

func startLongs(t testing.TB, config string) *gatewaytest.Gateway {
	t.Helper()
	return gatewaytest.Start(t, gatewaytest.Options{Backend: grpctest.ServeAny(t, serveLongs), NoBookstore: true,
		Protos: map[string]string{"long/v1/long.proto": longProto()}, Config: config})
}

// wantWides checks that the JSON is a K with n wides; of a REST answer with
// defaults.
func wantWides(t testing.TB, text string, n int) {
	t.Helper()
	var k struct {
		Wides []json.RawMessage
	}
	if err := json.Unmarshal([]byte(text), &k); err != nil || len(k.Wides) != n {
		t.Errorf("%d wides of %d in %d bytes of JSON: %v", len(k.Wides), n, len(text), err)
	}
}

// TestSemantics303LongAnswers: JSON that is made while it is written, by each
// protocol.
func TestSemantics303LongAnswers(t *testing.T) {
	g := startLongs(t, "defaults: { json: { int64_as_numbers: true, omit_defaults: false } }\n")
	const n = 5000 // some 1.7 MB
	query := "?n=" + strconv.Itoa(n)
	for version, client := range map[string]*http.Client{"HTTP/1.1": g.Client, "HTTP/2": g.HTTP2} {
		t.Run(version, func(t *testing.T) {
			a := g.DoWith(t, client, "GET", "/v1/k"+query, "", "Accept-Encoding", "identity")
			wantWides(t, a.Body, n)
			if len(a.Body) < 1<<20 || a.Header.Get("Content-Length") != strconv.Itoa(len(a.Body)) || a.Status != 200 {
				t.Errorf("%d: %d bytes, Content-Length %q", a.Status, len(a.Body), a.Header.Get("Content-Length"))
			}
			if head := g.DoWith(t, client, "HEAD", "/v1/k"+query, "", "Accept-Encoding", "identity"); head.Body != "" || head.Header.Get("Content-Length") != strconv.Itoa(len(a.Body)) {
				t.Errorf("HEAD: %v", head)
			}
			zipped := g.DoWith(t, client, "GET", "/v1/k"+query, "", "Accept-Encoding", "gzip")
			r, err := gzip.NewReader(strings.NewReader(zipped.Body))
			if err != nil {
				t.Fatal(err)
			}
			if text, err := io.ReadAll(r); err != nil || string(text) != a.Body {
				t.Errorf("gzip: %d bytes, %v", len(text), err)
			}
			field := g.DoWith(t, client, "GET", "/v1/wides"+query, "")
			wantWides(t, `{"wides":`+field.Body+`}`, n)
			unary := g.DoWith(t, client, "POST", "/long.v1.Longs/Get", `{"n":`+strconv.Itoa(n)+`}`, "Connect-Protocol-Version", "1")
			wantWides(t, unary.Body, n)

			lines := jsonLines(t, g.DoWith(t, client, "GET", "/v1/ks"+query, "", "Accept", "application/x-ndjson").Body)
			if len(lines) != 2 {
				t.Fatalf("%d lines", len(lines))
			}
			wantWides(t, lines[1], n)
			all := events(g.DoWith(t, client, "GET", "/v1/ks"+query, "", "Accept", "text/event-stream").Body)
			if len(all) != 3 {
				t.Fatalf("%d events", len(all))
			}
			wantWides(t, all[1].data, n)
			var array []json.RawMessage
			if err := json.Unmarshal([]byte(g.DoWith(t, client, "GET", "/v1/ks"+query, "", "Accept", "application/json").Body), &array); err != nil || len(array) != 2 {
				t.Fatal(err, len(array))
			}
			wantWides(t, string(array[1]), n)
			for _, accept := range []string{"identity", "gzip"} {
				stream := g.DoWith(t, client, "POST", "/long.v1.Longs/List", string(envelope([]byte(`{"n":`+strconv.Itoa(n)+`}`))),
					"Content-Type", "application/connect+json", "Connect-Accept-Encoding", accept)
				wantEnvelopes(t, stream.Body, n)
			}
		})
	}
	t.Run("WebSocket", func(t *testing.T) {
		frames, closed := webSocketFrames(t, g, "/v1/ks"+query)
		if len(frames) != 2 || closed != websocket.StatusNormalClosure {
			t.Fatalf("%d frames, close code %d", len(frames), closed)
		}
		wantWides(t, frames[1], n)
	})
}

// wantEnvelopes checks a Connect stream of two messages, the second of n wides.
func wantEnvelopes(t testing.TB, body string, n int) {
	t.Helper()
	var messages []string
	for len(body) >= 5 {
		size := int(body[1])<<24 | int(body[2])<<16 | int(body[3])<<8 | int(body[4])
		if len(body) < 5+size {
			t.Fatalf("an envelope of %d bytes has %d", size, len(body)-5)
		}
		text := body[5 : 5+size]
		if body[0]&1 != 0 {
			r, err := gzip.NewReader(strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			inflated, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			text = string(inflated)
		}
		messages, body = append(messages, text), body[5+size:]
	}
	if len(messages) != 3 {
		t.Fatalf("%d messages", len(messages))
	}
	wantWides(t, messages[1], n)
}

// webSocketFrames reads all that a call by WebSocket answers.
func webSocketFrames(t testing.TB, g *gatewaytest.Gateway, path string) (frames []string, code websocket.StatusCode) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, g.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(-1)
	for {
		_, frame, err := conn.Read(ctx)
		if err != nil {
			return frames, websocket.CloseStatus(err)
		}
		frames = append(frames, string(frame))
	}
}

// TestSemantics303Bound: an answer with more JSON than it may have is
// RESOURCE_EXHAUSTED, in each protocol's own way where the answer has begun.
func TestSemantics303Bound(t *testing.T) {
	for _, most := range []int{10000, 1000000} { // below what is made at once, and above
		t.Run(strconv.Itoa(most), func(t *testing.T) {
			g := startLongs(t, fmt.Sprintf("defaults: { limits: { max_json_bytes: %d }, json: { omit_defaults: false } }\n", most))
			const query = "?n=100000"
			text := fmt.Sprintf(`"message": "the backend's answer is larger than %d bytes as JSON (limits.max_json_bytes)"`, most)
			unary := g.Do(t, "GET", "/v1/k"+query, "")
			if err := contains(unary.Body, `{"code": 8, `+text+`}`); unary.Status != http.StatusBadGateway || err != nil {
				t.Errorf("REST: %d %s: %v", unary.Status, unary.Body, err)
			}
			byConnect := g.Do(t, "POST", "/long.v1.Longs/Get", `{"n":100000}`, "Connect-Protocol-Version", "1")
			if err := contains(byConnect.Body, `{"code": "resource_exhausted", `+text+`}`); byConnect.Status != http.StatusBadGateway || err != nil {
				t.Errorf("Connect: %d %s: %v", byConnect.Status, byConnect.Body, err)
			}
			lines := jsonLines(t, g.Do(t, "GET", "/v1/ks"+query, "", "Accept", "application/x-ndjson").Body)
			if len(lines) != 2 || contains(lines[1], `{"error": {"code": 8, `+text+`}}`) != nil {
				t.Errorf("NDJSON: %q", lines)
			}
			all := events(g.Do(t, "GET", "/v1/ks"+query, "", "Accept", "text/event-stream").Body)
			if len(all) != 2 || all[1].kind != "error" || contains(all[1].data, `{"code": 8, `+text+`}`) != nil {
				t.Errorf("SSE: %v", all)
			}
			response := open(t, g.Client, "GET", g.URL+"/v1/ks"+query, nil, "Accept", "application/json")
			if body, err := io.ReadAll(response.Body); !errors.Is(err, io.ErrUnexpectedEOF) || !strings.HasPrefix(string(body), `[{"s":"first"`) {
				t.Errorf("JSON array: %.200s, %v", body, err)
			}
			stream := g.Do(t, "POST", "/long.v1.Longs/List", string(envelope([]byte(`{"n":100000}`))), "Content-Type", "application/connect+json")
			messages, end := envelopes(t, []byte(stream.Body), 2)
			if len(messages) != 1 || contains(string(end), `{"error": {"code": "resource_exhausted", `+text+`}}`) != nil {
				t.Errorf("Connect stream: %q, %s", messages, end)
			}
			frames, code := webSocketFrames(t, g, "/v1/ks"+query)
			if len(frames) != 2 || code != 4008 || contains(frames[1], `{"error": {"code": 8, `+text+`}}`) != nil {
				t.Errorf("WebSocket: %q, %d", frames, code)
			}
		})
	}
}

// discarded sends a request and drops the answer's body; it returns its length.
func discarded(t testing.TB, g *gatewaytest.Gateway, method, path string, body []byte, headers ...string) (int, int64) {
	t.Helper()
	response := open(t, g.Client, method, g.URL+path, bytes.NewReader(body), append([]string{"Content-Type", "application/json"}, headers...)...)
	n, err := io.Copy(io.Discard, response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, n
}

// TestSemantics303Memory holds what an answer takes, in client, gateway and backend
// together, to a small multiple of the message on the wire, whatever its JSON has.
func TestSemantics303Memory(t *testing.T) {
	g := startLongs(t, "")
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte(`{"wides":[` + strings.Repeat("{},", 50000) + `{}]}`)) // a buffer takes all
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		inflate int // bytes of the request, or of the backend's message
		status  int
		send    func() (int, int64)
	}{
		{"100 KB of wides", 100_000, 200, func() (int, int64) { return discarded(t, g, "GET", "/v1/k?n=50000", nil) }},
		{"200 KB of wides", 200_000, 200, func() (int, int64) { return discarded(t, g, "GET", "/v1/k?n=100000", nil) }},
		{"200 KB of wides by SSE", 200_000, 200, func() (int, int64) {
			return discarded(t, g, "GET", "/v1/ks?n=100000", nil, "Accept", "text/event-stream")
		}},
		{"1 MB of wides", 1_000_000, 502, func() (int, int64) { return discarded(t, g, "GET", "/v1/k?n=500000", nil) }},
		{"15 MB of wides", 15_000_000, 502, func() (int, int64) { return discarded(t, g, "GET", "/v1/k?n=7500000", nil) }},
		{"150 KB of JSON in gzip", 150_000, 200, func() (int, int64) {
			return discarded(t, g, "POST", "/v1/k", zipped.Bytes(), "Content-Encoding", "gzip")
		}},
	} {
		discarded(t, g, "GET", "/v1/k?n=10", nil) // a connection and its buffers
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		status, size := c.send()
		runtime.ReadMemStats(&after)
		took := int(after.TotalAlloc - before.TotalAlloc)
		t.Logf("%s: %d, %d bytes of answer, %d bytes of memory", c.name, status, size, took)
		if status != c.status || took > 20*c.inflate+4<<20 {
			t.Errorf("%s: %d, %d bytes of memory for %d on the wire and %d of JSON", c.name, status, took, c.inflate, size)
		}
	}
}
