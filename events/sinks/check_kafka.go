package sinks

import (
	"math"
	"net/url"
	"strings"
	"time"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

const (
	maxLinger     = time.Second
	maxPartitions = 10_000
	maxClientID   = 249
)

func (c *checker) kafka(path string, k *transomv1.KafkaSink) {
	if len(k.GetBrokers()) == 0 {
		c.fail(path+".brokers", `found none, expected at least one "host:port"`)
	}
	for i, broker := range k.GetBrokers() {
		c.address(at(path+".brokers", i), broker)
	}
	c.oneEvent(path+".mode", k.GetMode())
	c.duration(path+".linger", k.GetLinger(), 0, maxLinger)
	c.tls(path+".tls", k.GetTls())
	if k.GetSasl() != nil {
		c.sasl(path+".sasl", k.Sasl, k.GetTls() != nil)
	}
	if len(k.GetClientId()) > maxClientID || strings.ContainsFunc(k.GetClientId(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
		c.fail(path+".client_id", "found %.300q, expected at most %d bytes without control characters", k.ClientId, maxClientID)
	}
	t := k.GetCreateTopics()
	if t.GetPartitions() > maxPartitions {
		c.fail(path+".create_topics.partitions", "found %d, expected at most %d", t.Partitions, maxPartitions)
	}
	if t.GetReplicationFactor() > math.MaxInt16 {
		c.fail(path+".create_topics.replication_factor", "found %d, expected at most %d", t.ReplicationFactor, math.MaxInt16)
	}
	if _, ok := t.GetConfig()[""]; ok {
		c.fail(path+".create_topics.config", `found a setting without a name, expected one such as "retention.ms"`)
	}
}

// sasl checks how the gateway authenticates. What is sent as it is needs TLS.
func (c *checker) sasl(path string, s *transomv1.KafkaSasl, tls bool) {
	var naked bool
	switch s.Mechanism {
	case transomv1.KafkaSasl_MECHANISM_UNSPECIFIED:
		c.fail(path+".mechanism", "found none, expected PLAIN, SCRAM_SHA_256, SCRAM_SHA_512 or OAUTHBEARER")
		return
	case transomv1.KafkaSasl_OAUTHBEARER:
		naked = true
		c.provider(path, s)
	default:
		naked = s.Mechanism == transomv1.KafkaSasl_PLAIN
		c.secret(path+".username", s.Username, "a user")
		c.secret(path+".password", s.Password, "a password")
		c.without(path, s.Mechanism.String(), map[string]bool{
			"token_url": s.TokenUrl != "", "client_id": s.ClientId != "", "client_secret": s.ClientSecret != "", "scopes": len(s.Scopes) > 0,
		})
	}
	if naked && !tls && !s.Insecure {
		c.fail(path+".mechanism", "found %s without tls, by which anybody on the way can read the secret: expected tls, a mechanism SCRAM, or insecure for development", s.Mechanism)
	}
}

// provider checks where tokens come from.
func (c *checker) provider(path string, s *transomv1.KafkaSasl) {
	u, err := url.Parse(s.TokenUrl)
	switch {
	case s.TokenUrl == "":
		c.fail(path+".token_url", "found none, expected the https URL of a provider's token endpoint")
	case err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http":
		c.fail(path+".token_url", "found another text, expected an https URL without user and password")
	case u.Scheme == "http" && !s.Insecure:
		c.fail(path+".token_url", "found an http URL, by which anybody on the way can read the secret: expected https, or insecure for development")
	}
	if s.ClientId == "" {
		c.fail(path+".client_id", "found none, expected the client that the provider knows")
	}
	c.secret(path+".client_secret", s.ClientSecret, "the client's secret")
	c.without(path, "OAUTHBEARER", map[string]bool{"username": s.Username != "", "password": s.Password != ""})
}
