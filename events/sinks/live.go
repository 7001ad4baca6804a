package sinks

import (
	"context"
	"time"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/kafka"
	"github.com/transom-gateway/transom/events/nats"
	"github.com/transom-gateway/transom/events/webhook"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// askTimeout bounds how long a server is asked, all its topics together.
const askTimeout = 30 * time.Second

// Ask asks the server of a sink whether it takes and gives what a configuration says (Events 151). It
// writes no event and creates nothing.
func Ask(ctx context.Context, name string, sink *transomv1.EventSink, env events.Env, in events.Inquiry) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	switch kind := sink.GetKind().(type) {
	case *transomv1.EventSink_Kafka:
		kafka.Ask(ctx, name, kind.Kafka, env, in)
	case *transomv1.EventSink_Nats:
		nats.Ask(ctx, name, kind.Nats, env, in)
	case *transomv1.EventSink_Webhook:
		webhook.Ask(ctx, name, kind.Webhook, env, in)
	}
}
