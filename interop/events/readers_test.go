package events

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/protocol/kafka_sarama/v2"
	"github.com/cloudevents/sdk-go/protocol/nats_jetstream/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	cesdk "github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/nats-io/nats.go"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/cloudevents"
	"github.com/transom-gateway/transom/events/webhook"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// full is an event with all that one may have.
func full() *events.Event {
	return &events.Event{ID: "01890a5d-ac96-774b-bcce-b302099a8057", Source: "/transom/books.v1.Books/Create", Type: "user.book_created",
		Subject: "100% \"é\" \U0001f4da", Time: time.Date(2026, 11, 29, 12, 0, 0, 5e6, time.UTC), DataContentType: events.JSON, DataSchema: "https://gateway.example/schema/books.v1.Book",
		Extensions: []events.Extension{{Name: "correlationid", Value: "r 1"}, {Name: "traceparent", Value: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}},
		Data:       []byte(`{"title":"é"}`), Topic: "user_behaviors", Key: "ann é"}
}

// bytesOf is an event whose data is no JSON.
func bytesOf() *events.Event {
	e := full()
	e.DataContentType, e.Data = events.Protobuf, []byte{0, 1, 0xff}
	return e
}

// hold compares what the SDK has read with what was written.
func hold(t *testing.T, got *cesdk.Event, want *events.Event) {
	t.Helper()
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
	if got.ID() != want.ID || got.Source() != want.Source || got.Type() != want.Type || got.Subject() != want.Subject || !got.Time().Equal(want.Time) ||
		got.DataContentType() != want.DataContentType || got.DataSchema() != want.DataSchema || got.SpecVersion() != "1.0" || !bytes.Equal(got.Data(), want.Data) {
		t.Errorf("got %v, want %+v", got, want)
	}
	extensions := got.Extensions()
	if len(extensions) != len(want.Extensions)+1 || extensions["partitionkey"] != want.Key {
		t.Errorf("got the extensions %v", extensions)
	}
	for _, x := range want.Extensions {
		if extensions[x.Name] != x.Value {
			t.Errorf("%s: got %v, want %q", x.Name, extensions[x.Name], x.Value)
		}
	}
}

func TestSDKReadsKafka(t *testing.T) {
	for _, mode := range []cloudevents.Mode{cloudevents.Binary, cloudevents.Structured} {
		for _, want := range []*events.Event{full(), bytesOf()} {
			m, err := cloudevents.Kafka(want, mode)
			if err != nil {
				t.Fatal(err)
			}
			contentType, headers := "", map[string][]byte{}
			for _, h := range m.Headers {
				if headers[h.Name] = []byte(h.Value); h.Name == "content-type" {
					contentType = h.Value
				}
			}
			got, err := binding.ToEvent(context.Background(), kafka_sarama.NewMessage(m.Body, contentType, headers))
			if err != nil {
				t.Fatal(err)
			}
			hold(t, got, want)
		}
	}
}

// plain is e with values that headers hold as they are. The SDK does not decode others,
// against the binding for HTTP: "MUST be percent-decoded".
func plain(e *events.Event) *events.Event {
	e.Subject, e.Key, e.Extensions[0].Value = "book", "ann", "r-1"
	return e
}

func TestSDKReadsNATS(t *testing.T) {
	for want, mode := range map[*events.Event]cloudevents.Mode{full(): cloudevents.Structured, bytesOf(): cloudevents.Structured, plain(full()): cloudevents.Binary} {
		m, err := cloudevents.NATS(want, mode)
		if err != nil {
			t.Fatal(err)
		}
		message := &nats.Msg{Data: m.Body, Header: nats.Header{}}
		for _, h := range m.Headers {
			message.Header[h.Name] = []string{h.Value}
		}
		got, err := binding.ToEvent(context.Background(), nats_jetstream.NewMessage(message))
		if err != nil {
			t.Fatal(err)
		}
		hold(t, got, want)
	}
}

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// TestSDKReadsWebhooks has the SDK read what a webhook gets, and the verifier of Standard
// Webhooks look at its signatures, the old secret's and the new one's.
func TestSDKReadsWebhooks(t *testing.T) {
	const newer = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	for _, mode := range []transomv1.EventMode{transomv1.EventMode_BINARY, transomv1.EventMode_STRUCTURED, transomv1.EventMode_BATCH} {
		t.Run(mode.String(), func(t *testing.T) {
			var got []cesdk.Event
			receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err == nil {
					err = verify(body, r.Header, secret, newer)
				}
				r.Body = io.NopCloser(bytes.NewReader(body))
				if err == nil && mode == transomv1.EventMode_BATCH {
					var all []cesdk.Event
					all, err = cehttp.NewEventsFromHTTPRequest(r)
					got = append(got, all...)
				} else if err == nil {
					var one *cesdk.Event
					if one, err = cehttp.NewEventFromHTTPRequest(r); err == nil {
						got = append(got, *one)
					}
				}
				if err != nil {
					t.Error(err)
					w.WriteHeader(http.StatusBadRequest)
				}
			}))
			defer receiver.Close()
			s, err := webhook.Open("hook", &transomv1.WebhookSink{Url: receiver.URL, Mode: mode, Concurrency: 1, Secrets: []string{secret, newer}, Allow: []string{"127.0.0.1"}}, env(t))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			want := []*events.Event{full(), bytesOf()}
			if mode == transomv1.EventMode_BINARY {
				want = []*events.Event{plain(full()), plain(bytesOf())}
			}
			errs := make([]error, len(want))
			s.Send(t.Context(), want, errs)
			if len(got) != len(want) || errs[0] != nil || errs[1] != nil {
				t.Fatalf("got %d events, %v", len(got), errs)
			}
			for i := range got {
				hold(t, &got[i], want[i])
			}
		})
	}
}

// verify holds that each secret's verifier takes the signature, and that another's does not.
func verify(body []byte, header http.Header, secrets ...string) error {
	for _, text := range secrets {
		v, err := standardwebhooks.NewWebhook(text)
		if err != nil {
			return err
		}
		if err := v.Verify(body, header); err != nil {
			return err
		}
	}
	v, err := standardwebhooks.NewWebhookRaw([]byte(strings.Repeat("x", 24)))
	if err != nil {
		return err
	}
	if v.Verify(body, header) == nil {
		return fmt.Errorf("the signature %q is valid for any key", header.Get("Webhook-Signature"))
	}
	return nil
}
