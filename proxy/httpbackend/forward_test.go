package httpbackend_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/front"
	"github.com/transom-gateway/transom/proxy/httpbackend"
)

// TestForward carries ordinary requests through, by each protocol of clients and servers.
func TestForward(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("the server reads %v", err)
		}
		w.Header().Set("X-Seen", r.Method+" "+r.RequestURI+" "+r.Host)
		w.Header()["X-Twice"] = []string{"a", "b"}
		_, _ = w.Write(body)
	}
	for name, test := range map[string]struct {
		address  string
		protocol httpbackend.Protocol
	}{
		"H1":  {serve(t, handler), httpbackend.H1},
		"H2C": {serveH2C(t, handler), httpbackend.H2C},
	} {
		t.Run("server "+name, func(t *testing.T) {
			g := newRig(t, test.address, httpbackend.Options{Protocol: test.protocol})
			forAll(t, g, func(t *testing.T, c *front.Client) {
				large := strings.Repeat("0123456789", 30_000)
				for _, body := range []string{"", "small", large} {
					got := do(t, c, "POST", "/a%2Fb//c?x=%20y", strings.NewReader(body))
					if got.StatusCode != 200 || got.body != body || got.err != nil {
						t.Errorf("%d of %d bytes came back, %d, %v", len(got.body), len(body), got.StatusCode, got.err)
					}
					if want := "POST /a%2Fb//c?x=%20y " + strings.SplitN(c.URL, "//", 2)[1]; got.Header.Get("X-Seen") != want {
						t.Errorf("the server saw %q, want %q", got.Header.Get("X-Seen"), want)
					}
					if twice := got.Header["X-Twice"]; len(twice) != 2 {
						t.Errorf("two lines became %q", twice)
					}
				}
				got := do(t, c, "PUT", "/", io.MultiReader(bytes.NewReader([]byte(large))))
				if got.body != large {
					t.Errorf("%d of %d bytes of a body of unknown length came back", len(got.body), len(large))
				}
				if got := do(t, c, "GET", "//double//x", nil); got.Header.Get("X-Seen")[:15] != "GET //double//x" {
					t.Errorf("the server saw %q", got.Header.Get("X-Seen"))
				}
			})
		})
	}
}
