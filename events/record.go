package events

import (
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// A record of the log is a protobuf message of these fields:
//
//	string topic = 1
//	string key = 2
//	repeated string sinks = 3
//	io.cloudevents.v1.CloudEvent event = 4
//	io.cloudevents.v1.CloudEvent intent = 5
//	string done = 6
//
// It has one of the last three. An intent is what is published if the record with its ID as done
// does not follow.
//
// The fields of a CloudEvent and of the values of its attributes are those of the
// CloudEvents protobuf format.
const (
	recordTopic  protowire.Number = 1
	recordKey    protowire.Number = 2
	recordSinks  protowire.Number = 3
	recordEvent  protowire.Number = 4
	recordIntent protowire.Number = 5
	recordDone   protowire.Number = 6

	eventID         protowire.Number = 1
	eventSource     protowire.Number = 2
	eventVersion    protowire.Number = 3
	eventType       protowire.Number = 4
	eventAttributes protowire.Number = 5
	eventBinary     protowire.Number = 6
	eventText       protowire.Number = 7

	attributeName  protowire.Number = 1
	attributeValue protowire.Number = 2

	valueString    protowire.Number = 3
	valueURI       protowire.Number = 5
	valueTimestamp protowire.Number = 7

	timestampSeconds protowire.Number = 1
	timestampNanos   protowire.Number = 2
)

// The names of attributes that are not fields of a CloudEvent.
const (
	attributeTime        = "time"
	attributeSubject     = "subject"
	attributeContentType = "datacontenttype"
	attributeSchema      = "dataschema"
)

const specVersion = "1.0"

// AppendRecord appends an event as the log keeps it, with its topic, key and sinks.
func AppendRecord(dst []byte, e *Event) []byte { return appendRecord(dst, recordEvent, e) }

// AppendIntent appends an event that is to be published unless AppendDone follows.
func AppendIntent(dst []byte, e *Event) []byte { return appendRecord(dst, recordIntent, e) }

// AppendDone appends that the intent of that ID is none any more.
func AppendDone(dst []byte, id string) []byte { return appendString(dst, recordDone, id) }

func appendRecord(dst []byte, kind protowire.Number, e *Event) []byte {
	size := sizeCloudEvent(e)
	all := sizeString(recordTopic, e.Topic) + sizeString(recordKey, e.Key) + protowire.SizeTag(kind) + protowire.SizeBytes(size)
	for _, name := range e.Sinks {
		all += sizeString(recordSinks, name)
	}
	dst = slices.Grow(dst, all)
	dst = appendString(dst, recordTopic, e.Topic)
	dst = appendString(dst, recordKey, e.Key)
	for _, name := range e.Sinks {
		dst = appendString(dst, recordSinks, name)
	}
	dst = protowire.AppendTag(dst, kind, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(size)) //nolint:gosec // it is not negative
	return AppendCloudEvent(dst, e)
}

// AppendCloudEvent appends an event as a message of the type io.cloudevents.v1.CloudEvent. Data
// that is text stands there as such.
func AppendCloudEvent(dst []byte, e *Event) []byte {
	dst = appendString(dst, eventID, e.ID)
	dst = appendString(dst, eventSource, e.Source)
	dst = appendString(dst, eventVersion, specVersion)
	dst = appendString(dst, eventType, e.Type)
	if !e.Time.IsZero() {
		dst = appendTime(dst, e.Time)
	}
	dst = appendAttribute(dst, attributeSubject, valueString, e.Subject)
	dst = appendAttribute(dst, attributeContentType, valueString, e.DataContentType)
	dst = appendAttribute(dst, attributeSchema, valueURI, e.DataSchema)
	for i := range e.Extensions {
		dst = appendAttribute(dst, e.Extensions[i].Name, valueString, e.Extensions[i].Value)
	}
	if e.Data == nil {
		return dst
	}
	dst = protowire.AppendTag(dst, e.dataField(), protowire.BytesType)
	return protowire.AppendBytes(dst, e.Data)
}

// dataField is the field of a CloudEvent that holds the data.
func (e *Event) dataField() protowire.Number {
	if e.DataContentType == JSON && utf8.Valid(e.Data) {
		return eventText
	}
	return eventBinary
}

func sizeCloudEvent(e *Event) int {
	n := sizeString(eventID, e.ID) + sizeString(eventSource, e.Source) + sizeString(eventVersion, specVersion) + sizeString(eventType, e.Type)
	if !e.Time.IsZero() {
		inner := sizeEntry(attributeTime, protowire.SizeTag(valueTimestamp)+protowire.SizeBytes(sizeTimestamp(e.Time)))
		n += protowire.SizeTag(eventAttributes) + protowire.SizeBytes(inner)
	}
	n += sizeAttribute(attributeSubject, e.Subject) + sizeAttribute(attributeContentType, e.DataContentType) + sizeAttribute(attributeSchema, e.DataSchema)
	for i := range e.Extensions {
		n += sizeAttribute(e.Extensions[i].Name, e.Extensions[i].Value)
	}
	if e.Data == nil {
		return n
	}
	return n + protowire.SizeTag(eventBinary) + protowire.SizeBytes(len(e.Data))
}

func appendString(dst []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return dst
	}
	return protowire.AppendString(protowire.AppendTag(dst, field, protowire.BytesType), s)
}

