package observe

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// quiet has no access log.
func quiet(t testing.TB) *Telemetry {
	t.Helper()
	off := false
	return setup(t, &transomv1.Telemetry{Log: &transomv1.Log{Access: &off}}, t.Output())
}

// scrape returns the lines of our own metrics that hold every one of the words.
func scrape(t testing.TB, m *Metrics, words ...string) []string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("the scrape answers %d: %s", w.Code, w.Body)
	}
	var lines []string
next:
	for line := range strings.Lines(w.Body.String()) {
		if !strings.HasPrefix(line, "transom_") {
			continue
		}
		for _, word := range words {
			if !strings.Contains(line, word) {
				continue next
			}
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}

func wantLine(t *testing.T, m *Metrics, line string) {
	t.Helper()
	if got := scrape(t, m, line); len(got) != 1 {
		t.Errorf("no line %q among\n%s", line, strings.Join(scrape(t, m, line[:strings.Index(line+"{", "{")]), "\n"))
	}
}

func TestRequestMetrics(t *testing.T) {
	telemetry := quiet(t)
	set := policy.NewSet(nil, telemetry.Policies(routes(telemetry))...)
	for range 3 {
		play(t, set, request("/v1/shelves/1/books/2"), &policy.Outcome{Code: codes.OK, HTTPStatus: 200, RequestBytes: 20, ResponseBytes: 300})
	}
	play(t, set, request("/v1/shelves/1/books/3"), &policy.Outcome{Code: codes.NotFound, HTTPStatus: 404})
	play(t, set, request("/v1/shelves/1/books/3"), &policy.Outcome{Code: 5002, HTTPStatus: 500})
	stream := request("/v1/shelves/1/books:watch")
	stream.Stream, stream.Protocol = true, "websocket"
	play(t, set, stream, &policy.Outcome{RequestMessages: 2, ResponseMessages: 7})

	labels := `protocol="rest",route="` + testRoute + `",rpc="` + testRPC + `"`
	for _, line := range []string{
		`transom_requests_total{code="OK",` + labels + `} 3`,
		`transom_requests_total{code="NOT_FOUND",` + labels + `} 1`,
		`transom_requests_total{code="OTHER",` + labels + `} 1`,
		`transom_request_duration_seconds_count{code="OK",` + labels + `} 3`,
		`transom_requests_in_flight{` + labels + `} 0`,
		`transom_request_size_bytes_sum{` + labels + `} 60`,
		`transom_response_size_bytes_sum{` + labels + `} 900`,
		`transom_response_size_bytes_bucket{` + labels + `,le="1024"} 5`,
		`transom_stream_messages_total{direction="up",protocol="websocket",route="` + testRoute + `",rpc="` + testRPC + `"} 2`,
		`transom_stream_messages_total{direction="down",protocol="websocket",route="` + testRoute + `",rpc="` + testRPC + `"} 7`,
		`transom_build_info{go="go`,
	} {
		wantLine(t, telemetry.Metrics, line)
	}
	if got := scrape(t, telemetry.Metrics, "/books/2"); len(got) > 0 {
		t.Errorf("a raw path is a label: %v", got)
	}
}

func TestInFlight(t *testing.T) {
	telemetry := quiet(t)
	set := policy.NewSet(nil, telemetry.Policies(routes(telemetry))...)
	r := request("/v1/x")
	if _, err := set.Admit(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	labels := `{protocol="rest",route="` + testRoute + `",rpc="` + testRPC + `"}`
	wantLine(t, telemetry.Metrics, "transom_requests_in_flight"+labels+" 1")
	set.Done(r, &policy.Outcome{})
	wantLine(t, telemetry.Metrics, "transom_requests_in_flight"+labels+" 0")
}

func TestCallsGoToTheirRoute(t *testing.T) {
	telemetry := quiet(t)
	m := telemetry.Metrics
	set := policy.NewSet(nil, telemetry.Policies(Method{RPC: "s/M", Routes: []*RouteMetrics{m.Route("s/M", "/a"), m.Route("s/M", "/b")}})...)
	for _, route := range []string{"/b", "/b", "/a", "/unknown"} {
		r := request("/x")
		r.Route = route
		play(t, set, r, &policy.Outcome{})
	}
	play(t, policy.NewSet(nil, telemetry.Policies(Method{})...), request("/never/seen"), &policy.Outcome{Code: codes.NotFound})
	wantLine(t, m, `transom_requests_total{code="OK",protocol="rest",route="/a",rpc="s/M"} 2`)
	wantLine(t, m, `transom_requests_total{code="OK",protocol="rest",route="/b",rpc="s/M"} 2`)
	wantLine(t, m, `transom_requests_total{code="NOT_FOUND",protocol="rest",route="unmatched",rpc=""} 1`)
}

func TestRetain(t *testing.T) {
	telemetry := quiet(t)
	m := telemetry.Metrics
	kept, gone := m.Route("s/Kept", "/kept"), m.Route("s/Gone", "/gone")
	outcome := &policy.Outcome{}
	old := policy.NewSet(nil, telemetry.Policies(Method{RPC: "s/Gone", Routes: []*RouteMetrics{gone}, Behind: []string{"auth"}})...)
	play(t, policy.NewSet(nil, telemetry.Policies(Method{RPC: "s/Kept", Routes: []*RouteMetrics{kept}, Behind: []string{"auth"}})...), request("/"), outcome)
	play(t, old, request("/"), outcome)

	m.Retain([]*RouteMetrics{kept})
	if got := scrape(t, m, "Gone"); len(got) > 0 {
		t.Errorf("counters of the route that is gone: %v", got)
	}
	if m.Route("s/Kept", "/kept") != kept {
		t.Error("the kept route has new counters")
	}
	wantLine(t, m, `transom_requests_total{code="OK",protocol="rest",route="/kept",rpc="s/Kept"} 1`)

	// A call of the old schema that comes late leaves nothing behind.
	r := request("/")
	r.Protocol = "grpc"
	play(t, old, r, &policy.Outcome{Code: codes.Aborted})
	if got := scrape(t, m, "Gone"); len(got) > 0 {
		t.Errorf("a late call brought back %v", got)
	}
	// The route comes back; late calls must not take its counters away.
	again := m.Route("s/Gone", "/gone")
	if again == gone {
		t.Fatal("the route came back with its retired counters")
	}
	play(t, policy.NewSet(nil, telemetry.Policies(Method{RPC: "s/Gone", Routes: []*RouteMetrics{again}})...), request("/"), outcome)
	r.Protocol = "connect"
	play(t, old, r, outcome)
	wantLine(t, m, `transom_requests_total{code="OK",protocol="rest",route="/gone",rpc="s/Gone"} 1`)
}

func TestConcurrentCallsAndReloads(t *testing.T) {
	telemetry := quiet(t)
	m := telemetry.Metrics
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 200 {
				route := m.Route("s/M", "/m")
				set := policy.NewSet(nil, telemetry.Policies(Method{RPC: "s/M", Routes: []*RouteMetrics{route}, Behind: []string{"auth"}})...)
				r := request("/")
				r.Protocol = protocols[(i+worker)%len(protocols)]
				play(t, set, r, &policy.Outcome{Code: codes.Code(i % 20)})
				if i%50 == 0 {
					m.Retain(nil)
					scrape(t, m)
				}
			}
		})
	}
	wg.Wait()
}

