package kafka

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/transom-gateway/transom/events"
	kafkatest "github.com/transom-gateway/transom/internal/testing/kafka"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// provider is an OpenID provider. It counts its tokens.
func provider(t *testing.T, lifetime int) (server *httptest.Server, tokens *atomic.Int64) {
	t.Helper()
	tokens = new(atomic.Int64)
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, secret, _ := r.BasicAuth()
		if user != "gateway" || secret != "s%26cret" || r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "a b" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = fmt.Fprint(w, `{"error":"invalid_client"}`)
			return
		}
		tokens.Add(1)
		now := time.Now().Unix()
		encode := base64.RawURLEncoding.EncodeToString
		token := encode([]byte(`{"alg":"none"}`)) + "." + encode(fmt.Appendf(nil, `{"sub":"transom","iat":%d,"exp":%d}`, now-1, now+int64(lifetime))) + "."
		_, _ = fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":%d}`, token, lifetime)
	}))
	t.Cleanup(server.Close)
	return server, tokens
}

// TestMechanisms holds Events 153: it sends by each mechanism, with and without TLS, and is refused with a wrong
// password.
func TestMechanisms(t *testing.T) {
	broker := kafkatest.Shared(t)
	server, _ := provider(t, 3600)
	tls := &transomv1.SinkTls{Ca: broker.CA, ServerName: kafkatest.ServerName}
	mutual := &transomv1.SinkTls{Ca: broker.CA, Cert: broker.Cert, Key: broker.Key, ServerName: kafkatest.ServerName}
	password := func(m transomv1.KafkaSasl_Mechanism) *transomv1.KafkaSasl {
		return &transomv1.KafkaSasl{Mechanism: m, Username: kafkatest.User, Password: kafkatest.Password}
	}
	for i, sasl := range []*transomv1.KafkaSasl{nil,
		password(transomv1.KafkaSasl_PLAIN), password(transomv1.KafkaSasl_SCRAM_SHA_256), password(transomv1.KafkaSasl_SCRAM_SHA_512),
		{Mechanism: transomv1.KafkaSasl_OAUTHBEARER, TokenUrl: server.URL, ClientId: "gateway", ClientSecret: "s&cret", Scopes: []string{"a", "b"}},
	} {
		for _, secure := range []bool{false, true} {
			settings := &transomv1.KafkaSink{CreateTopics: creates, Sasl: sasl}
			switch {
			case sasl == nil && !secure:
				settings.Brokers = []string{broker.Plaintext}
			case sasl == nil:
				settings.Brokers, settings.Tls = []string{broker.SSL}, mutual
			case !secure:
				settings.Brokers = []string{broker.SASLPlaintext}
			default:
				settings.Brokers, settings.Tls = []string{broker.SASLSSL}, tls
			}
			t.Run(fmt.Sprintf("%v/TLS %t", sasl.GetMechanism(), secure), func(t *testing.T) {
				topic := fmt.Sprintf("mechanisms_%d_%t", i, secure)
				send(t, open(t, settings, topic), event(topic, "ann", 1))
				read(t, broker.Plaintext, topic, 1)
				if sasl == nil {
					return
				}
				wrong := proto.CloneOf(settings)
				wrong.Sasl.Password, wrong.Sasl.ClientSecret = "wrong secret", "wrong secret"
				errs := make([]error, 1)
				open(t, wrong, topic).Send(t.Context(), []*events.Event{event(topic, "ann", 2)}, errs)
				if err := errs[0]; err == nil || errors.Is(err, events.ErrRejected) || strings.Contains(err.Error(), "wrong secret") {
					t.Errorf("got %v", err)
				} else {
					t.Log(err)
				}
			})
		}
	}
}

// TestWrongAuthority holds Events 153: a broker with another's certificate gets nothing.
func TestWrongAuthority(t *testing.T) {
	broker := kafkatest.Shared(t)
	settings := &transomv1.KafkaSink{Brokers: []string{broker.SSL}, Tls: &transomv1.SinkTls{Ca: broker.Cert, ServerName: kafkatest.ServerName}}
	errs := make([]error, 1)
	open(t, settings).Send(t.Context(), []*events.Event{event("t", "ann", 2)}, errs)
	if err := errs[0]; err == nil || !strings.Contains(err.Error(), "certificate signed by unknown authority") {
		t.Errorf("got %v", err)
	}
}

