package nats

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/cloudevents"
	"github.com/transom-gateway/transom/events/subscription"
)

// message is one as a subscription takes it (Events 161). Redelivered messages come behind later ones, so
// that the sequence of the stream is no offset.
func (s *Source) message(n int64, raw jetstream.Msg) *subscription.Message {
	var headers []cloudevents.Header
	size := len(raw.Data()) + 256
	for _, name := range slices.Sorted(maps.Keys(raw.Headers())) {
		for _, value := range raw.Headers()[name] {
			headers = append(headers, cloudevents.Header{Name: name, Value: value})
			size += 2 * (len(name) + len(value) + 64)
		}
	}
	m := &subscription.Message{Offset: n, Size: size, Raw: raw}
	e, err := cloudevents.FromNATS(headers, raw.Data())
	if err != nil {
		e = plain(raw, headers)
		if !errors.Is(err, cloudevents.ErrPlain) {
			m.Unreadable = err.Error()
		}
	}
	m.Key = e.Extension("partitionkey")
	e.Topic, e.Key = s.what.Topic, m.Key
	m.Event, m.Metadata = e, []subscription.Pair{{Name: "nats-subject", Value: raw.Subject()}}
	if meta, err := raw.Metadata(); err == nil {
		m.Written, m.Number = meta.Timestamp, int64(meta.Sequence.Stream) //nolint:gosec // sequences are counted from 1
		m.Metadata = append(m.Metadata, subscription.Pair{Name: "nats-stream", Value: meta.Stream}, subscription.Pair{Name: "nats-sequence", Value: strconv.FormatUint(meta.Sequence.Stream, 10)})
	}
	m.Metadata = append(m.Metadata, subscription.Headers("nats-header-", headersOf(headers))...)
	return m
}

// headersOf are those that are not of CloudEvents and not of the server's own.
func headersOf(headers []cloudevents.Header) (all []subscription.Pair) {
	for _, h := range headers {
		name := strings.ToLower(h.Name)
		if !strings.HasPrefix(name, "ce-") && name != "content-type" && !strings.HasPrefix(name, "nats-") {
			all = append(all, subscription.Pair{Name: name, Value: h.Value})
		}
	}
	return all
}

// plain is a message that is no event of CloudEvents; it has no type.
func plain(raw jetstream.Msg, headers []cloudevents.Header) *events.Event {
	e := &events.Event{ID: raw.Headers().Get(jetstream.MsgIDHeader), Source: "/nats/" + raw.Subject(), Data: raw.Data()}
	if meta, err := raw.Metadata(); err == nil {
		e.Source, e.Time = "/nats/"+meta.Stream, meta.Timestamp
		e.ID = strconv.FormatUint(meta.Sequence.Stream, 10) + "/" + strconv.FormatInt(meta.Timestamp.UnixNano(), 10)
	}
	if e.Data == nil {
		e.Data = []byte{}
	}
	for _, h := range headers {
		switch name := strings.ToLower(h.Name); {
		case name == "content-type":
			e.DataContentType = strings.ToValidUTF8(h.Value, "")
		case (name == "traceparent" || name == "tracestate") && e.Extension(name) == "":
			e.SetExtension(name, strings.ToValidUTF8(h.Value, ""))
		}
	}
	return e
}
