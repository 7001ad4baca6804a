package observe

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

const (
	testRPC   = "bookstore.v1.BookstoreService/GetBook"
	testRoute = "/v1/{name=shelves/*/books/*}"
)

// setup returns telemetry that writes to the buffer.
func setup(t testing.TB, config *transomv1.Telemetry, w io.Writer) *Telemetry {
	t.Helper()
	telemetry, err := Setup(config, "1.2.3", w)
	if err != nil {
		t.Fatal(err)
	}
	return telemetry
}

func request(target string) *policy.Request {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	return &policy.Request{
		HTTP: r, RPC: testRPC, Route: testRoute, Protocol: "rest", RequestID: "req-1",
		ClientIP: netip.MustParseAddr("192.0.2.7"),
	}
}

// play sends one call through the Set as the gateway does.
func play(t testing.TB, set *policy.Set, r *policy.Request, o *policy.Outcome) context.Context {
	t.Helper()
	ctx, err := set.Admit(t.Context(), r)
	if err != nil && o.Code == codes.OK {
		o.Code = codes.PermissionDenied
	}
	set.Done(r, o)
	return ctx
}

// Method says what the calls of a Set belong to.
type Method struct {
	RPC    string
	Routes []*RouteMetrics // none: Unmatched
	Behind []string        // the policies whose decisions are counted
}

// Policies sees the calls of a method.
func (t *Telemetry) Policies(m Method) []policy.Part {
	if len(m.Routes) == 0 {
		return []policy.Part{t.Unmatched(nil)}
	}
	p := &observer{telemetry: t, rpc: valid(m.RPC)}
	for _, r := range m.Routes {
		p.add(r, false)
	}
	for _, name := range m.Behind {
		p.count(name)
	}
	return []policy.Part{p}
}

func routes(t *Telemetry) Method {
	return Method{RPC: testRPC, Routes: []*RouteMetrics{t.Metrics.Route(testRPC, testRoute)}}
}

func TestAccessLog(t *testing.T) {
	var out bytes.Buffer
	telemetry := setup(t, nil, &out)
	set := policy.NewSet(nil, telemetry.Policies(routes(telemetry))...)
	r := request("/v1/shelves/1/books/2?access_token=hunter2")
	r.HTTP.Header.Set("User-Agent", "evil\n{\"level\":\"forged\"}\x1b[31m")
	r.HTTP.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	r.HTTP.Header.Set("Authorization", "Bearer hunter2")
	r.Identity = &policy.Identity{Principal: "alice"}
	play(t, set, r, &policy.Outcome{
		Code: codes.NotFound, Message: "no such book", HTTPStatus: 404,
		RequestMessages: 1, RequestBytes: 20, ResponseMessages: 0, RequestBody: 25, ResponseBody: 70,
	})

	if strings.Count(out.String(), "\n") != 1 {
		t.Fatalf("got %q, want one line", out.String())
	}
	if strings.Contains(out.String(), "hunter2") {
		t.Errorf("a secret is in the log: %s", out.String())
	}
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"time", "duration_ms"} {
		if line[key] == nil {
			t.Errorf("%s is missing", key)
		}
		delete(line, key)
	}
	want := map[string]any{
		"level": "INFO", "msg": "request", "route": testRoute, "rpc": testRPC, "request_id": "req-1",
		"client_ip": "192.0.2.7", "method": "GET", "path": "/v1/shelves/1/books/2", "protocol": "rest", "http_version": "1.1",
		"code": "NOT_FOUND", "status": 404., "request_bytes": 20., "response_bytes": 0.,
		"request_body_bytes": 25., "response_body_bytes": 70.,
		"request_messages": 1., "response_messages": 0., "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
		"principal": "alice", "user_agent": "evil\n{\"level\":\"forged\"}\x1b[31m",
	}
	if !maps.Equal(line, want) {
		t.Errorf("got  %v\nwant %v", line, want)
	}
}