// TestReplacedTLS holds Events 153: where the authority and our own certificate are replaced while events are sent, new
// connections use those that are there now.
func TestReplacedTLS(t *testing.T) {
	broker := kafkatest.Start(t)
	s := open(t, &transomv1.KafkaSink{Brokers: []string{broker.SSL}, CreateTopics: creates,
		Tls: &transomv1.SinkTls{Ca: broker.CA, Cert: broker.Cert, Key: broker.Key, ServerName: kafkatest.ServerName}}, "replaced")
	send(t, s, event("replaced", "ann", 1))
	broker.Kill()
	broker.Renew(t)
	broker.Restart(t)
	send(t, s, event("replaced", "ann", 2))
	if why := s.NotReloaded(); why != "" {
		t.Error(why)
	}
	read(t, broker.Plaintext, "replaced", 2)
}

// TestReplacedSecret holds Events 152: a password that is replaced is in effect for the next attempt, and no restart is needed.
func TestReplacedSecret(t *testing.T) {
	broker := kafkatest.Shared(t)
	var password atomic.Value
	password.Store("of yesterday")
	settings := &transomv1.KafkaSink{Brokers: []string{broker.SASLPlaintext}, CreateTopics: creates, Sasl: &transomv1.KafkaSasl{
		Mechanism: transomv1.KafkaSasl_SCRAM_SHA_512, Username: kafkatest.User, Password: "file:password",
	}}
	e := env(t, "replaced_secret")
	e.Secret = func(value string) (string, error) {
		if value == "file:password" {
			value = password.Load().(string)
		}
		return value, nil
	}
	s, err := Open("kafka", settings, e)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	errs := make([]error, 1)
	if s.Send(t.Context(), []*events.Event{event("replaced_secret", "ann", 1)}, errs); errs[0] == nil || errors.Is(errs[0], events.ErrRejected) {
		t.Fatalf("with another password: %v", errs[0])
	}
	password.Store(kafkatest.Password)
	errs[0] = nil
	if s.Send(t.Context(), []*events.Event{event("replaced_secret", "ann", 1)}, errs); errs[0] != nil {
		t.Errorf("with the password: %v", errs[0])
	}
}

// TestTokens holds Events 153: a token serves for 80 % of its lifetime, and not longer.
func TestTokens(t *testing.T) {
	server, tokens := provider(t, 1000)
	s := newTokenSource(&transomv1.KafkaSasl{TokenUrl: server.URL, ClientId: "gateway", ClientSecret: "s&cret", Scopes: []string{"a", "b"}},
		func(v string) (string, error) { return v, nil })
	before := time.Now()
	for range 3 {
		if _, err := s.Token(); err != nil {
			t.Fatal(err)
		}
	}
	if n := tokens.Load(); n != 1 {
		t.Errorf("got %d tokens, want 1", n)
	}
	if left := s.until.Sub(before); left < 800*time.Second || s.until.After(time.Now().Add(800*time.Second)) {
		t.Errorf("the token serves for %v, want 800 s", left)
	}
	s.until = time.Now()
	if _, err := s.Token(); err != nil || tokens.Load() != 2 {
		t.Errorf("got %d tokens, %v; want 2", tokens.Load(), err)
	}
}

func TestTokenAnswers(t *testing.T) {
	for _, test := range []struct {
		status     int
		body, want string
	}{
		{200, `{"access_token":"t"}`, ""},
		{200, `{"access_token":"t","expires_in":-1}`, ""},
		{200, `{}`, "its answer has no access_token"},
		{200, `{"access_token":"a\u0001auth=b"}`, "its access_token has characters that no token has"},
		{200, `<html>`, "its answer is not JSON"},
		{503, `<html>`, "found status 503, expected status 200"},
		{302, ``, "found status 302, expected status 200"},
		{400, `{"error":"invalid_scope"}`, `found status 400 and the error "invalid_scope", expected status 200`},
	} {
		token, lifetime, err := readToken(test.status, strings.NewReader(test.body))
		if test.want == "" && (err != nil || token != "t" || lifetime != unsaidLifetime) || test.want != "" && (err == nil || !strings.HasPrefix(err.Error(), test.want)) {
			t.Errorf("%d %s: got %q, %v, %v; want %q", test.status, test.body, token, lifetime, err, test.want)
		}
	}
}

// FuzzTokenAnswers holds that no answer of a provider makes a token that cannot be sent, nor one
// that serves for ever.
func FuzzTokenAnswers(f *testing.F) {
	f.Add(200, `{"access_token":"t","expires_in":3600}`)
	f.Add(200, `{"access_token":"t","expires_in":1e300}`)
	f.Add(400, `{"error":"invalid_client"}`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		token, lifetime, err := readToken(status, strings.NewReader(body))
		if err == nil && (token == "" || strings.ContainsAny(token, "\x00\x01 \n") || lifetime < time.Second || lifetime > 24*time.Hour) {
			t.Errorf("got %q for %v", token, lifetime)
		}
	})
}
