// Package sinks is the list of all sinks of events: it opens them by the configuration, and
// says what is wrong with that before.
//
//	sinks.Check("events", config.Events, env, report)
//	for name, settings := range events.Configured(config.Events) {
//		sink, err := sinks.Open(name, settings, env)
//	}
package sinks

import (
	"errors"
	"fmt"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/kafka"
	"github.com/transom-gateway/transom/events/nats"
	"github.com/transom-gateway/transom/events/webhook"
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
