// Package sinks is the list of all sinks of events: it opens them by the configuration, and
// says what is wrong with that before. It opens the sources of subscriptions, too.
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
	"github.com/transom-gateway/transom/events/subscription"
	"github.com/transom-gateway/transom/events/webhook"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// Names of the sinks that stand beside the map of all.
const (
	kafkaName = "kafka"
	natsName  = "nats"
)

// Source makes what a subscription reads a sink's broker by. It waits for no broker, and none need
// be there.
func Source(name string, sink *transomv1.EventSink, what subscription.Reading, env events.Env) (subscription.Source, error) {
	switch kind := sink.GetKind().(type) {
	case *transomv1.EventSink_Kafka:
		return kafka.OpenSource(name, kind.Kafka, what, env)
	case *transomv1.EventSink_Nats:
		return nats.OpenSource(name, kind.Nats, what, env)
	}
	return nil, fmt.Errorf("sink %s: nothing can be read from it", name)
}

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
