package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/transom-gateway/transom/bench/unwell"
)

// TestMain lets the test's own program be a peer.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == peerCommand {
		exit(runPeer(context.Background(), os.Args[2], os.Args[3:]))
	}
	os.Exit(m.Run())
}

// The whole harness runs, with grpc-gateway in Transom's place.
func TestRunOnItself(t *testing.T) {
	runtime.LockOSThread()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var out strings.Builder
	err := run(ctx, settings{
		rounds: 1, time: time.Second, only: "get-http2", subject: subjectSelf, idle: 1, limit: 2 * time.Minute,
	}, &out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"### get-http2", "| stand-in |", "| stand-in again (noise) |", "| grpc-gateway |"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, out.String())
		}
	}
}

// Servers fail behind the real binary: what clients see is counted, and no call
// with side effects arrives twice.
func TestUnwell(t *testing.T) {
	runtime.LockOSThread()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	transom := filepath.Join(t.TempDir(), "transom")
	build := exec.CommandContext(ctx, "go", "build", "-o", transom, "./cmd/transom")
	build.Dir = ".."
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building Transom: %v\n%s", err, text)
	}
	t.Setenv("ENVOY", "")
	sizes := unwell.Full()
	sizes.Creates, sizes.Try = 500, 100*time.Millisecond
	var out strings.Builder
	err := run(ctx, settings{
		rounds: 1, time: time.Second, only: "unwell,retries", cases: "kills", subject: subjectTransom, idle: 1, limit: 2 * time.Minute,
		transom: transom, strict: true, sizes: sizes,
	}, &out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{
		"| random kills, calls with side effects: arrived twice | Transom | 0 | 500 calls",
		"| UNAVAILABLE always | none | 3 Unavailable; 9 |",
		"| UNAVAILABLE always | maybe | 3 Unavailable; 3 |",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, out.String())
		}
	}
}

func TestChoose(t *testing.T) {
	good := settings{rounds: 1, time: time.Second, idle: 1, subject: subjectTransom}
	with := func(change func(*settings)) settings {
		s := good
		change(&s)
		return s
	}
	for name, tc := range map[string]struct {
		s    settings
		want int
		err  string
	}{
		"all":        {good, len(scenarios()), ""},
		"two":        {with(func(s *settings) { s.only = "post,list" }), 2, ""},
		"no such":    {with(func(s *settings) { s.only = "put" }), 0, `no scenario "put"`},
		"not itself": {with(func(s *settings) { s.only, s.subject = "grpc", subjectSelf }), 0, `no scenario "grpc"`},
		"no subject": {with(func(s *settings) { s.subject = "nginx" }), 0, "-subject"},
		"no rounds":  {with(func(s *settings) { s.rounds = 0 }), 0, "-rounds"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := choose(tc.s)
			if len(got) != tc.want || (err == nil) != (tc.err == "") || (err != nil && !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("got %d scenarios, %v; want %d, %q", len(got), err, tc.want, tc.err)
			}
		})
	}
}

// The ratio is taken round by round, so that what slows a whole round down
// does not show.
func TestRows(t *testing.T) {
	us := func(all ...int) (costs []cost) {
		for _, n := range all {
			costs = append(costs, cost{cpu: time.Duration(n) * time.Microsecond, allocs: math.NaN()})
		}
		return costs
	}
	work := timed{contenders: []contender{{label: "Transom"}, {label: "other", goal: 0.5}}}
	rows := work.rows([][]cost{us(10, 100, 11), us(20, 200, 20)}, settings{})
	if r := rows[0]; r.figure != 11 || !math.IsNaN(r.ratio) || !r.met() {
		t.Errorf("the subject's row is %+v", r)
	}
	if r := rows[1]; r.figure != 20 || r.ratio != 0.5 || r.low != 0.5 || r.high != 0.55 || !r.met() {
		t.Errorf("the other's row is %+v", r)
	}
}

