// Package gatewaytest starts real parts for tests: a gateway in front of the
// bookstore, a Redis server. What it starts ends with the test.
//
//	g := gatewaytest.Start(t, gatewaytest.Options{})
//	response := g.Do(t, "GET", "/v1/shelves/1", nil)
package gatewaytest

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/examples/bookstore"
	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/gateway"
	"github.com/transom-gateway/transom/internal/observe"
	"github.com/transom-gateway/transom/internal/overload"
	"github.com/transom-gateway/transom/internal/server"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// Options describe a gateway.
type Options struct {
	// Traces is the endpoint of an OTLP collector that gets the spans. Empty: there are
	// none.
	Traces string
	// Config is added to the end of the transom.yaml that names the bookstore's
	// protos and its server.
	Config string
	// Backend is the server's address; empty starts a bookstore.
	Backend string
	// Upstream is added to the fields of its upstreams.NAME.grpc, such as "connections: 2".
	Upstream string
	// Upstreams are further ones, such as "site: { http: { servers: […] } }".
	Upstreams string
	// Protos are further files of the folder of protos, by name.
	Protos map[string]string
	// NoBookstore leaves the bookstore's protos out.
	NoBookstore bool
	// Log receives the log; nil drops it.
	Log io.Writer
	// Events is where events go; nil for nowhere.
	Events events.Publisher
	// Sinks are the kinds of sinks that it has, without Events; the zero value has none.
	Sinks gateway.EventSinks
	// Overload says to calls, and not to connections, how short memory is; nil for not at all.
	Overload *overload.Guard
	// Listen is where the gateway listens; empty is a free port of loopback.
	Listen string
	// Admin has it listen for the operator, too.
	Admin bool
	// Listener changes the listener; nil leaves it.
	Listener func(*transomv1.Listener)
}

// Gateway is a gateway that listens on loopback.
type Gateway struct {
	*gateway.Gateway
	// URL is "http://127.0.0.1:PORT", Addr the same without the scheme.
	URL, Addr string
	// Admin is that of the operator's listener, with the scheme; "" for none.
	Admin string
	// Backend is the address of the gRPC server.
	Backend string
	// Folder is that of the protos, Config the file transom.yaml.
	Folder, Config string
	// Telemetry is the gateway's.
	Telemetry *observe.Telemetry
	// Client is an HTTP/1.1 client, HTTP2 one for cleartext HTTP/2. Neither
	// follows redirects nor decompresses.
	Client, HTTP2 *http.Client
	// Server is the one in front, as production has it.
	Server *server.Server

	listen   string
	admin    string
	listener func(*transomv1.Listener)
}

// Start starts a gateway and fails the test where that does not work.
func Start(t testing.TB, o Options) *Gateway {
	t.Helper()
	g := &Gateway{Backend: o.Backend, Folder: filepath.Join(t.TempDir(), "protos"), listen: cmp.Or(o.Listen, "127.0.0.1:0"), admin: config.NoAdmin, listener: o.Listener}
	if o.Admin {
		g.admin = "127.0.0.1:0"
	}
	if g.Backend == "" {
		g.Backend = StartBookstore(t)
	}
	g.Config = filepath.Join(filepath.Dir(g.Folder), "transom.yaml")
	writeProtos(t, g.Folder, o)
	client := ""
	if name := os.Getenv(ClientVariable); name != "" {
		client = ", client: " + name
	}
	if o.Upstream != "" {
		client += ", " + o.Upstream
	}
	more := ""
	if o.Upstreams != "" {
		more = ", " + o.Upstreams
	}
	text := "schemas: [{ directory: ./protos }]\n" +
		"upstreams: { backend: { grpc: { target: \"" + g.Backend + "\"" + client + " } }" + more + " }\n" + o.Config
	write(t, g.Config, text)

	log := o.Log
	if log == nil {
		log = io.Discard
	}
	var err error
	if g.Telemetry, err = observe.Setup(o.telemetry(), "test", log); err != nil {
		t.Fatal(err)
	}
	not := server.NewNotReloaded(g.Telemetry)
	g.Gateway = gateway.New(gateway.Options{Events: opened(o.Events), Sinks: o.Sinks, Overload: o.Overload, Load: g.load, Telemetry: g.Telemetry, Version: "test", NotReloaded: not.Set, NeverRead: not.SetNeverRead})
	if _, err := g.Reload(t.Context()); err != nil {
		g.Close()
		t.Fatalf("loading the gateway:\n%v", err)
	}
	g.serve(t, not)
	return g
}

