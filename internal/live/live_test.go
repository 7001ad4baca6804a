package live

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// record is a call with a value in each field.
func record() *Record {
	return &Record{
		Time: time.Unix(1, 0).UTC(), Route: "/v1/{name=shelves/*}", RPC: "a.v1.S/Get", RequestID: "r", ClientIP: "192.0.2.1", Method: "GET",
		Path: "/v1/shelves/1", Protocol: "rest", Code: "UNAVAILABLE", Status: 503, DurationMS: 12.5, RequestBytes: 1, ResponseBytes: 2,
		RequestBody: 3, ResponseBody: 4, RequestMessages: 5, ResponseMessages: 6, TraceID: "t", Principal: "alice", RefusedBy: "auth",
		Reason: "why", Cause: "cause", Endpoint: "e", Branch: "b", BranchNotReady: "n", Replayed: true, KeyPassed: true, Cache: "hit", Attempts: 7, Hedged: 8,
		RetryDenied: "budget", Operator: "token ops", UserAgent: "curl",
	}
}

// TestFilterNames: Surface 242: a filter reads each field of a record by the name that it has in JSON, and
// none besides.
func TestFilterNames(t *testing.T) {
	text, err := json.Marshal(record())
	if err != nil {
		t.Fatal(err)
	}
	var told map[string]any
	if err := json.Unmarshal(text, &told); err != nil {
		t.Fatal(err)
	}
	if all := reflect.TypeFor[Record]().NumField() - 1; len(told) != all { // Messages are no variable
		t.Errorf("the record of the test has %d fields of %d", len(told), all)
	}
	mine := map[string]any{}
	for name, v := range variables {
		mine[name] = v.of(record())
	}
	again, err := json.Marshal(mine)
	if err != nil {
		t.Fatal(err)
	}
	var read map[string]any
	if err := json.Unmarshal(again, &read); err != nil {
		t.Fatal(err)
	}
	if !maps.EqualFunc(told, read, reflect.DeepEqual) {
		t.Errorf("a filter reads %v\nof                %v", read, told)
	}
}

func TestFilter(t *testing.T) {
	for source, want := range map[string]bool{
		"":              true,
		"status >= 500": true,
		"status >= 500 && path.startsWith('/v1/') && principal == 'alice'": true,
		"duration_ms > 12 && duration_ms < 13":                             true,
		"code in ['OK', 'NOT_FOUND']":                                      false,
		"path.substring(200) == 'x'":                                       false, // has no answer
		"time > timestamp('2020-01-01T00:00:00Z')":                         false,
		"replayed && cache == 'hit' && path.lowerAscii().contains('shel')": true,
	} {
		f, err := newFilter(source)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if got := f == nil || f.takes(record()); got != want {
			t.Errorf("%q takes the call: %v, expected %v", source, got, want)
		}
	}
}

// TestBadFilters: Surface 242: what is wrong with a filter is said with its place, and what may have been
// meant.
func TestBadFilters(t *testing.T) {
	for source, want := range map[string]string{
		"statsu >= 500":                 `filter:1:1: there is no "statsu"; did you mean status?`,
		"status > 1 && body == ''":      `filter:1:15: there is no "body"; the names are those of the access log`,
		"status >=":                     "filter:1:10: Syntax error",
		"path":                          "filter:1:1: found an expression that gives string, expected bool",
		"status == 'OK'":                "filter:1:8: found no matching overload",
		strings.Repeat("x", 5000):       "filter: found 5000 bytes, expected 4096 at most",
		strings.Repeat("(", 3000) + "1": "filter:",
	} {
		var hub Hub
		if w, err := hub.Watch(source); err == nil || !strings.HasPrefix(err.Error(), want) || w != nil {
			t.Errorf("%.40q: %v, expected %q", source, err, want)
		}
		if hub.Watched() {
			t.Error("a bad filter watches")
		}
	}
}

// TestCostlyFilter: Surface 242: a filter that would compute for long takes nothing, and ends.
func TestCostlyFilter(t *testing.T) {
	many := "[" + strings.Repeat("1,", 90) + "1]"
	f, err := newFilter(many + ".all(a, " + many + ".all(b, " + many + ".all(c, a + b + c > 0)))")
	if err != nil {
		t.Fatal(err)
	}
	if f.takes(record()) {
		t.Error("700,000 steps have been made for one call")
	}
}

// TestBounds: Surface 242: a watch is told of 200 calls a second, and how many more there were; a call
// never waits for one that does not look.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hub Hub
		hub.Tell(record())
		watch, err := hub.Watch("status == 503")
		if err != nil {
			t.Fatal(err)
		}
		other := record()
		other.Status = 200
		for range 300 {
			hub.Tell(record())
			hub.Tell(other)
		}
		b, ok := watch.Next(t.Context())
		if len(b.Calls) != MaxPerSecond || b.Dropped != 100 || b.Missed != 0 || !ok {
			t.Errorf("%d calls, %d dropped, %d missed; expected 200, 100 and 0", len(b.Calls), b.Dropped, b.Missed)
		}
		for range waiting + 77 {
			hub.Tell(other)
		}
		if b, _ = watch.Next(t.Context()); len(b.Calls) != 0 || b.Missed != 77 || b.Dropped != 0 {
			t.Errorf("%d calls, %d dropped, %d missed; expected 0, 0 and 77", len(b.Calls), b.Dropped, b.Missed)
		}
		hub.Tell(record())
		if b, _ = watch.Next(t.Context()); len(b.Calls) != 1 {
			t.Errorf("%d calls in the next second, expected 1", len(b.Calls))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, ok := watch.Next(ctx); ok {
			t.Error("goes on after its context")
		}
	})
}

// TestMaxWatches: Surface 242: 64 watch at once, and who closes makes room.
func TestMaxWatches(t *testing.T) {
	var hub Hub
	var watches []*Watch
	for range MaxWatches {
		w, err := hub.Watch("")
		if err != nil {
			t.Fatal(err)
		}
		watches = append(watches, w)
	}
	if _, err := hub.Watch(""); !errors.Is(err, ErrTooMany{}) {
		t.Errorf("the 17th: %v", err)
	}
	watches[3].Close()
	watches[3].Close() // once more changes nothing
	if w, err := hub.Watch(""); err != nil {
		t.Error(err)
	} else {
		watches[3] = w
	}
	for _, w := range watches {
		w.Close()
	}
	if hub.Watched() {
		t.Error("somebody still watches")
	}
}
