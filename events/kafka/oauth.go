package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

const (
	// maxTokenAnswer bounds the answer of a provider, in bytes.
	maxTokenAnswer = 64 << 10
	// unsaidLifetime is that of a token whose provider does not say.
	unsaidLifetime = 5 * time.Minute
)

// tokenSource gets tokens of an OpenID provider by client credentials (RFC 6749, 4.4), and
// keeps each for 80 % of its lifetime.
type tokenSource struct {
	settings *transomv1.KafkaSasl
	secret   func(string) (string, error)
	client   *http.Client

	mu    sync.Mutex
	token string
	until time.Time // when another is asked for
}

func newTokenSource(settings *transomv1.KafkaSasl, secret func(string) (string, error)) *tokenSource {
	return &tokenSource{settings: settings, secret: secret, client: &http.Client{
		Timeout:       dialTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the secret is for one server
	}}
}

// Token implements sarama.AccessTokenProvider.
func (s *tokenSource) Token() (*sarama.AccessToken, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token != "" && time.Now().Before(s.until) {
		return &sarama.AccessToken{Token: s.token}, nil
	}
	token, lifetime, err := s.fetch()
	if err != nil {
		return nil, fmt.Errorf("no token of %s: %w", s.settings.TokenUrl, err)
	}
	s.token, s.until = token, time.Now().Add(lifetime*8/10)
	return &sarama.AccessToken{Token: token}, nil
}

func (s *tokenSource) fetch() (token string, lifetime time.Duration, err error) {
	secret, err := s.secret(s.settings.ClientSecret)
	if err != nil {
		return "", 0, fmt.Errorf("sasl.client_secret: %w", err)
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if len(s.settings.Scopes) > 0 {
		form.Set("scope", strings.Join(s.settings.Scopes, " "))
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.settings.TokenUrl, strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	request.SetBasicAuth(url.QueryEscape(s.settings.ClientId), url.QueryEscape(secret))
	response, err := s.client.Do(request)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = response.Body.Close() }()
	return readToken(response.StatusCode, io.LimitReader(response.Body, maxTokenAnswer))
}

// readToken reads the answer of a provider.
func readToken(status int, body io.Reader) (token string, lifetime time.Duration, err error) {
	var answer struct {
		Token    string  `json:"access_token"`
		Lifetime float64 `json:"expires_in"`
		Error    string  `json:"error"`
	}
	err = json.NewDecoder(body).Decode(&answer)
	switch {
	case status != http.StatusOK && answer.Error != "":
		return "", 0, fmt.Errorf("found status %d and the error %.100q, expected status 200", status, answer.Error)
	case status != http.StatusOK:
		return "", 0, fmt.Errorf("found status %d, expected status 200", status)
	case err != nil:
		return "", 0, fmt.Errorf("its answer is not JSON of at most %d bytes: %w", maxTokenAnswer, err)
	case answer.Token == "":
		return "", 0, errors.New("its answer has no access_token")
	case strings.ContainsFunc(answer.Token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", 0, errors.New("its access_token has characters that no token has")
	}
	lifetime = unsaidLifetime
	if seconds := answer.Lifetime; seconds > 0 {
		lifetime = time.Duration(min(max(seconds, 1), 24*3600) * float64(time.Second))
	}
	return answer.Token, lifetime, nil
}