func TestAccessLogSettings(t *testing.T) {
	for _, test := range []struct {
		name   string
		config *transomv1.Log
		code   codes.Code
		want   string // within the line; empty for no line
	}{
		{"the default is JSON where no terminal is", nil, codes.OK, `"code":"OK"`},
		{"text", &transomv1.Log{Format: transomv1.Log_TEXT}, codes.OK, `code=OK status=0`},
		{"off", &transomv1.Log{Access: proto.Bool(false)}, codes.Internal, ""},
		{"on", &transomv1.Log{Access: proto.Bool(true)}, codes.OK, `"code":"OK"`},
		{"WARN leaves out what went well", &transomv1.Log{Level: transomv1.Log_WARN}, codes.NotFound, ""},
		{"WARN keeps what failed here", &transomv1.Log{Level: transomv1.Log_WARN}, codes.Unavailable, `"level":"WARN"`},
		{"ERROR leaves out all", &transomv1.Log{Level: transomv1.Log_ERROR}, codes.Internal, ""},
		{"Semantics 55: a code above 16 is kept", nil, 5002, `"code":"Code(5002)"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			telemetry := setup(t, &transomv1.Telemetry{Log: test.config}, &out)
			play(t, policy.NewSet(nil, telemetry.Policies(routes(telemetry))...), request("/v1/x"), &policy.Outcome{Code: test.code})
			if test.want == "" && out.Len() > 0 || !strings.Contains(out.String(), test.want) {
				t.Errorf("got %q, want %q", out.String(), test.want)
			}
		})
	}
}

func TestAccessLogIsBounded(t *testing.T) {
	var out bytes.Buffer
	telemetry := setup(t, nil, &out)
	r := request("/" + strings.Repeat("a", 1<<16))
	r.HTTP.Header.Set("User-Agent", strings.Repeat("é", 1<<16))
	play(t, policy.NewSet(nil, telemetry.Policies(routes(telemetry))...), r, &policy.Outcome{})
	if out.Len() > 4<<10 {
		t.Errorf("the line has %d bytes, want at most 4 KiB", out.Len())
	}
	if !json.Valid(out.Bytes()) {
		t.Errorf("not JSON: %s", out.Bytes())
	}
}

func TestSetLevel(t *testing.T) {
	var out bytes.Buffer
	telemetry := setup(t, nil, &out)
	telemetry.Log.Debug("quiet")
	if err := telemetry.SetLevel(transomv1.Log_DEBUG); err != nil {
		t.Fatal(err)
	}
	telemetry.Log.Debug("loud")
	if got := out.String(); strings.Contains(got, "quiet") || !strings.Contains(got, "loud") {
		t.Errorf("got %q, want the second line only", got)
	}
	if err := telemetry.SetLevel(99); err == nil {
		t.Error("level 99 is accepted")
	}
}

func TestSetupRefuses(t *testing.T) {
	for _, test := range []struct {
		config *transomv1.Telemetry
		want   string
	}{
		{&transomv1.Telemetry{Log: &transomv1.Log{Format: 9}}, "telemetry.log: format 9 is not known; expected JSON or TEXT"},
		{&transomv1.Telemetry{Log: &transomv1.Log{Level: 9}}, "telemetry.log: level 9 is not known; expected DEBUG, INFO, WARN or ERROR"},
		{&transomv1.Telemetry{Otlp: &transomv1.Otlp{Endpoint: "localhost:4317"}}, `telemetry.otlp: endpoint is "localhost:4317"; expected http://host:4318`},
		{&transomv1.Telemetry{Otlp: &transomv1.Otlp{Endpoint: "ftp://u:pw@host"}}, `telemetry.otlp: endpoint is "ftp://u:xxxxx@host"; expected`},
		{&transomv1.Telemetry{Otlp: &transomv1.Otlp{Endpoint: "grpc://h:1", SampleRatio: proto.Float64(2)}}, "telemetry.otlp: sample_ratio is 2; expected a number from 0 to 1"},
	} {
		_, err := Setup(test.config, "", io.Discard)
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("got %v, want %s…", err, test.want)
		}
	}
}

func TestTerminal(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = null.Close() })
	for _, w := range []io.Writer{new(bytes.Buffer), null} {
		if terminal(w) {
			t.Errorf("%T is taken for a terminal", w)
		}
	}
}

func TestRequestID(t *testing.T) {
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	long := strings.Repeat("a", 128)
	for _, test := range []struct {
		name   string
		header http.Header
		want   string // empty for one made here
	}{
		{"none", http.Header{}, ""},
		{"the client's", http.Header{"X-Request-Id": {"a-b_C.9"}, "Traceparent": {parent}}, "a-b_C.9"},
		{"128 bytes", http.Header{"X-Request-Id": {long}}, long},
		{"129 bytes", http.Header{"X-Request-Id": {long + "a"}}, ""},
		{"empty", http.Header{"X-Request-Id": {""}}, ""},
		{"twice", http.Header{"X-Request-Id": {"a", "b"}}, ""},
		{"a space", http.Header{"X-Request-Id": {"a b"}}, ""},
		{"a line break", http.Header{"X-Request-Id": {"a\nb"}}, ""},
		{"not ASCII", http.Header{"X-Request-Id": {"é"}}, ""},
		{"the trace's", http.Header{"Traceparent": {parent}}, "4bf92f3577b34da6a3ce929d0e0e4736"},
		{"a later version", http.Header{"Traceparent": {"01" + parent[2:] + "-more"}}, "4bf92f3577b34da6a3ce929d0e0e4736"},
		{"version 00 with more", http.Header{"Traceparent": {parent + "-more"}}, ""},
		{"version ff", http.Header{"Traceparent": {"ff" + parent[2:]}}, ""},
		{"upper case", http.Header{"Traceparent": {strings.ToUpper(parent)}}, ""},
		{"zero trace", http.Header{"Traceparent": {"00-00000000000000000000000000000000-00f067aa0ba902b7-01"}}, ""},
		{"zero span", http.Header{"Traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"}}, ""},
		{"two", http.Header{"Traceparent": {parent, parent}}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := RequestID(test.header)
			if test.want != "" && got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if test.want == "" && (len(got) != 32 || !hexadecimal(got)) {
				t.Errorf("got %q, want 32 hexadecimal digits", got)
			}
		})
	}
}

func TestRequestIDsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		seen[newRequestID()] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d of 1000 ids differ", len(seen))
	}
}

func FuzzRequestID(f *testing.F) {
	f.Add("id", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	f.Fuzz(func(t *testing.T, id, parent string) {
		got := RequestID(http.Header{"X-Request-Id": {id}, "Traceparent": {parent}})
		if got == "" || len(got) > maxRequestID || slices.ContainsFunc([]byte(got), func(c byte) bool { return c <= ' ' || c > '~' }) {
			t.Errorf("id %q is no id", got)
		}
	})
}
