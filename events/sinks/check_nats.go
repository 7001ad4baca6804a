package sinks

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/transom-gateway/transom/events/nats"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// maxStream is the longest name of a stream.
const maxStream = 255

func (c *checker) nats(path string, n *transomv1.NatsSink) {
	if n.GetUrl() == "" {
		c.fail(path+".url", `found none, expected "nats://host:port" or "tls://host:port"`)
	} else {
		for text := range strings.SplitSeq(n.Url, ",") {
			c.natsURL(path+".url", strings.TrimSpace(text), n.Username != "" || n.Token != "" || n.Credentials != "")
		}
	}
	template := n.GetSubject()
	if template == "" {
		template = nats.DefaultSubject
	}
	if err := nats.CheckSubject(template); err != nil {
		c.fail(path+".subject", "%v", err)
	} else if strings.Contains(template, "{topic}") {
		c.natsTopics(path, template)
	}
	c.oneEvent(path+".mode", n.GetMode())
	c.tls(path+".tls", n.GetTls())
	c.natsUser(path, n)
	if name := n.GetCreateStream(); name != "" {
		c.stream(path+".create_stream", name, template)
	}
}

// natsTopics checks the topics of a sink whose subjects name them.
func (c *checker) natsTopics(path, template string) {
	for i, t := range c.topics {
		if err := nats.CheckSubject(strings.ReplaceAll(template, "{topic}", t.GetTopic())); err != nil {
			c.fail(fmt.Sprintf("%s.topics[%d].topic", c.at, i), "found %.100q, of which %s.subject makes no subject: %v", t.GetTopic(), path, err)
		}
	}
}

func (c *checker) natsURL(path, text string, user bool) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "nats" && u.Scheme != "tls" || u.Path != "" && u.Path != "/":
		c.fail(path, `found another text, expected "nats://host:port" or "tls://host:port", several with commas between them`) // it may hold a password
	case u.User != nil && user:
		c.fail(path, "found a user beside username, token or credentials, expected one of them")
	}
}

// natsUser checks how the gateway authenticates.
func (c *checker) natsUser(path string, n *transomv1.NatsSink) {
	ways := 0
	if n.GetCredentials() != "" {
		ways++
		c.file(path+".credentials", n.Credentials)
	}
	if n.GetToken() != "" {
		ways++
		c.secret(path+".token", n.Token, "a token")
	}
	if n.GetUsername() != "" || n.GetPassword() != "" {
		ways++
		c.secret(path+".username", n.Username, "a user")
		c.secret(path+".password", n.Password, "a password")
	}
	if ways > 1 {
		c.fail(path, "found more than one of credentials, token and username, expected one of them")
	}
}

func (c *checker) stream(path, name, template string) {
	switch {
	case len(name) > maxStream || strings.ContainsAny(name, " \t\r\n.*>/\\"):
		c.fail(path, `found %.300q, expected at most %d bytes without white space, ".", "*", ">", "/" and "\"`, name, maxStream)
	case nats.StreamSubject(template) == "":
		c.fail(path, `found it with the subject %q, for which a stream would take the messages of everybody; expected a subject that begins with a word and a dot, such as "events.{type}"`, template)
	}
}
