package events

import (
	"maps"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// Configured are the sinks of a configuration by their names; those at events.kafka and
// events.nats are called "kafka" and "nats".
func Configured(e *transomv1.Events) map[string]*transomv1.EventSink {
	all := map[string]*transomv1.EventSink{}
	maps.Copy(all, e.GetSinks())
	if k := e.GetKafka(); k != nil {
		all["kafka"] = &transomv1.EventSink{Kind: &transomv1.EventSink_Kafka{Kafka: k}}
	}
	if n := e.GetNats(); n != nil {
		all["nats"] = &transomv1.EventSink{Kind: &transomv1.EventSink_Nats{Nats: n}}
	}
	return all
}
