package kafka

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/transom-gateway/transom/events/subscription"
)

func recordHeaders(pairs ...string) (all []*sarama.RecordHeader) {
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, &sarama.RecordHeader{Key: []byte(pairs[i]), Value: []byte(pairs[i+1])})
	}
	return all
}

// TestRecordAsMessage: Events 161 and 162: what a method is told of a record besides the event, and what a record is that is no event.
func TestRecordAsMessage(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_123)
	record := func(key []byte, value string, headers ...string) *subscription.Message {
		return new(Source).message(&sarama.ConsumerMessage{Topic: "books", Partition: 3, Offset: 42, Timestamp: at, Key: key, Value: []byte(value), Headers: recordHeaders(headers...)})
	}
	event := []string{"ce_specversion", "1.0", "ce_id", "1", "ce_source", "/s", "ce_type", "book.read", "ce_subject", "é", "content-type", "application/json"}
	m := record([]byte("ann"), `{"n":1}`, append(event, "Tenant", "a", "bad name", "x", "own-bin", "x")...)
	const place = "[{kafka-topic books} {kafka-partition 3} {kafka-offset 42} {kafka-timestamp 1700000000123}"
	if got := fmt.Sprint(m.Metadata); got != place+" {kafka-key ann} {kafka-header-tenant a}]" {
		t.Errorf("got %s", got)
	}
	if e := m.Event; e.ID != "1" || e.Source != "/s" || e.Type != "book.read" || e.Subject != "é" || e.Topic != "books" || m.Key != "ann" || e.Key != "ann" || m.Unreadable != "" {
		t.Errorf("got %+v", e)
	}
	if got := fmt.Sprint(record(nil, "", event...).Metadata); got != place+"]" {
		t.Errorf("without a key: got %s", got)
	}
	if got := fmt.Sprint(record([]byte(strings.Repeat("x", maxKey+1)), "", event...).Metadata); got != place+"]" {
		t.Errorf("with a key that is too long: got %.300s", got)
	}
	m = record([]byte("ann"), "text", "Content-Type", "text/plain", "traceparent", "00-1")
	if e := m.Event; e.ID != "3/42/1700000000123" || e.Source != "/kafka/books" || e.Type != "" || e.DataContentType != "text/plain" || string(e.Data) != "text" ||
		e.Extension("traceparent") != "00-1" || !e.Time.Equal(at) || m.Unreadable != "" {
		t.Errorf("no event of CloudEvents: got %+v", e)
	}
	if m = record(nil, "", "ce_id", "1"); m.Unreadable == "" {
		t.Error("half an event of CloudEvents is taken for one")
	}
}