func TestInvalidNamesAreLabelsAllTheSame(t *testing.T) {
	telemetry := quiet(t)
	route := telemetry.Metrics.Route("s/\xff", "/\xfe")
	r := request("/")
	r.Protocol = "\xfd"
	play(t, policy.NewSet(nil, telemetry.Policies(Method{RPC: "s/\xff", Routes: []*RouteMetrics{route}, Behind: []string{"\xfc"}})...), r, &policy.Outcome{Code: 1 << 31})
	wantLine(t, telemetry.Metrics, `transom_requests_total{code="OTHER",protocol="other",`)
}

// fake is a policy that may refuse.
type fake struct {
	name string
	err  error
}

func (f fake) Name() string { return f.name }

func (f fake) Admit(ctx context.Context, _ *policy.Request) (context.Context, policy.Done, error) {
	return ctx, nil, f.err
}

func TestDecisions(t *testing.T) {
	telemetry := quiet(t)
	behind := []policy.Part{fake{name: "auth"}, fake{name: "auth"}, fake{"rate_limit", status.Error(codes.ResourceExhausted, "")}, fake{name: "validate"}}
	method := routes(telemetry)
	for _, p := range behind {
		method.Behind = append(method.Behind, p.Name())
	}
	r := request("/")
	play(t, policy.NewSet(nil, append(telemetry.Policies(method), behind...)...), r, &policy.Outcome{})
	if r.RefusedBy != "rate_limit" {
		t.Errorf("refused by %q, want rate_limit", r.RefusedBy)
	}
	for _, line := range []string{
		`policy="auth",result="admitted",rpc="` + testRPC + `"} 1`,
		`policy="auth",result="refused",rpc="` + testRPC + `"} 0`,
		`policy="rate_limit",result="admitted",rpc="` + testRPC + `"} 0`,
		`policy="rate_limit",result="refused",rpc="` + testRPC + `"} 1`,
		`policy="validate",result="admitted",rpc="` + testRPC + `"} 0`,
	} {
		wantLine(t, telemetry.Metrics, "transom_policy_decisions_total{"+line)
	}
}

