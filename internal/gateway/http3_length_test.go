package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestHTTP3Bodies: Traffic 188: a request over HTTP/3 without a body is one for servers, and for the cache, as
// it would be over HTTP/2, though it tells no length; one with a body of unknown length passes whole.
func TestHTTP3Bodies(t *testing.T) {
	asked := 0
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // what is missing is seen
		w.Header().Set("Cache-Control", "max-age=60")
		asked++
		_, _ = fmt.Fprintf(w, "%d %s %d %v %q", asked, r.Method, r.ContentLength, r.TransferEncoding, body) // as above
	}))
	t.Cleanup(site.Close)
	g, _, _ := startHTTP3(t, gatewaytest.Options{
		Upstreams: fmt.Sprintf("site: { http: { servers: [%q] } }", strings.TrimPrefix(site.URL, "http://")),
		Config:    "routes: [{ match: { path_prefix: /site }, upstream: site, policy: { cache: {} } }]",
	}, func(l *transomv1.Listener) { l.HeaderTimeout = durationpb.New(time.Second) })
	do := func(method, path string, body io.Reader) string {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, g.URL+path, body)
		if err != nil {
			t.Fatal(err)
		}
		response, err := g.Client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		return fmt.Sprint(response.StatusCode, " ", string(text))
	}
	for _, test := range []struct {
		method, path string
		body         io.Reader
		want         string
	}{
		{"GET", "/site/a", nil, `200 1 GET 0 [] ""`},
		{"GET", "/site/a", nil, `200 1 GET 0 [] ""`}, // of the cache
		{"DELETE", "/site/b", nil, `200 2 DELETE 0 [] ""`},
		{"OPTIONS", "/site/b", nil, `200 3 OPTIONS 0 [] ""`},
		{"DELETE", "/site/b", struct{ io.Reader }{strings.NewReader("all of it")}, `200 4 DELETE -1 [chunked] "all of it"`},
		{"GET", "/site/c", struct{ io.Reader }{strings.NewReader("x")}, `200 5 GET -1 [chunked] "x"`},
		{"POST", "/site/b", struct{ io.Reader }{strings.NewReader("")}, `200 6 POST -1 [chunked] ""`},
		{"GET", "/v1/shelves/1", nil, `"name":"shelves/1"`},
	} {
		if got := do(test.method, test.path, test.body); !strings.Contains(got, test.want) {
			t.Errorf("%s %s: %s, want %s", test.method, test.path, got, test.want)
		}
	}
	never, in := io.Pipe()
	defer func() { _ = in.Close() }()
	if got := do("GET", "/site/d", never); !strings.HasPrefix(got, "408 ") {
		t.Errorf("a request that does not end: %s", got)
	}
}
