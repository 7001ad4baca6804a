package kafka

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/IBM/sarama"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/cloudevents"
	"github.com/transom-gateway/transom/events/subscription"
)

// message is a record as a subscription takes it (Events 161).
func (s *Source) message(r *sarama.ConsumerMessage) *subscription.Message {
	headers := make([]cloudevents.Header, 0, len(r.Headers))
	size := len(r.Key) + len(r.Value) + 256
	for _, h := range r.Headers {
		headers = append(headers, cloudevents.Header{Name: string(h.Key), Value: string(h.Value)})
		size += 2 * (len(h.Key) + len(h.Value) + 64)
	}
	m := &subscription.Message{Partition: r.Partition, Offset: r.Offset, Key: string(r.Key), Size: size, Written: r.Timestamp, Raw: r, Metadata: metadata(r, headers)}
	e, err := cloudevents.FromKafka(headers, r.Value)
	if err != nil {
		e = plain(r, headers)
		if !errors.Is(err, cloudevents.ErrPlain) {
			m.Unreadable = err.Error()
		}
	}
	e.Topic, e.Key = r.Topic, string(r.Key)
	m.Event = e
	return m
}

// plain is a record that is no event of CloudEvents. Its ID is that of the record alone, also where
// a topic is made anew; it has no type.
func plain(r *sarama.ConsumerMessage, headers []cloudevents.Header) *events.Event {
	e := &events.Event{
		ID: fmt.Sprintf("%d/%d/%d", r.Partition, r.Offset, r.Timestamp.UnixMilli()), Source: "/kafka/" + r.Topic, Time: r.Timestamp, Data: r.Value,
	}
	if e.Data == nil {
		e.Data = []byte{}
	}
	for _, h := range headers {
		switch {
		case strings.EqualFold(h.Name, "content-type"):
			e.DataContentType = strings.ToValidUTF8(h.Value, "")
		case (h.Name == "traceparent" || h.Name == "tracestate") && e.Extension(h.Name) == "":
			e.SetExtension(h.Name, strings.ToValidUTF8(h.Value, ""))
		}
	}
	return e
}

// metadata is what the method is told of the record.
func metadata(r *sarama.ConsumerMessage, headers []cloudevents.Header) []subscription.Pair {
	all := []subscription.Pair{
		{Name: "kafka-topic", Value: r.Topic},
		{Name: "kafka-partition", Value: strconv.Itoa(int(r.Partition))},
		{Name: "kafka-offset", Value: strconv.FormatInt(r.Offset, 10)},
		{Name: "kafka-timestamp", Value: strconv.FormatInt(r.Timestamp.UnixMilli(), 10)},
	}
	if r.Key != nil && len(r.Key) <= maxKey {
		all = append(all, subscription.Pair{Name: "kafka-key", Value: string(r.Key)})
	}
	var others []subscription.Pair
	for _, h := range headers {
		if name := strings.ToLower(h.Name); !strings.HasPrefix(name, "ce_") && name != "content-type" {
			others = append(others, subscription.Pair{Name: name, Value: h.Value})
		}
	}
	return append(all, subscription.Headers("kafka-header-", others)...)
}

// maxKey is the longest key that the method is told, in bytes.
const maxKey = 4 << 10
