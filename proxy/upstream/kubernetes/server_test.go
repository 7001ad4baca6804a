package kubernetes

import (
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// apiServer speaks list and watch for the EndpointSlices of one namespace, and says what
// a test wants.
type apiServer struct {
	*httptest.Server
	folder string // of the service account
	asked  chan url.Values
	lists  chan answer
	// watches each end when their channel is closed.
	watches chan watch
}

type answer struct {
	code int
	body string
}

type watch struct {
	answer
	events chan string
}

func startAPI(t *testing.T) *apiServer {
	t.Helper()
	s := &apiServer{folder: t.TempDir(), asked: make(chan url.Values, 100), lists: make(chan answer, 10), watches: make(chan watch, 10)}
	s.Server = httptest.NewUnstartedServer(s)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	s.put(t, "ca.crt", string(authority))
	s.put(t, "token", "first\n")
	s.put(t, "namespace", "shop")
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBERNETES_SERVICE_HOST", host)
	t.Setenv("KUBERNETES_SERVICE_PORT", port)
	return s
}

func (s *apiServer) put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.folder, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	query.Set("token", r.Header.Get("Authorization"))
	s.asked <- query
	if r.Method != http.MethodGet || r.URL.Path != "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices" || query.Get("labelSelector") != "kubernetes.io/service-name=books" {
		http.Error(w, "found "+r.Method+" "+r.URL.String(), http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if query.Get("watch") == "" {
		select {
		case a := <-s.lists:
			w.WriteHeader(a.code)
			_, _ = w.Write([]byte(a.body)) // else the test ends
		case <-r.Context().Done():
		}
		return
	}
	select {
	case a := <-s.watches:
		w.WriteHeader(a.code)
		_, _ = w.Write([]byte(a.body)) // as above
		s.events(w, r, a.events)
	case <-r.Context().Done():
	}
}

func (*apiServer) events(w http.ResponseWriter, r *http.Request, events chan string) {
	for {
		if err := http.NewResponseController(w).Flush(); err != nil {
			return // the client has gone
		}
		select {
		case text, ok := <-events:
			if !ok {
				return
			}
			_, _ = w.Write([]byte(text)) // as above
		case <-r.Context().Done():
			return
		}
	}
}

// recorded is a file of testdata.
func recorded(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// follow watches the service and returns what it is told, as text.
func (s *apiServer) follow(t *testing.T, service string) chan string {
	t.Helper()
	parsed, err := ParseService(service)
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan string, 100)
	w := &Watcher{service: parsed, api: &api{folder: s.folder}, pause: 10 * time.Millisecond, now: func(all []Endpoint, err error) {
		if err != nil {
			told <- err.Error()
			return
		}
		told <- text(all)
	}}
	w.start()
	t.Cleanup(w.Close)
	return told
}

func text(all []Endpoint) string {
	var b strings.Builder
	for i, e := range all {
		if i > 0 {
			b.WriteString(" ")
		}
		b.WriteString(strings.Join(e.Addresses, "+"))
		if e.Terminating {
			b.WriteString("(last)")
		}
		if e.Zone != "" {
			fmt.Fprintf(&b, "@%s", e.Zone)
		}
	}
	return b.String()
}
