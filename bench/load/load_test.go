package load

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestReports(t *testing.T) {
	for name, tc := range map[string]struct {
		parse  func(string) (int64, error)
		report string
		want   int64
		err    string
	}{
		"wrk":            {parseWrk, "Running 1s test\n  4321 requests in 1.10s, 0.94MB read\nRequests/sec: 3928.18\n", 4321, ""},
		"wrk, refused":   {parseWrk, "  10 requests in 1.10s, 0.94MB read\n  Non-2xx or 3xx responses: 10\n", 0, "Non-2xx or 3xx responses: 10"},
		"wrk, reset":     {parseWrk, "  10 requests in 1.10s\n  Socket errors: connect 0, read 3, write 0, timeout 0\n", 0, "read 3"},
		"wrk, none":      {parseWrk, "  0 requests in 1.10s, 0B read\n", 0, "no answer at all"},
		"wrk, odd":       {parseWrk, "unable to connect", 0, "no line"},
		"h2load":         {parseH2load, "finished in 1.00s\nrequests: 90 total, 91 started, 90 done, 90 succeeded, 0 failed, 0 errored, 0 timeout\n", 90, ""},
		"h2load, failed": {parseH2load, "requests: 90 total, 91 started, 90 done, 80 succeeded, 10 failed, 0 errored, 0 timeout\n", 0, "10 failed"},
		"h2load, none":   {parseH2load, "requests: 0 total, 0 started, 0 done, 0 succeeded, 0 failed, 0 errored, 0 timeout\n", 0, "no answer at all"},
		"h2load, odd":    {parseH2load, "", 0, "no line"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tc.parse(tc.report)
			if got != tc.want || (err == nil) != (tc.err == "") || (err != nil && !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("got %d, %v; want %d, %q", got, err, tc.want, tc.err)
			}
		})
	}
}

// Both programs send what they are told, and count what was answered.
func TestTools(t *testing.T) {
	if missing := Missing("wrk", "h2load"); missing != nil {
		t.Fatalf("install %v: bench/install.sh", missing)
	}
	for name, tc := range map[string]struct {
		tool    Tool
		options Options
	}{
		"wrk":              {Wrk, Options{Time: time.Second, Connections: 2}},
		"h2load":           {H2load, Options{Time: time.Second, Connections: 2, Streams: 2}},
		"h2load by number": {H2load, Options{Time: 2 * time.Second, Connections: 2, Requests: 50, HTTP1: true}},
	} {
		t.Run(name, func(t *testing.T) {
			var served, wrong atomic.Int64
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				served.Add(1)
				body, err := io.ReadAll(r.Body)
				if err != nil || string(body) != "a \"body\"\n\x00" || r.Method != http.MethodPost ||
					r.Header.Get("X-Told") != "yes" || r.URL.RequestURI() != "/path?a=b" {
					wrong.Add(1)
				}
			}))
			server.Config.Protocols = new(http.Protocols)
			server.Config.Protocols.SetHTTP1(true)
			server.Config.Protocols.SetUnencryptedHTTP2(true)
			server.Start()
			defer server.Close()
			done, err := tc.tool(context.Background(), server.URL, Request{
				Method: "POST", Path: "/path?a=b", Headers: map[string]string{"X-Told": "yes"}, Body: []byte("a \"body\"\n\x00"),
			}, tc.options)
			if err != nil {
				t.Fatal(err)
			}
			if wrong.Load() != 0 || done <= 0 || done > served.Load() {
				t.Errorf("%d of %d requests were wrong; counted %d", wrong.Load(), served.Load(), done)
			}
			if n := tc.options.Requests; n > 0 && done != int64(2*n) {
				t.Errorf("%d requests were answered, want %d in each of two seconds", done, n)
			}
		})
	}
}

// Requests that are to be apart are, by their paths or by a header, over two runs too.
func TestApart(t *testing.T) {
	if missing := Missing("wrk"); missing != nil {
		t.Fatalf("install %v: bench/install.sh", missing)
	}
	for name, of := range map[string]struct {
		request Request
		value   func(*http.Request) string
	}{
		"path":   {Request{Path: "/a", Apart: true}, func(r *http.Request) string { return r.URL.Path }},
		"header": {Request{Path: "/", Headers: map[string]string{"Key": "/a"}, ApartHeader: "Key"}, func(r *http.Request) string { return r.Header.Get("Key") }},
	} {
		t.Run(name, func(t *testing.T) {
			var values sync.Map
			var served, again atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				served.Add(1)
				value := of.value(r)
				if _, twice := values.LoadOrStore(value, true); twice || r.Method != http.MethodGet || !strings.HasPrefix(value, "/a-") {
					again.Add(1)
				}
			}))
			defer server.Close()
			for range 2 {
				if _, err := Wrk(context.Background(), server.URL, of.request, Options{Time: time.Second, Connections: 2}); err != nil {
					t.Fatal(err)
				}
			}
			if served.Load() < 2 || again.Load() > 0 {
				t.Errorf("%d of %d are not new", again.Load(), served.Load())
			}
		})
	}
}
