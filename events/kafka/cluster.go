package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/IBM/sarama"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/internal/security"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// cluster is how a Kafka cluster is reached.
type cluster struct {
	settings *transomv1.KafkaSink
	env      events.Env
	log      *slog.Logger
	tls      *security.Security // nil for cleartext
	tokens   *tokenSource       // nil unless OAUTHBEARER

	mu      sync.Mutex
	created map[string]bool // topics that need not be created
}

func newCluster(settings *transomv1.KafkaSink, env events.Env, log *slog.Logger) (*cluster, error) {
	c := &cluster{settings: settings, env: env, log: log, created: map[string]bool{}}
	var err error
	if settings.Tls != nil {
		if c.tls, err = security.New(settings.Tls, env.Resolve); err != nil {
			return nil, err
		}
	}
	if settings.Sasl.GetMechanism() == transomv1.KafkaSasl_OAUTHBEARER {
		c.tokens = newTokenSource(settings.Sasl, env.Secret)
	}
	return c, nil
}

// NotReloaded says why the files of TLS are not in effect as they are now; "" where all is
// well.
func (c *cluster) NotReloaded() string {
	if c.tls == nil {
		return ""
	}
	return c.tls.NotReloaded()
}

// away is an error of the cluster, for people.
func (c *cluster) away(err error) error {
	return fmt.Errorf("kafka at %s: %w", strings.Join(c.settings.Brokers, ", "), err)
}

// connect makes a link by asking for a topic, though it need not exist.
func (c *cluster) connect(ctx context.Context, topic string) (*link, error) {
	config, err := c.config()
	if err != nil {
		return nil, err
	}
	d := newDialer(c.tls)
	config.Net.Proxy.Enable, config.Net.Proxy.Dialer = true, d
	stop := context.AfterFunc(ctx, d.cut)
	defer stop()
	client, err := sarama.NewClient(c.settings.Brokers, config)
	if err == nil {
		// Who begins finds out whether it is let in. What is wrong with the topic is said later.
		if err = client.RefreshMetadata(topic); judge(err) != away {
			err = nil
		}
	}
	if err != nil {
		d.cut()
		if client != nil {
			_ = client.Close()
		}
		return nil, d.why(err)
	}
	return &link{client: client, dialer: d}, nil
}

// config is that of a client for now.
func (c *cluster) config() (*sarama.Config, error) {
	s := sarama.NewConfig()
	s.Version = sarama.V2_8_0_0 // brokers that are older are asked what they know
	s.ClientID = "transom"
	if c.settings.ClientId != "" {
		s.ClientID = c.settings.ClientId
	}
	s.Net.MaxOpenRequests = 1
	s.Net.DialTimeout, s.Net.ReadTimeout, s.Net.WriteTimeout = dialTimeout, answerTimeout, answerTimeout
	s.Metadata.Full = false
	s.Metadata.AllowAutoTopicCreation = false
	s.Metadata.Retry.Max, s.Metadata.Retry.Backoff = 0, 0
	s.Metadata.Timeout = answerTimeout
	s.Admin.Timeout = answerTimeout
	s.Admin.Retry.Max = 0
	return s, c.authentication(s)
}

// authentication writes what a client authenticates with.
func (c *cluster) authentication(s *sarama.Config) error {
	sasl := c.settings.Sasl
	if sasl == nil {
		return nil
	}
	s.Net.SASL.Enable, s.Net.SASL.Handshake, s.Net.SASL.Version = true, true, sarama.SASLHandshakeV1
	if c.tokens != nil {
		s.Net.SASL.Mechanism, s.Net.SASL.TokenProvider = sarama.SASLTypeOAuth, c.tokens
		return nil
	}
	var err error
	if s.Net.SASL.User, err = c.env.Secret(sasl.Username); err != nil {
		return fmt.Errorf("sasl.username: %w", err)
	}
	if s.Net.SASL.Password, err = c.env.Secret(sasl.Password); err != nil {
		return fmt.Errorf("sasl.password: %w", err)
	}
	switch sasl.Mechanism {
	case transomv1.KafkaSasl_SCRAM_SHA_256:
		s.Net.SASL.Mechanism, s.Net.SASL.SCRAMClientGeneratorFunc = sarama.SASLTypeSCRAMSHA256, scram256
	case transomv1.KafkaSasl_SCRAM_SHA_512:
		s.Net.SASL.Mechanism, s.Net.SASL.SCRAMClientGeneratorFunc = sarama.SASLTypeSCRAMSHA512, scram512
	default:
		s.Net.SASL.Mechanism = sarama.SASLTypePlaintext
	}
	return nil
}