func sizeString(field protowire.Number, s string) int {
	if s == "" {
		return 0
	}
	return protowire.SizeTag(field) + protowire.SizeBytes(len(s))
}

// sizeEntry is the size of an entry of attributes, whose value has that size.
func sizeEntry(name string, value int) int {
	return sizeString(attributeName, name) + protowire.SizeTag(attributeValue) + protowire.SizeBytes(value)
}

func sizeAttribute(name, value string) int {
	if value == "" {
		return 0
	}
	entry := sizeEntry(name, protowire.SizeTag(valueString)+protowire.SizeBytes(len(value)))
	return protowire.SizeTag(eventAttributes) + protowire.SizeBytes(entry)
}

func appendAttribute(dst []byte, name string, kind protowire.Number, value string) []byte {
	if value == "" {
		return dst
	}
	inner := protowire.SizeTag(kind) + protowire.SizeBytes(len(value))
	dst = appendEntry(dst, name, inner)
	dst = protowire.AppendTag(dst, kind, protowire.BytesType)
	return protowire.AppendString(dst, value)
}

// appendEntry appends an entry of attributes up to its value, which has that size.
func appendEntry(dst []byte, name string, value int) []byte {
	dst = protowire.AppendTag(dst, eventAttributes, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(sizeEntry(name, value))) //nolint:gosec // it is not negative
	dst = appendString(dst, attributeName, name)
	dst = protowire.AppendTag(dst, attributeValue, protowire.BytesType)
	return protowire.AppendVarint(dst, uint64(value)) //nolint:gosec // it is not negative
}

func sizeTimestamp(t time.Time) int {
	n := 0
	if s := t.Unix(); s != 0 {
		n += protowire.SizeTag(timestampSeconds) + protowire.SizeVarint(uint64(s)) //nolint:gosec // as protobuf has int64
	}
	if ns := t.Nanosecond(); ns != 0 {
		n += protowire.SizeTag(timestampNanos) + protowire.SizeVarint(uint64(ns)) //nolint:gosec // it is not negative
	}
	return n
}

func appendTime(dst []byte, t time.Time) []byte {
	size := sizeTimestamp(t)
	dst = appendEntry(dst, attributeTime, protowire.SizeTag(valueTimestamp)+protowire.SizeBytes(size))
	dst = protowire.AppendTag(dst, valueTimestamp, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(size)) //nolint:gosec // it is not negative
	if s := t.Unix(); s != 0 {
		dst = protowire.AppendVarint(protowire.AppendTag(dst, timestampSeconds, protowire.VarintType), uint64(s)) //nolint:gosec // as protobuf has int64
	}
	if ns := t.Nanosecond(); ns != 0 {
		dst = protowire.AppendVarint(protowire.AppendTag(dst, timestampNanos, protowire.VarintType), uint64(ns)) //nolint:gosec // it is not negative
	}
	return dst
}

// ErrRecord is wrapped by the error of ParseRecord and ParseCloudEvent.
var ErrRecord = errors.New("this is no event")

// Record is what the log keeps in one record: one of these.
type Record struct {
	// Event is published, and Intent unless Done follows.
	Event, Intent *Event
	// Done is the ID of an intent.
	Done string
}