// TestResolvedDecisions: what Decisions resolves counts as Decision does, from several goroutines at once.
func TestResolvedDecisions(t *testing.T) {
	m := NewMetrics("")
	count := m.Decisions("cache", testRPC)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for _, result := range []string{"hit", "hit", "miss", "no result", storeAway} {
				count(result)
			}
		})
	}
	all.Wait()
	m.Decision("cache", testRPC, "hit")
	for _, line := range []string{`"hit",rpc="` + testRPC + `"} 17`, `"miss",rpc="` + testRPC + `"} 8`, `"unavailable_store",rpc="` + testRPC + `"} 8`} {
		wantLine(t, m, `transom_policy_decisions_total{policy="cache",result=`+line)
	}
	if got := scrape(t, m, "transom_policy_decisions_total{"); len(got) != 3 {
		t.Errorf("%v: want three results", got)
	}
}

func TestReloadMetrics(t *testing.T) {
	m := NewMetrics("")
	wantLine(t, m, `transom_reloads_total{result="failure"} 0`)
	m.ReloadSucceeded(time.Now().Add(-2 * time.Second))
	wantLine(t, m, `transom_reload_last_successful 1`)
	m.ReloadFailed(time.Now(), Place{"a.proto", 3, 7}, Place{"a.proto", 3, 7}, Place{File: "b.proto"})
	wantLine(t, m, `transom_reloads_total{result="success"} 1`)
	wantLine(t, m, `transom_reloads_total{result="failure"} 1`)
	wantLine(t, m, `transom_reload_last_successful 0`)
	// Semantics 50: file, line and column stand in the metrics too.
	wantLine(t, m, `transom_reload_problems{column="7",file="a.proto",line="3"} 2`)
	wantLine(t, m, `transom_reload_problems{column="0",file="b.proto",line="0"} 1`)
	if got := scrape(t, m, "transom_reload_last_success_timestamp_seconds 1."); len(got) != 1 {
		t.Errorf("no time of this century: %v", scrape(t, m, "timestamp"))
	}
	m.ReloadFailed(time.Now(), make([]Place, 1000)...)
	m.ReloadSucceeded(time.Now())
	if got := scrape(t, m, "transom_reload_problems"); len(got) > 0 {
		t.Errorf("problems are left after a reload that worked: %v", got)
	}
}

func TestUpstreams(t *testing.T) {
	m := NewMetrics("")
	if got := scrape(t, m, "transom_upstream_state"); len(got) > 0 {
		t.Errorf("states of no upstreams: %v", got)
	}
	state := "READY"
	m.SetUpstreams(func(yield func(string, Upstream) bool) {
		yield("books", Upstream{State: state, Waiting: 2, Served: 4, Refused: 1})
	})
	wantLine(t, m, `transom_upstream_state{state="READY",upstream="books"} 1`)
	wantLine(t, m, `transom_upstream_calls_waiting{upstream="books"} 2`)
	wantLine(t, m, `transom_upstream_calls_waited_total{result="served",upstream="books"} 4`)
	wantLine(t, m, `transom_upstream_calls_waited_total{result="refused",upstream="books"} 1`)
	state = "TRANSIENT_FAILURE"
	wantLine(t, m, `transom_upstream_state{state="TRANSIENT_FAILURE",upstream="books"} 1`)
}

// TestEventCounters: Events 158: what becomes of events is counted by sink and topic, what is dropped by its reason, too.
func TestEventCounters(t *testing.T) {
	m := quiet(t).Metrics
	for n, what := range []string{"published", "sent", "retried", "rejected", "lost"} {
		m.Event(what, "hook", "books", n+1)
		m.Event(what, "hook", "books", n+1)
		wantLine(t, m, fmt.Sprintf(`transom_events_%s_total{sink="hook",topic="books"} %d`, what, 2*(n+1)))
	}
	for _, reason := range []string{"queue_full", "log_full", "shutdown"} {
		m.Dropped("hook", "books", reason, 3)
		wantLine(t, m, `transom_events_dropped_total{reason="`+reason+`",sink="hook",topic="books"} 3`)
	}
	m.Event("something else", "hook", "books", 1)
	if got := scrape(t, m, "transom_events_", "books"); len(got) != 8 {
		t.Errorf("got %q", got)
	}
}
