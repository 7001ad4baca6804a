package events

import (
	"crypto/rand"
	"encoding/hex"
	"slices"
	"time"
)

// Media types of an event's data.
const (
	JSON     = "application/json"
	Protobuf = "application/protobuf"
)

// Event is a CloudEvents 1.0 event, and where it goes.
type Event struct {
	// ID and Source together are the key by which consumers find doubles.
	ID, Source string
	Type       string
	// Subject is optional.
	Subject string
	// Time is that of the call.
	Time time.Time
	// DataContentType is JSON or Protobuf, for events of the gateway's own. DataSchema is
	// optional.
	DataContentType, DataSchema string
	// Extensions are further attributes, by their names in ascending order.
	Extensions []Extension
	// Data is what happened. It is never nil in an event that is published.
	Data []byte

	// Topic is where it goes.
	Topic string
	// Key is what events are ordered by; "" for none. It is the extension partitionkey.
	Key string
	// Sinks are the names of those that get it; nil for all.
	Sinks []string
}

// Extension is an attribute that CloudEvents does not define itself.
type Extension struct {
	// Name is of 1 to 20 of a-z and 0-9.
	Name  string
	Value string
}

// Extension is the value of an extension, "" for one that is not there.
func (e *Event) Extension(name string) string {
	for i := range e.Extensions {
		if e.Extensions[i].Name == name {
			return e.Extensions[i].Value
		}
	}
	return ""
}

// SetExtension adds an extension that is not there yet, at its place.
func (e *Event) SetExtension(name, value string) {
	i := 0
	for i < len(e.Extensions) && e.Extensions[i].Name < name {
		i++
	}
	e.Extensions = slices.Insert(e.Extensions, i, Extension{name, value})
}

// For reports whether a sink gets the event.
func (e *Event) For(sink string) bool {
	return e.Sinks == nil || slices.Contains(e.Sinks, sink)
}

// NewID returns a UUID of version 7 (RFC 9562) for an event of that time. As text, ids are in the
// order of their times, to a 4096th of a millisecond (section 6.2, method 3).
func NewID(at time.Time) string {
	var id [16]byte
	_, _ = rand.Read(id[8:])     // it does not fail
	ms := uint64(at.UnixMilli()) //nolint:gosec // events are not of before 1970
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	part := at.Nanosecond() % 1e6 * 4096 / 1e6
	id[6], id[7] = 0x70|byte(part>>8), byte(part)
	id[8] = id[8]&0x3f | 0x80
	var text [36]byte
	hex.Encode(text[:8], id[:4])
	text[8] = '-'
	hex.Encode(text[9:13], id[4:6])
	text[13] = '-'
	hex.Encode(text[14:18], id[6:8])
	text[18] = '-'
	hex.Encode(text[19:23], id[8:10])
	text[23] = '-'
	hex.Encode(text[24:], id[10:])
	return string(text[:])
}
