package cloudevents

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/transom-gateway/transom/events"
)

// Mode is how an event stands in a message.
type Mode int

const (
	// Binary has attributes as headers, and the data as the body.
	Binary Mode = iota
	// Structured has all of it as one JSON document.
	Structured
)

// Media types of documents that hold events.
const (
	structuredType = "application/cloudevents+json; charset=utf-8"
	// BatchType is that of Batch.
	BatchType = "application/cloudevents-batch+json; charset=utf-8"
)

// MaxHeader is the most bytes of one header, and MaxHeaders that of all, names included.
const (
	MaxHeader  = 8 << 10
	MaxHeaders = 32 << 10
)

// Message is an event in the form of a binding.
type Message struct {
	Headers []Header
	// Body is never nil: brokers take a record without a value for the deletion of its key.
	Body []byte
	// Trimmed reports whether attributes were left out, as there was no room for them.
	Trimmed bool
}

// Header is a name, in the binding's spelling, and a value that can stand in a header.
type Header struct{ Name, Value string }

// binding is how the attributes of an event become headers.
type binding struct {
	prefix, contentType string
	// encode makes text a value of a header, and decode makes it text again.
	encode func(string) string
	decode func(string) (string, error)
	// anyCase is that of names which differ in case alone and are the same.
	anyCase bool
}

var (
	kafka = binding{"ce_", "content-type", validText, plainText, false}
	nats  = binding{"ce-", "content-type", percentEncoded, percentDecoded, true}
	http  = binding{"ce-", "Content-Type", percentEncoded, percentDecoded, true}
)

// Kafka is the event as a record.
func Kafka(e *events.Event, mode Mode) (Message, error) { return kafka.message(e, mode) }

// NATS is the event as a message of NATS.
func NATS(e *events.Event, mode Mode) (Message, error) { return nats.message(e, mode) }

// HTTP is the event as a request.
func HTTP(e *events.Event, mode Mode) (Message, error) { return http.message(e, mode) }

func (b binding) message(e *events.Event, mode Mode) (Message, error) {
	if mode == Structured {
		return Message{Headers: []Header{{b.contentType, structuredType}}, Body: AppendJSON(nil, e)}, nil
	}
	contentType, body := data(e)
	m := Message{Body: body, Headers: make([]Header, 0, len(e.Extensions)+9)}
	r := room{binding: b, message: &m, left: MaxHeaders}
	for _, a := range [...]events.Extension{{Name: "specversion", Value: "1.0"}, {Name: "id", Value: e.ID}, {Name: "source", Value: e.Source}, {Name: "type", Value: e.Type}} {
		if !r.add(a.Name, b.encode(a.Value)) {
			return Message{}, fmt.Errorf("the attribute %s has %d bytes, and each header at most %d, all together %d", a.Name, len(a.Value), MaxHeader, MaxHeaders)
		}
	}
	r.take(b.contentType, validText(contentType))
	for _, a := range optional(e) {
		if a.Value != "" {
			r.add(a.Name, b.encode(a.Value))
		}
	}
	r.extensions(e)
	return m, nil
}

// optional are the attributes that an event may lack.
func optional(e *events.Event) [3]events.Extension {
	at := ""
	if !e.Time.IsZero() {
		at = timestamp(e.Time)
	}
	return [...]events.Extension{{Name: "time", Value: at}, {Name: "dataschema", Value: e.DataSchema}, {Name: "subject", Value: e.Subject}}
}

// timestamp is a time as RFC 3339 has it.
func timestamp(at time.Time) string { return at.UTC().Format(time.RFC3339Nano) }

// data is the media type and the bytes of an event's data.
func data(e *events.Event) (contentType string, body []byte) {
	contentType, body = e.DataContentType, e.Data
	if contentType == "" {
		contentType = events.JSON
	}
	switch {
	case len(body) > 0:
	case isJSON(contentType):
		body = []byte("{}")
	default:
		body = []byte{}
	}
	return contentType, body
}

// isJSON reports whether a media type is one of JSON.
func isJSON(contentType string) bool {
	essence, _, _ := strings.Cut(contentType, ";")
	essence = strings.ToLower(strings.TrimSpace(essence))
	return essence == events.JSON || strings.HasSuffix(essence, "+json")
}

// extensions calls f for each extension that an event has, the key among them, unless its
// name is none.
func extensions(e *events.Event, f func(name, value string)) {
	if e.Key != "" && e.Extension("partitionkey") == "" {
		f("partitionkey", e.Key)
	}
	for _, x := range e.Extensions {
		if x.Value != "" && isExtension(x.Name) {
			f(x.Name, x.Value)
		}
	}
}

// isExtension reports whether a name is one of an extension.
func isExtension(name string) bool {
	switch name {
	case "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "data":
		return false
	}
	if name == "" || len(name) > 20 {
		return false
	}
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// validText is text in UTF-8, which headers of Kafka are of.
func validText(text string) string { return strings.ToValidUTF8(text, string(utf8.RuneError)) }

const upperHex = "0123456789ABCDEF"

// percentEncoded is text as the binding for HTTP writes it in headers.
func percentEncoded(text string) string {
	text = validText(text)
	escapes := 0
	for i := range len(text) {
		if escaped(text[i]) {
			escapes++
		}
	}
	if escapes == 0 {
		return text
	}
	encoded := make([]byte, 0, len(text)+2*escapes)
	for i := range len(text) {
		if c := text[i]; escaped(c) {
			encoded = append(encoded, '%', upperHex[c>>4], upperHex[c&15])
		} else {
			encoded = append(encoded, c)
		}
	}
	return string(encoded)
}

// escaped reports whether a byte of a value is written as %XX.
func escaped(c byte) bool { return c <= ' ' || c >= 0x7f || c == '"' || c == '%' }