func TestTable(t *testing.T) {
	var out strings.Builder
	sc := scenario{name: "get", title: "a GET", unit: "CPU µs"}
	rows := []row{
		{label: "Transom", figure: 62.44, allocs: 57, ratio: math.NaN()},
		{label: "nginx", figure: 8, allocs: math.NaN(), ratio: 7.8, low: 7, high: 8.125, goal: 0.6},
	}
	if err := writeRows(&out, sc, rows, nil); err != nil {
		t.Fatal(err)
	}
	withRates := []row{
		{label: "kept", figure: 15, allocs: 24, ratio: math.NaN(), rate: 40_100},
		{label: "a miss", figure: 60, allocs: 71, ratio: 0.25, low: 0.2, high: 0.3, rate: 13_300},
	}
	if err := writeRows(&out, sc, withRates, nil); err != nil {
		t.Fatal(err)
	}
	if err := writeRows(&out, sc, nil, errors.New("no luck")); err != nil {
		t.Fatal(err)
	}
	want := `
### get: a GET

| | CPU µs | allocations | Transom ÷ this | goal |
| --- | ---: | ---: | ---: | ---: |
| Transom | 62.4 | 57.0 |  |  |
| nginx | 8.00 |  | 7.80 (7.00–8.12) | ≤ 0.6 **missed** |

### get: a GET

| | CPU µs | calls/s | allocations | kept ÷ this | goal |
| --- | ---: | ---: | ---: | ---: | ---: |
| kept | 15.0 | 40100 | 24.0 |  |  |
| a miss | 60.0 | 13300 | 71.0 | 0.25 (0.20–0.30) |  |

### get: a GET

Failed: no luck
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	if errs := missed(sc, rows); len(errs) != 1 || !strings.Contains(errs[0].Error(), "nginx") {
		t.Errorf("missed: %v", errs)
	}
}

func TestForms(t *testing.T) {
	asJSON := http.Header{"Content-Type": {"application/json; charset=utf-8"}}
	stream := strings.Repeat("{\"result\":{\"sequence\":\"1\"}}\n", ticks)
	for name, tc := range map[string]struct {
		form form
		a    answer
		want string
		err  string
	}{
		"json":           {jsonForm, answer{header: asJSON, body: []byte(`{"a": 1}`)}, "map[a:1]", ""},
		"json, torn":     {jsonForm, answer{header: asJSON, body: []byte(`{"a": `)}, "", "no JSON"},
		"json, not":      {jsonForm, answer{body: []byte(`{}`)}, "", "content type"},
		"stream, torn":   {streamForm, answer{body: []byte("{}\n{")}, "", "message 2"},
		"stream, short":  {streamForm, answer{body: []byte("{}\n{}\n")}, "", "got 2 messages"},
		"stream":         {streamForm, answer{body: []byte(stream)}, fmt.Sprint(ticks), ""},
		"grpc":           {grpcForm, answer{trailer: http.Header{"Grpc-Status": {"0"}}, body: []byte{1}}, "[1]", ""},
		"grpc, refused":  {grpcForm, answer{header: http.Header{"Grpc-Status": {"12"}}}, "", `"12"`},
		"grpc, no state": {grpcForm, answer{}, "", `""`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tc.form(tc.a)
			if (err == nil) != (tc.err == "") || (err != nil && !strings.Contains(err.Error(), tc.err)) {
				t.Fatalf("got %v, want %q", err, tc.err)
			}
			if messages, ok := got.([]any); ok {
				if _, enveloped := messages[0].(map[string]any)["result"]; enveloped {
					t.Error("the envelope is still there")
				}
				got = len(messages)
			}
			if err == nil && fmt.Sprint(got) != tc.want {
				t.Errorf("got %v, want %s", got, tc.want)
			}
		})
	}
}

func TestParseMetrics(t *testing.T) {
	got, err := parseMetrics([]byte("# HELP go_memstats_mallocs_total x\ngo_memstats_mallocs_total 1.25e+06\n"))
	if err != nil || got != 1.25e6 {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := parseMetrics([]byte("up 1\n")); err == nil {
		t.Error("no error without the figure")
	}
}
