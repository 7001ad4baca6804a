// Package cloudevents writes events as the bindings of CloudEvents 1.0 have them: in records
// of Kafka, in messages of NATS and in requests of HTTP. It reads those of Kafka and NATS. It
// opens no connections.
//
//	m, err := cloudevents.Kafka(event, cloudevents.Binary)
//	send(m.Headers, m.Body)
//	event, err := cloudevents.FromKafka(m.Headers, m.Body)
package cloudevents
