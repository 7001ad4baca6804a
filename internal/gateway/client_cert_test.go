package gateway_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/quic-go/quic-go/http3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/keytest"
	"github.com/transom-gateway/transom/internal/testing/poll"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// certified is a gateway whose clients have certificates.
type certified struct {
	*gatewaytest.Gateway
	keeper  *doorBackend
	ca      *keytest.Authority
	trust   *tls.Config
	folder  string
	address string
}

// startCertified starts one with a configuration, whose listener takes certificates and also none.
func startCertified(t *testing.T, config string) *certified {
	t.Helper()
	c := &certified{keeper: &doorBackend{told: map[string][]metadata.MD{}}, ca: keytest.NewAuthority(t, "ca"), folder: t.TempDir()}
	for name, text := range map[string]string{"ca.pem": c.ca.PEM, "crl.pem": c.ca.Revoked(t, time.Now().Add(time.Hour))} {
		if err := os.WriteFile(filepath.Join(c.folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	listener, trust := gatewaytest.ServeTLS(t)
	c.trust = trust
	c.Gateway = gatewaytest.Start(t, gatewaytest.Options{
		Backend: grpctest.ServeAny(t, c.keeper.serve), NoBookstore: true, Protos: map[string]string{"door/v1/door.proto": doorProto()},
		Config: config, Upstreams: "site: { http: { servers: [\"" + startSite(t) + "\"] } }",
		Listener: func(l *transomv1.Listener) {
			listener(l)
			l.Tls.ClientCa, l.Tls.ClientAuth = filepath.Join(c.folder, "ca.pem"), transomv1.ServerTls_OPTIONAL
			l.Tls.Crl = filepath.Join(c.folder, "crl.pem")
		},
	})
	c.URL, c.address = strings.Replace(c.URL, "http:", "https:", 1), c.Addr
	return c
}

// with is the TLS of a client with a certificate made of a template, or without for nil.
func (c *certified) with(t *testing.T, template *x509.Certificate) *tls.Config {
	t.Helper()
	config := c.trust.Clone()
	if template != nil {
		pem, key := c.ca.Issue(t, *template)
		pair, err := tls.X509KeyPair([]byte(pem), []byte(key))
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config
}

// clients are clients of all versions of HTTP, by name.
func clients(t *testing.T, config *tls.Config) map[string]*http.Client {
	t.Helper()
	all := map[string]*http.Client{}
	for _, name := range []string{"HTTP/1.1", "HTTP/2"} {
		protocols := new(http.Protocols)
		protocols.SetHTTP1(name == "HTTP/1.1")
		protocols.SetHTTP2(name == "HTTP/2")
		transport := &http.Transport{Protocols: protocols, TLSClientConfig: config.Clone()}
		t.Cleanup(transport.CloseIdleConnections)
		all[name] = &http.Client{Transport: transport}
	}
	transport := &http3.Transport{TLSClientConfig: config.Clone()}
	t.Cleanup(func() { _ = transport.Close() })
	all["HTTP/3"] = &http.Client{Transport: transport}
	return all
}

func uri(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

const certifiedPolicies = `
policies:
  - { selector: door.v1.Jwt.*, policy: { auth: { mtls: {} } } }
  - { selector: door.v1.Scopes.*, policy: { auth: { mtls: { from: [COMMON_NAME] } } } }
  - { selector: door.v1.Claims.*, policy: { auth: { mtls: {}, allow: "cert.common_name == 'ada' && 'ada.books.test' in cert.dns_names && cert.not_after > cert.not_before && size(cert.fingerprint) == 64 && cert.issuer == 'CN=ca'" } } }
  - { selector: door.v1.Rate.*, policy: { auth: { mtls: {} }, rate_limit: [{ requests: 1, per: 3600s, key: PRINCIPAL }] } }
  - { selector: door.v1.Roles.*, policy: { auth: { mtls: {}, allow: "headers['x-forwarded-client-cert'] != ''" } } }
`

// TestMutualTLS: Traffic 185: the principal of a call is the name in the client's certificate, by every
// protocol; without one the call is refused, and says why.
func TestMutualTLS(t *testing.T) {
	c := startCertified(t, certifiedPolicies)
	ada := &x509.Certificate{Subject: pkix.Name{CommonName: "ada"}, DNSNames: []string{"ada.books.test"}, URIs: []*url.URL{uri(t, "spiffe://books.test/ada"), uri(t, "spiffe://books.test/second")}}
	with, without := c.with(t, ada), c.with(t, nil)
	for name, client := range clients(t, with) {
		for path, want := range map[string]string{"/Jwt/ask": "spiffe://books.test/ada", "/Scopes/ask": "ada", "/Claims/ask": "spiffe://books.test/ada", "/Open/ask": ""} {
			of := name + path
			a := c.DoWith(t, client, "POST", path, `{"text":"a"}`, "X-Case", of, "Authorization", "Bearer unread", "Grpc-Metadata-X-Case", of)
			told := c.keeper.of(of)
			if a.Status != 200 || len(told) != 1 || strings.Join(told[0].Get("x-transom-principal"), " ") != want {
				t.Fatalf("%s: %d %s, told %v, want %q", of, a.Status, a.Body, told, want)
			}
			if got := told[0].Get("authorization"); want != "" && len(got) > 0 {
				t.Errorf("%s: an Authorization that nobody has looked at crosses: %q", of, got)
			}
		}
	}
	for name, client := range clients(t, without) {
		a := c.DoWith(t, client, "POST", "/Jwt/ask", `{}`)
		if a.Status != 401 || !strings.Contains(a.Body, "the call needs a client certificate") || a.Header.Get("Www-Authenticate") != `Certificate realm="transom"` {
			t.Errorf("%s: %d %s %v", name, a.Status, a.Body, a.Header)
		}
		if a := c.DoWith(t, client, "POST", "/Open/ask", `{}`); a.Status != 200 {
			t.Errorf("%s: where no certificate is needed: %d %s", name, a.Status, a.Body)
		}
	}
	t.Run("gRPC", func(t *testing.T) {
		for _, test := range []struct {
			config *tls.Config
			want   codes.Code
		}{{with, codes.OK}, {without, codes.Unauthenticated}} {
			conn, err := grpc.NewClient(c.address, grpc.WithTransportCredentials(credentials.NewTLS(test.config.Clone())))
			if err != nil {
				t.Fatal(err)
			}
			ctx := metadata.AppendToOutgoingContext(t.Context(), "x-case", t.Name())
			err = conn.Invoke(ctx, "/door.v1.Jwt/Ask", &emptypb.Empty{}, &emptypb.Empty{})
			if status.Code(err) != test.want {
				t.Errorf("%v, want %s", err, test.want)
			}
			_ = conn.Close()
		}
		if told := c.keeper.of(t.Name()); len(told) != 1 || told[0].Get("x-transom-principal")[0] != "spiffe://books.test/ada" {
			t.Errorf("told %v", told)
		}
	})
	t.Run("WebSocket", func(t *testing.T) {
		for i, config := range []*tls.Config{with, without} {
			socket, response, err := websocket.Dial(t.Context(), c.URL+"/Jwt/talk", &websocket.DialOptions{HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: config.Clone()}}})
			if i == 1 {
				if err == nil || response.StatusCode != 401 {
					t.Errorf("without a certificate: %v", err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := socket.Write(t.Context(), websocket.MessageText, []byte(`{"text":"a"}`)); err != nil {
				t.Fatal(err)
			}
			if _, text, err := socket.Read(t.Context()); err != nil || string(text) != `{"text":"a"}` {
				t.Errorf("%s %v", text, err)
			}
			_ = socket.CloseNow()
		}
	})
	t.Run("rates", func(t *testing.T) {
		bob := clients(t, c.with(t, &x509.Certificate{Subject: pkix.Name{CommonName: "bob"}}))["HTTP/2"]
		first := clients(t, with)["HTTP/2"]
		for i, test := range []struct {
			client *http.Client
			want   int
		}{{first, 200}, {first, 429}, {bob, 200}, {bob, 429}} {
			if a := c.DoWith(t, test.client, "POST", "/Rate/ask", `{}`); a.Status != test.want {
				t.Errorf("call %d: %d %s", i, a.Status, a.Body)
			}
		}
	})
}

// TestForwardedClientCert: Traffic 185: what a client says in X-Forwarded-Client-Cert reaches nobody, in any
// spelling; what it has shown is told where that is asked for, to servers of gRPC and of plain HTTP.
func TestForwardedClientCert(t *testing.T) {
	const routes = "routes: [{ match: { path_prefix: /site/ }, upstream: site }]\nmetadata: { request_headers: [x-*, x-forwarded-*] }\n"
	template := &x509.Certificate{Subject: pkix.Name{CommonName: `a,"b`, Organization: []string{"Bücher"}}, DNSNames: []string{"ada.books.test"}, URIs: []*url.URL{uri(t, "spiffe://books.test/ada")}}
	const subject = `Subject="CN=a\\,\\\"b,O=B%C3%BCcher";URI=spiffe://books.test/ada;DNS=ada.books.test`
	for _, how := range []string{"NEVER", "DETAILS", "CERTIFICATE"} {
		c := startCertified(t, certifiedPolicies+routes+"forward_client_cert: "+how+"\n")
		for _, shown := range []bool{false, true} {
			config := c.with(t, nil)
			want := ""
			if shown {
				config = c.with(t, template)
				raw := config.Certificates[0].Certificate[0]
				sum := sha256.Sum256(raw)
				want = map[string]string{"NEVER": "", "DETAILS": "Hash=" + hex.EncodeToString(sum[:]) + ";" + subject,
					"CERTIFICATE": "Hash=" + hex.EncodeToString(sum[:]) + `;Cert="` +
						strings.ReplaceAll(url.QueryEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))), "+", "%20") + `";` + subject}[how]
			}
			for name, client := range clients(t, config) {
				of := how + name + map[bool]string{true: " shown"}[shown]
				headers := []string{"X-Case", of}
				for _, spelling := range []string{"X-Forwarded-Client-Cert", "x_forwarded_client_cert", "X-Forwarded_Client-Cert", "Grpc-Metadata-X-Forwarded-Client-Cert", "X.Forwarded.Client.Cert"} {
					headers = append(headers, spelling, "Hash=forged")
				}
				a := c.DoWith(t, client, "POST", "/Open/ask", `{}`, headers...)
				told := c.keeper.of(of)
				if a.Status != 200 || len(told) != 1 {
					t.Fatalf("%s: %d %s, %d calls", of, a.Status, a.Body, len(told))
				}
				for key, values := range told[0] {
					if strings.Contains(strings.Join(values, " "), "forged") {
						t.Errorf("%s: a server is told %s: %q", of, key, values)
					}
				}
				if got := strings.Join(told[0].Get("x-forwarded-client-cert"), " and "); got != want {
					t.Errorf("%s: a server of gRPC is told\n%s, want\n%s", of, got, want)
				}
				a = c.DoWith(t, client, "GET", "/site/a", "", headers...)
				line := ""
				for got := range strings.Lines(a.Body) {
					if rest, ok := strings.CutPrefix(got, "X-Forwarded-Client-Cert: "); ok {
						line = strings.TrimSuffix(rest, "\n")
					}
				}
				if a.Status != 200 || line != want || strings.Contains(a.Body, "forged") {
					t.Errorf("%s: a server of plain HTTP is told\n%s, want\n%s", of, a.Body, want)
				}
				if a := c.DoWith(t, client, "POST", "/Roles/ask", `{}`, headers...); a.Status == 200 {
					t.Errorf("%s: an expression sees what the client said", of)
				}
			}
		}
	}
}

// TestRevokedWhileResumed: Traffic 185: a list that comes refuses a certificate in sessions that began before it,
// over HTTP/3, too.
func TestRevokedWhileResumed(t *testing.T) {
	c := startCertified(t, certifiedPolicies)
	config := c.with(t, &x509.Certificate{Subject: pkix.Name{CommonName: "ada"}})
	config.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	resumed := func() (bool, error) {
		transport := &http3.Transport{TLSClientConfig: config}
		defer func() { _ = transport.Close() }()
		request, err := http.NewRequestWithContext(t.Context(), "POST", c.URL+"/Jwt/ask", bytes.NewReader([]byte("{}")))
		if err != nil {
			t.Fatal(err)
		}
		response, err := transport.RoundTrip(request)
		if err != nil {
			return false, err
		}
		_ = response.Body.Close()
		if response.StatusCode != 200 {
			t.Errorf("status %d", response.StatusCode)
		}
		return response.TLS.DidResume, nil
	}
	poll.Until(t, "a session to be resumed", func() bool {
		did, err := resumed()
		if err != nil {
			t.Fatal(err)
		}
		return did
	})
	leaf, err := x509.ParseCertificate(config.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	list := c.ca.Revoked(t, time.Now().Add(time.Hour), leaf.SerialNumber)
	if err := os.WriteFile(filepath.Join(c.folder, "crl.pem"), []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	poll.Until(t, "the session to be refused", func() bool { _, err := resumed(); return err != nil })
}