// ParseRecord reads what AppendRecord, AppendIntent or AppendDone wrote. The events share no
// memory with record.
func ParseRecord(record []byte) (Record, error) {
	e, r := &Event{}, Record{}
	err := eachField(record, func(field protowire.Number, value []byte) error {
		switch field {
		case recordTopic:
			e.Topic = string(value)
		case recordKey:
			e.Key = string(value)
		case recordSinks:
			e.Sinks = append(e.Sinks, string(value))
		case recordEvent:
			r.Event = e
			return e.parse(value)
		case recordIntent:
			r.Intent = e
			return e.parse(value)
		case recordDone:
			r.Done = string(value)
		}
		return nil
	})
	switch {
	case err != nil:
		return Record{}, err
	case r.Event == nil && r.Intent == nil && r.Done == "", r.Event != nil && r.Intent != nil, r.Done != "" && (r.Event != nil || r.Intent != nil):
		return Record{}, fmt.Errorf("%w: a record of none or of several", ErrRecord)
	}
	return r, nil
}

// ParseCloudEvent reads a message of the type io.cloudevents.v1.CloudEvent whose attributes are
// texts, URIs or times. The event has no topic.
func ParseCloudEvent(message []byte) (*Event, error) {
	e := &Event{}
	if err := e.parse(message); err != nil {
		return nil, err
	}
	return e, nil
}

func (e *Event) parse(message []byte) error {
	return eachField(message, func(field protowire.Number, value []byte) error {
		switch field {
		case eventID:
			e.ID = string(value)
		case eventSource:
			e.Source = string(value)
		case eventVersion:
			if string(value) != specVersion {
				return fmt.Errorf("%w: specversion %q, expected %q", ErrRecord, value, specVersion)
			}
		case eventType:
			e.Type = string(value)
		case eventAttributes:
			return e.parseAttribute(value)
		case eventBinary, eventText:
			e.Data = append([]byte{}, value...)
		}
		return nil
	})
}

func (e *Event) parseAttribute(entry []byte) error {
	var name string
	var value []byte
	err := eachField(entry, func(field protowire.Number, v []byte) error {
		switch field {
		case attributeName:
			name = string(v)
		case attributeValue:
			value = v
		}
		return nil
	})
	if err != nil {
		return err
	}
	return eachField(value, func(_ protowire.Number, v []byte) error {
		switch name {
		case attributeTime:
			var err error
			e.Time, err = parseTime(v)
			return err
		case attributeSubject:
			e.Subject = string(v)
		case attributeContentType:
			e.DataContentType = string(v)
		case attributeSchema:
			e.DataSchema = string(v)
		default:
			e.Extensions = append(e.Extensions, Extension{name, string(v)})
		}
		return nil
	})
}

func parseTime(message []byte) (time.Time, error) {
	var seconds, nanos int64
	for len(message) > 0 {
		field, kind, n := protowire.ConsumeTag(message)
		if n < 0 || kind != protowire.VarintType {
			return time.Time{}, fmt.Errorf("%w: no time", ErrRecord)
		}
		v, m := protowire.ConsumeVarint(message[n:])
		if m < 0 {
			return time.Time{}, fmt.Errorf("%w: no time", ErrRecord)
		}
		switch field {
		case timestampSeconds:
			seconds = int64(v) //nolint:gosec // as protobuf has int64
		case timestampNanos:
			nanos = int64(v) //nolint:gosec // as protobuf has int32
		}
		message = message[n+m:]
	}
	if nanos < 0 || nanos >= int64(time.Second) {
		return time.Time{}, fmt.Errorf("%w: no time", ErrRecord)
	}
	return time.Unix(seconds, nanos).UTC(), nil
}

// eachField calls each with the fields of a message that are strings, bytes or messages; it
// skips others.
func eachField(message []byte, each func(protowire.Number, []byte) error) error {
	for len(message) > 0 {
		field, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return fmt.Errorf("%w: %w", ErrRecord, protowire.ParseError(n))
		}
		message = message[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(field, kind, message); n < 0 {
				return fmt.Errorf("%w: %w", ErrRecord, protowire.ParseError(n))
			}
			message = message[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(message)
		if n < 0 {
			return fmt.Errorf("%w: %w", ErrRecord, protowire.ParseError(n))
		}
		if err := each(field, value); err != nil {
			return err
		}
		message = message[n:]
	}
	return nil
}
