package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/transom-gateway/transom/internal/nearest"
	"github.com/transom-gateway/transom/internal/rpccode"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

var (
	subscriptionName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,57}$`) // with its prefix, the log has it as a name
	topicName        = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)
	subjectName      = regexp.MustCompile(`^[!-~]{1,249}$`)
	groupName        = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,200}$`)
	typePattern      = regexp.MustCompile(`^(\*|[a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)*(\.\*)?)$`)
)

// The most of concurrency and of max_dead_letters.
const (
	maxConcurrency = 1024
	maxDeadLetters = 1_000_000
)

// subscriptions checks events.subscriptions, but for their methods.
func (c *checker) subscriptions(e *transomv1.Events) {
	seen := map[string]int{}
	for i, s := range e.GetSubscriptions() {
		path := fmt.Sprintf("events.subscriptions[%d]", i)
		if !subscriptionName.MatchString(s.GetName()) {
			c.fail(join(path, "name"), "found %.100q, expected lower-case letters, digits, \"-\" and \"_\", up to 58, such as \"count-clicks\"", s.GetName())
		}
		if first, twice := seen[s.GetName()]; twice {
			c.fail(join(path, "name"), "found %q, which events.subscriptions[%d] is called, too: choose another one", s.GetName(), first)
		} else {
			seen[s.GetName()] = i
		}
		c.subscriptionSource(path, s, e)
		c.subscriptionNames(path, s)
		c.subscriptionAttempts(path, s)
	}
}

// subscriptionSource checks where events come from.
func (c *checker) subscriptionSource(path string, s *transomv1.Subscription, e *transomv1.Events) {
	brokers := map[string]bool{} // whether it is NATS
	for name, sink := range e.GetSinks() {
		if sink.GetKafka() != nil || sink.GetNats() != nil {
			brokers[name] = sink.GetNats() != nil
		}
	}
	if e.GetKafka() != nil {
		brokers["kafka"] = false
	}
	if e.GetNats() != nil {
		brokers["nats"] = true
	}
	source := s.GetSource()
	if source == "" {
		source = "log"
		if len(brokers) == 1 {
			source = slices.Collect(maps.Keys(brokers))[0]
		}
	}
	nats, known := brokers[source]
	if !known && source != "log" {
		all := append([]string{"log"}, slices.Sorted(maps.Keys(brokers))...)
		text := fmt.Sprintf("found %q, expected one of %s", source, strings.Join(all, ", "))
		if e.GetSinks()[source].GetWebhook() != nil {
			text = fmt.Sprintf("found %q, but nothing can be read from a webhook; expected one of %s", source, strings.Join(all, ", "))
		} else if near := nearest.Of(all, source); near != "" {
			text += "; did you mean " + near + "?"
		}
		c.fail(join(path, "source"), "%s", text)
	}
	switch topic := s.GetTopic(); {
	case nats && !natsSubject(topic):
		c.fail(join(path, "topic"), "found %.100q, expected a subject of NATS, such as \"events.order.>\": words with dots between them, \"*\" for any word, \">\" at the end for any words", topic)
	case nats && s.GetDeadLetterTopic() != "" && (!natsSubject(s.GetDeadLetterTopic()) || strings.ContainsAny(s.GetDeadLetterTopic(), "*>")):
		c.fail(join(path, "dead_letter_topic"), "found %.100q, expected a subject of NATS, such as \"dead.orders\": words with dots between them", s.GetDeadLetterTopic())
	case !nats && (!topicName.MatchString(topic) || topic == "." || topic == ".."):
		c.fail(join(path, "topic"), "found %.100q, expected 1 to 249 of letters, digits, \".\", \"_\" and \"-\"", topic)
	}
	kafka := known && !nats
	if s.GetInstanceId() != "" && !kafka {
		c.fail(join(path, "instance_id"), "found %q, but only members of a group of Kafka have one: remove it", s.GetInstanceId())
	}
	if source == "log" && s.GetDeadLetterTopic() != "" {
		c.fail(join(path, "dead_letter_topic"), "found %q, but dead letters of the embedded log are put aside in the data directory: remove it", s.GetDeadLetterTopic())
	}
}

// natsSubject reports whether consumers of NATS can be given the text for what they get.
func natsSubject(text string) bool {
	if !subjectName.MatchString(text) {
		return false
	}
	words := strings.Split(text, ".")
	for i, word := range words {
		switch {
		case word == "", len(word) > 1 && strings.ContainsAny(word, "*>"), word == ">" && i < len(words)-1:
			return false
		}
	}
	return true
}

// subscriptionNames checks names and patterns.
func (c *checker) subscriptionNames(path string, s *transomv1.Subscription) {
	for i, t := range s.GetTypes() {
		if !typePattern.MatchString(t) {
			c.fail(fmt.Sprintf("%s.types[%d]", path, i), "found %.100q, expected a type, such as \"user.click\", or \"user.*\", or \"*\"", t)
		}
	}
	if m := s.GetMethod(); strings.Count(m, "/") != 1 || strings.HasPrefix(m, "/") || strings.HasSuffix(m, "/") {
		c.fail(join(path, "method"), "found %.100q, expected a method such as \"shop.v1.Counter/Count\"", m)
	}
	for field, name := range map[string]string{"group": s.GetGroup(), "instance_id": s.GetInstanceId(), "dead_letter_topic": s.GetDeadLetterTopic()} {
		if name != "" && !groupName.MatchString(name) {
			c.fail(join(path, field), "found %.100q, expected 1 to 200 of letters, digits, \".\", \"_\" and \"-\"", name)
		}
	}
	if s.GetDeadLetterTopic() != "" && s.GetDeadLetterTopic() == s.GetTopic() {
		c.fail(join(path, "dead_letter_topic"), "found %q, which is the topic itself: choose another one", s.GetDeadLetterTopic())
	}
}

// subscriptionAttempts checks when calls are made, and what becomes of their events.
func (c *checker) subscriptionAttempts(path string, s *transomv1.Subscription) {
	if n := s.GetConcurrency(); n > maxConcurrency {
		c.fail(join(path, "concurrency"), "found %d, expected 1 to %d", n, maxConcurrency)
	}
	if n := s.GetMaxDeadLetters(); n > maxDeadLetters {
		c.fail(join(path, "max_dead_letters"), "found %d, expected 1 to %d", n, maxDeadLetters)
	}
	if s.GetStart() != transomv1.Subscription_START_UNSPECIFIED && s.GetStartTime() != nil {
		c.fail(join(path, "start_time"), "found it beside start, and only one of them can be: remove one")
	}
	if at := s.GetStartTime(); at != nil && at.CheckValid() != nil {
		c.fail(join(path, "start_time"), "%v", at.CheckValid())
	}
	if s.GetMaxAge() != nil {
		c.positive(join(path, "max_age"), s.GetMaxAge())
	}
	if s.GetRebalanceTimeout() != nil {
		c.positive(join(path, "rebalance_timeout"), s.GetRebalanceTimeout())
	}
	for _, name := range slices.Sorted(maps.Keys(s.GetCodes())) {
		if _, ok := rpccode.Parse(name); !ok {
			c.fail(join(join(path, "codes"), name), "found no code of gRPC, expected one such as NOT_FOUND")
		}
		if s.GetCodes()[name] == transomv1.Subscription_VERDICT_UNSPECIFIED {
			c.fail(join(join(path, "codes"), name), "expected DONE, RETRY or GIVE_UP")
		}
	}
}