// opened opens a publisher.
func opened(p events.Publisher) func(*policy.Generation) (events.Publisher, error) {
	if p == nil {
		return nil
	}
	return func(*policy.Generation) (events.Publisher, error) { return p, nil }
}

// load reads the configuration, of which one listener of our own stands for all.
func (g *Gateway) load() (*config.File, error) {
	file, problems := config.Load(g.Config)
	if err := problems.Err(); err != nil {
		return file, err
	}
	file.Listen(g.listen, g.admin)
	if g.listener != nil {
		g.listener(file.Config.Listeners[0])
	}
	return file, nil
}

func (g *Gateway) serve(t testing.TB, not *server.NotReloaded) {
	var err error
	g.Server, err = server.Listen(server.Options{
		File: g.Gateway.Config(), Gateway: g.Gateway, Telemetry: g.Telemetry, NotReloaded: not, Version: "test",
	})
	if err != nil {
		g.Close()
		t.Fatal(err)
	}
	g.Addr = g.Server.Addresses()[0].String()
	g.URL = "http://" + g.Addr
	if at := g.Server.Admin(); at != nil {
		g.Admin = "http://" + at.String()
	}
	g.Server.Start()
	g.Client, g.HTTP2 = newClient(false), newClient(true)
	t.Cleanup(func() {
		g.Client.CloseIdleConnections()
		g.HTTP2.CloseIdleConnections()
		g.Drain()
		if err := g.Server.Close(); err != nil {
			t.Error(err)
		}
		if err := g.Wait(context.Background()); err != nil {
			t.Error(err)
		}
		g.Close()
	})
}

func newClient(http2 bool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetUnencryptedHTTP2(http2)
	return &http.Client{
		Transport:     &http.Transport{Protocols: protocols, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// StartBookstore starts a bookstore server and returns its address.
func StartBookstore(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- bookstore.ServeListener(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func writeProtos(t testing.TB, folder string, o Options) {
	t.Helper()
	if o.NoBookstore {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	} else if err := os.CopyFS(filepath.Dir(folder), bookstore.Protos); err != nil {
		t.Fatal(err)
	}
	for name, text := range o.Protos {
		write(t, filepath.Join(folder, name), text)
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Answer is an HTTP answer, read to its end.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Do sends one HTTP/1.1 request. Headers are name, value pairs; a body without a
// Content-Type is sent as JSON.
func (g *Gateway) Do(t testing.TB, method, path, body string, headers ...string) Answer {
	t.Helper()
	return g.DoWith(t, g.Client, method, path, body, headers...)
}

// DoWith is Do with a client of the caller's choice.
func (g *Gateway) DoWith(t testing.TB, client *http.Client, method, path, body string, headers ...string) Answer {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	request, err := http.NewRequestWithContext(t.Context(), method, g.URL+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i+1] == "" {
			request.Header.Del(headers[i])
		} else {
			request.Header.Set(headers[i], headers[i+1])
		}
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var text bytes.Buffer
	if _, err := text.ReadFrom(response.Body); err != nil {
		t.Fatal(err)
	}
	return Answer{Status: response.StatusCode, Header: response.Header, Body: text.String()}
}

func (o *Options) telemetry() *transomv1.Telemetry {
	if o.Traces == "" {
		return &transomv1.Telemetry{}
	}
	return &transomv1.Telemetry{Otlp: &transomv1.Otlp{Endpoint: o.Traces}}
}
