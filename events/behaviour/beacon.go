package behaviour

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/url"
	"strings"

	"google.golang.org/protobuf/proto"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// Errors of Decode, besides those of bodies that are no JSON.
var (
	// ErrTooLarge is that of a body of more than MaxBody bytes, when it is inflated.
	ErrTooLarge = fmt.Errorf("the body has more than %d bytes", MaxBody)
	// ErrType is that of a body of another type.
	ErrType = errors.New("expected the content type text/plain, application/json, application/cloudevents+json, application/cloudevents-batch+json or application/x-www-form-urlencoded")
)

// Decode reads the body of a beacon (Events 189). Its type is as the header says it; gzipped tells
// that it is compressed. An event that cannot be read costs none of the others.
func Decode(contentType string, gzipped bool, body []byte) (*Batch, error) {
	if len(body) > MaxBody {
		return nil, ErrTooLarge
	}
	if gzipped {
		var err error
		if body, err = inflate(body); err != nil {
			return nil, err
		}
	}
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil && contentType != "" && kind == "" {
		return nil, ErrType
	}
	switch kind {
	case "", "text/plain", "application/json":
		return decode(body)
	case "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(body))
		if err != nil || !form.Has("data") {
			return nil, errors.New(`expected a form with the field "data"`)
		}
		return decode([]byte(form.Get("data")))
	case "application/cloudevents+json", "application/cloudevents-batch+json":
		return decodeCloudEvents(body)
	}
	return nil, ErrType
}

// inflate reads a gzip stream of bounded length.
func inflate(body []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("the body is no gzip stream: %w", err)
	}
	inflated, err := io.ReadAll(io.LimitReader(z, MaxBody+1))
	switch {
	case len(inflated) > MaxBody:
		return nil, ErrTooLarge
	case err != nil:
		return nil, fmt.Errorf("the body is no gzip stream: %w", err)
	}
	return inflated, nil
}

// decode reads an event, an array of them, or an object with such an array.
func decode(body []byte) (*Batch, error) {
	body = bytes.TrimSpace(body)
	b := new(Batch)
	if len(body) > 0 && body[0] == '[' {
		return b, elements(body, func(event []byte) { b.read(userEvent, event) })
	}
	var list, sentAt []byte
	cloudEvent := false
	err := members(body, func(name string, value []byte) {
		switch name {
		case "events", "batch":
			list = value
		case "sentAt", "sent_at":
			sentAt = value
		case "specversion":
			cloudEvent = true
		}
	})
	switch {
	case err != nil:
		return nil, err
	case cloudEvent:
		b.add(fromCloudEvent(body))
		return b, nil
	case list == nil:
		b.add(userEvent(body))
		return b, nil
	}
	if sentAt != nil {
		e, err := userEvent(bytes.Join([][]byte{[]byte(`{"sentAt":`), sentAt, []byte("}")}, nil))
		if err != nil {
			return nil, fmt.Errorf("sentAt: %w", err)
		}
		b.SentAt = e.GetSentAt()
	}
	return b, elements(list, func(event []byte) { b.read(userEvent, event) })
}

// decodeCloudEvents reads an event of CloudEvents, or an array of them.
func decodeCloudEvents(body []byte) (*Batch, error) {
	body = bytes.TrimSpace(body)
	b := new(Batch)
	if len(body) > 0 && body[0] == '[' {
		return b, elements(body, func(event []byte) { b.read(fromCloudEvent, event) })
	}
	if err := members(body, func(string, []byte) {}); err != nil {
		return nil, err
	}
	b.add(fromCloudEvent(body))
	return b, nil
}

// read adds the event of a text. Behind the first that is too many it reads nothing.
func (b *Batch) read(how func([]byte) (*transomv1.UserEvent, error), text []byte) {
	if len(b.Events) <= MaxEvents {
		b.add(how(text))
	}
}

// add adds an event, or why there is none.
func (b *Batch) add(e *transomv1.UserEvent, err error) {
	if err != nil {
		if b.Wrong == nil {
			b.Wrong = map[int]string{}
		}
		b.Wrong[len(b.Events)] = clipped(err.Error())
	}
	b.Events = append(b.Events, e)
}

var errLarge = errors.New("an event has at most 32 KiB")

// userEvent reads one event. What it does not know it leaves out, as a newer page may know more.
func userEvent(text []byte) (*transomv1.UserEvent, error) {
	if len(text) > maxEvent {
		return nil, errLarge
	}
	var scratch [1024]byte
	wire, err := plan().AppendWire(scratch[:0], text, jsonwire.Input{IgnoreUnknown: true})
	if err != nil {
		return nil, err
	}
	e := new(transomv1.UserEvent)
	if err := proto.Unmarshal(wire, e); err != nil {
		return nil, errors.New("it cannot be read")
	}
	return e, nil
}

// fromCloudEvent reads an event of CloudEvents in JSON: its data is a UserEvent, and its attributes
// go before what that says.
func fromCloudEvent(text []byte) (*transomv1.UserEvent, error) {
	attributes := map[string][]byte{}
	err := members(text, func(name string, value []byte) {
		switch name {
		case "specversion", "id", "type", "time", "data", "data_base64":
			attributes[name] = value
		}
	})
	switch {
	case err != nil:
		return nil, err
	case string(attributes["specversion"]) != `"1.0"`:
		return nil, errors.New(`expected "specversion": "1.0"`)
	case attributes["data_base64"] != nil:
		return nil, errors.New("expected data as JSON, not as data_base64")
	}
	e := new(transomv1.UserEvent)
	if data := attributes["data"]; data != nil {
		if e, err = userEvent(data); err != nil {
			return nil, fmt.Errorf("data: %w", err)
		}
	}
	var b strings.Builder
	b.WriteByte('{')
	for _, a := range [...]struct{ name, field string }{{"id", "messageId"}, {"type", "type"}, {"time", "timestamp"}} {
		if value := attributes[a.name]; value != nil {
			if b.Len() > 1 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, "%q:%s", a.field, value)
		}
	}
	b.WriteByte('}')
	own, err := userEvent([]byte(b.String()))
	if err != nil {
		return nil, err
	}
	proto.Merge(e, own)
	return e, nil
}
