// Package sinks is the list of all sinks of events: it opens them by the configuration, and
// says what is wrong with that before.
//
//	sinks.Check("events", config.Events, env, report)
//	for name, settings := range sinks.All(config.Events) {
//		sink, err := sinks.Open(name, settings, env)
//	}
package sinks

import (
	"errors"
	"fmt"
	"strings"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/kafka"
	"github.com/transom-gateway/transom/events/nats"
	"github.com/transom-gateway/transom/events/webhook"
	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/regularfile"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// Names of the sinks that stand beside the map of all.
const (
	kafkaName = "kafka"
	natsName  = "nats"
)

// Open makes a sink. It waits for no broker, and none need be there.
func Open(name string, sink *transomv1.EventSink, env events.Env) (events.Sink, error) {
	var opened events.Sink
	var err error
	switch kind := sink.GetKind().(type) {
	case *transomv1.EventSink_Kafka:
		opened, err = kafka.Open(name, kind.Kafka, env)
	case *transomv1.EventSink_Nats:
		opened, err = nats.Open(name, kind.Nats, env)
	case *transomv1.EventSink_Webhook:
		opened, err = webhook.Open(name, kind.Webhook, env)
	default:
		err = errors.New("found no kind, expected one of kafka, nats, webhook")
	}
	if err != nil {
		return nil, fmt.Errorf("sink %s: %w", name, err)
	}
	return opened, nil
}

// All are the sinks of a configuration, by name.
func All(e *transomv1.Events) map[string]*transomv1.EventSink {
	all := map[string]*transomv1.EventSink{}
	for name, sink := range e.GetSinks() {
		all[name] = sink
	}
	if k := e.GetKafka(); k != nil {
		all[kafkaName] = &transomv1.EventSink{Kind: &transomv1.EventSink_Kafka{Kafka: k}}
	}
	if n := e.GetNats(); n != nil {
		all[natsName] = &transomv1.EventSink{Kind: &transomv1.EventSink_Nats{Nats: n}}
	}
	return all
}

// maxSecret bounds the file of a secret, in bytes.
const maxSecret = 64 << 10

// Secrets is Env.Secret for a configuration whose files resolve finds.
func Secrets(resolve func(name string) string) func(value string) (string, error) {
	return func(value string) (string, error) {
		name, ok := strings.CutPrefix(value, "file:")
		switch {
		case !ok:
			return value, nil
		case name == "":
			return "", errors.New(`found no file name after "file:", expected one`)
		}
		content, err := regularfile.Read(resolve(name), maxSecret)
		if err != nil {
			return "", err
		}
		return config.SecretText(content), nil
	}
}
