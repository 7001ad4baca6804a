package cloudevents

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/transom-gateway/transom/events"
)

// ErrPlain is returned for a message that is no event: it has no attributes of CloudEvents.
var ErrPlain = errors.New("the message has no attributes of CloudEvents")

// FromKafka is the event that a record holds, in the binary mode or the structured one. An error
// other than ErrPlain says what is wrong with a message that would be an event.
func FromKafka(headers []Header, body []byte) (*events.Event, error) {
	return kafka.read(headers, body)
}

// FromNATS is the event that a message of NATS holds, as FromKafka.
func FromNATS(headers []Header, body []byte) (*events.Event, error) {
	return nats.read(headers, body)
}

// maxExtensions is how many extensions an event may have.
const maxExtensions = 256

// read tells the mode by the media type.
func (b binding) read(headers []Header, body []byte) (*events.Event, error) {
	contentType, found := "", false
	for _, h := range headers {
		switch {
		case b.named(h.Name, b.contentType):
			contentType = h.Value
		case b.attribute(h.Name) != "":
			found = true
		}
	}
	essence, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	switch essence = strings.TrimSpace(essence); {
	case essence == "application/cloudevents+json":
		return parseJSON(body)
	case strings.HasPrefix(essence, "application/cloudevents"):
		return nil, fmt.Errorf("the message is of the media type %.100q, expected application/cloudevents+json, or attributes as headers", contentType)
	case !found:
		return nil, ErrPlain
	}
	return b.readBinary(headers, contentType, body)
}

// attribute is the name of the attribute that a header holds; "" for another header.
func (b binding) attribute(header string) string {
	if len(header) <= len(b.prefix) || !b.named(header[:len(b.prefix)], b.prefix) {
		return ""
	}
	if b.anyCase {
		return strings.ToLower(header[len(b.prefix):])
	}
	return header[len(b.prefix):]
}

// named reports whether a header has a name.
func (b binding) named(header, name string) bool {
	return header == name || b.anyCase && strings.EqualFold(header, name)
}

func (b binding) readBinary(headers []Header, contentType string, body []byte) (*events.Event, error) {
	a := attributes{seen: map[string]bool{}, event: &events.Event{DataContentType: contentType, Data: body}}
	for _, h := range headers {
		name := b.attribute(h.Name)
		if name == "" {
			continue
		}
		value, err := b.decode(h.Value)
		if err != nil {
			return nil, fmt.Errorf("the attribute %.50q: %w", name, err)
		}
		if err := a.set(name, value); err != nil {
			return nil, err
		}
	}
	return a.whole()
}

// attributes gathers those of an event.
type attributes struct {
	event *events.Event
	seen  map[string]bool
}

// set notes an attribute. Names that no attribute can have are passed over.
func (a *attributes) set(name, value string) error {
	if a.seen[name] {
		return fmt.Errorf("the attribute %.50q is there twice", name)
	}
	a.seen[name] = true
	e := a.event
	switch name {
	case "specversion":
		if value != "1.0" {
			return fmt.Errorf("found the specversion %.50q, expected 1.0", value)
		}
	case "id":
		e.ID = value
	case "source":
		e.Source = value
	case "type":
		e.Type = value
	case "subject":
		e.Subject = value
	case "dataschema":
		e.DataSchema = value
	case "time":
		at, err := time.Parse(time.RFC3339Nano, value)
		if err != nil {
			return fmt.Errorf("found the time %.50q, expected one such as 2026-01-02T15:04:05Z", value)
		}
		e.Time = at
	case "datacontenttype", "data", "data_base64": // a header of the first is none, and the others are no attributes
	default:
		if value == "" || !isExtension(name) {
			return nil
		}
		if len(e.Extensions) == maxExtensions {
			return fmt.Errorf("found more than %d extensions", maxExtensions)
		}
		e.SetExtension(name, value)
	}
	return nil
}

// whole is the event, which has all that each has.
func (a *attributes) whole() (*events.Event, error) {
	e := a.event
	for _, required := range [...]struct{ name, value string }{{"id", e.ID}, {"source", e.Source}, {"type", e.Type}} {
		if required.value == "" {
			return nil, fmt.Errorf("found attributes of CloudEvents without %s, which each event has", required.name)
		}
	}
	if !a.seen["specversion"] {
		return nil, errors.New("found attributes of CloudEvents without specversion, which each event has")
	}
	if e.Data == nil {
		e.Data = []byte{}
	}
	return e, nil
}

// parseJSON reads a document of the JSON format.
func parseJSON(document []byte) (*events.Event, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(document, &members); err != nil || members == nil {
		return nil, errors.New("the message is said to be an event in JSON, and is no JSON object")
	}
	a := attributes{seen: map[string]bool{}, event: &events.Event{}}
	for name, raw := range members {
		if name == "data" || name == "data_base64" || bytes.Equal(raw, null) {
			continue
		}
		value, err := scalar(raw)
		if err != nil {
			return nil, fmt.Errorf("the attribute %.50q: %w", name, err)
		}
		if name == "datacontenttype" {
			a.event.DataContentType = value
		}
		if err := a.set(name, value); err != nil {
			return nil, err
		}
	}
	var err error
	if a.event.Data, err = jsonData(a.event, members["data"], members["data_base64"]); err != nil {
		return nil, err
	}
	return a.whole()
}

var null = []byte("null")

// scalar is the value of an attribute, which has no other forms.
func scalar(raw json.RawMessage) (string, error) {
	switch raw[0] {
	case '"':
		var text string
		err := json.Unmarshal(raw, &text)
		return text, err
	case '{', '[':
		return "", errors.New("found an object or a list, expected a text, a number or a boolean")
	}
	return string(raw), nil
}

// jsonData is the data of an event in JSON.
func jsonData(e *events.Event, data, encoded json.RawMessage) ([]byte, error) {
	switch {
	case encoded != nil && data != nil:
		return nil, errors.New("found data beside data_base64, and only one of them can be")
	case encoded != nil:
		var content []byte
		if err := json.Unmarshal(encoded, &content); err != nil {
			return nil, errors.New("found data_base64 that is no text in base64")
		}
		return content, nil
	case data != nil && e.DataContentType == "":
		e.DataContentType = events.JSON
	case data != nil && data[0] == '"' && !isJSON(e.DataContentType):
		var text string
		err := json.Unmarshal(data, &text)
		return []byte(text), err
	}
	return data, nil
}

// plainText is a value as it stands, which must be UTF-8.
func plainText(value string) (string, error) {
	if !utf8.ValidString(value) {
		return "", errors.New("found a value that is no UTF-8")
	}
	return value, nil
}

// percentDecoded is a value that the binding for HTTP has encoded.
func percentDecoded(value string) (string, error) {
	if strings.IndexByte(value, '%') < 0 {
		return plainText(value)
	}
	text, err := url.PathUnescape(value)
	if err != nil {
		return "", errors.New("found a \"%\" that begins no encoded byte")
	}
	return plainText(text)
}
