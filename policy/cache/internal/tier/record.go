package tier

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
	"google.golang.org/grpc/metadata"
)

// Record is an answer, or what answers vary by.
type Record struct {
	// Marker tells that it is no answer: Vary holds the headers that answers vary by.
	Marker bool
	// NotFound tells that the answer is the error NOT_FOUND with the message Text.
	NotFound bool
	Text     string

	Header, Trailer metadata.MD
	Message         []byte
	Vary            []string // names of headers

	// Age is how old the answer is; Fresh is how long it is fresh from now on, and
	// WhileRevalidate and IfError how long it may be given when it is stale. All but Age may
	// be below zero.
	Age, Fresh, WhileRevalidate, IfError time.Duration

	written time.Time
	life    time.Duration // in Redis
	stamps  []stamp
}

// Tags calls yield with what the answer is dropped by, except for what is in known.
func (r *Record) Tags(known ...Digest) []Digest {
	var all []Digest
next:
	for i := range r.stamps {
		for _, d := range known {
			if d == r.stamps[i].of {
				continue next
			}
		}
		all = append(all, r.stamps[i].of)
	}
	return all
}

// age has the record's times go on by what is over since it was written: by what is left of
// its life in Redis, or by the clock, if more is over by that. So neither a clock that is
// wrong makes an answer younger, nor a Redis that was stopped. It reports whether the answer
// is of use still.
func (r *Record) age(left time.Duration, now time.Time) bool {
	if left <= 0 {
		return false
	}
	over := min(max(r.life-left, now.Sub(r.written), 0), maxTime)
	r.Age += over
	r.Fresh -= over
	r.WhileRevalidate -= over
	r.IfError -= over
	return max(r.Fresh, r.WhileRevalidate, r.IfError) > 0
}

const (
	// version begins each record. One of another version is none.
	version = 2

	flagMarker   = 1
	flagNotFound = 2

	// sumAt and bodyAt are where the checksum and what it is over begin.
	sumAt  = 1
	bodyAt = sumAt + 16

	maxRecord = 2 << 20
	maxStamps = 64
	maxVary   = 64
	maxPairs  = 1024
	// maxTime bounds the times of a record.
	maxTime = 2 * 366 * 24 * time.Hour
)

// sum is the checksum of the rest of a record under a key: what is damaged, or is the answer
// to another call, is not read.
func sum(key Key, body []byte) [bodyAt - sumAt]byte {
	h := sha256.New()
	h.Write(key[:])
	h.Write(body)
	var all [sha256.Size]byte
	h.Sum(all[:0])
	return [bodyAt - sumAt]byte(all[:])
}

// marshal writes the record under a key: the version, a checksum, flags, times in
// milliseconds, stamps, names of headers, metadata, text and message, each with its length
// before it.
func (r *Record) marshal(key Key) []byte {
	b := make([]byte, bodyAt, 256+len(r.Message))
	var flags byte
	if r.Marker {
		flags |= flagMarker
	}
	if r.NotFound {
		flags |= flagNotFound
	}
	b[0] = version
	b = append(b, flags)
	b = binary.AppendVarint(b, r.written.UnixMilli())
	for _, d := range []time.Duration{r.life, r.Age, r.Fresh, r.WhileRevalidate, r.IfError} {
		b = binary.AppendVarint(b, d.Milliseconds())
	}
	b = binary.AppendUvarint(b, uint64(len(r.stamps)))
	for i := range r.stamps {
		b = append(append(b, r.stamps[i].of[:]...), r.stamps[i].generation[:]...)
	}
	b = binary.AppendUvarint(b, uint64(len(r.Vary)))
	for _, v := range r.Vary {
		b = appendText(b, v)
	}
	b = appendMetadata(b, r.Header)
	b = appendMetadata(b, r.Trailer)
	b = appendText(b, r.Text)
	b = append(b, r.Message...)
	checked := sum(key, b[bodyAt:])
	copy(b[sumAt:], checked[:])
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendMetadata(b []byte, md metadata.MD) []byte {
	n := 0
	for _, values := range md {
		n += len(values)
	}
	b = binary.AppendUvarint(b, uint64(n)) //nolint:gosec // a length
	for name, values := range md {
		for _, v := range values {
			b = appendText(appendText(b, name), v)
		}
	}
	return b
}

// errRecord is the error of bytes that are no record.
var errRecord = errors.New("found no whole record of this version")

// unmarshal reads what marshal has written under a key. The record holds on to b.
func unmarshal(key Key, b []byte) (*Record, error) {
	if len(b) <= bodyAt || len(b) > maxRecord || b[0] != version || sum(key, b[bodyAt:]) != [bodyAt - sumAt]byte(b[sumAt:]) {
		return nil, errRecord
	}
	return parse(b[bodyAt:])
}

// parse reads what the checksum of a record is over.
func parse(b []byte) (*Record, error) {
	flags := b[0]
	if flags > flagMarker|flagNotFound {
		return nil, errRecord
	}
	r := &Record{Marker: flags&flagMarker != 0, NotFound: flags&flagNotFound != 0}
	d := decoder{b: b[1:]}
	r.written = time.UnixMilli(d.number(1 << 50))
	for _, to := range []*time.Duration{&r.life, &r.Age, &r.Fresh, &r.WhileRevalidate, &r.IfError} {
		*to = time.Duration(d.number(maxTime.Milliseconds())) * time.Millisecond
	}
	for range d.count(maxStamps) {
		s := stamp{Digest(d.bytes(len(Digest{}))), generation(d.bytes(len(generation{})))}
		_, known := find(r.stamps, s.of)
		d.bad = d.bad || known
		r.stamps = append(r.stamps, s)
		if d.bad {
			return nil, errRecord
		}
	}
	for range d.count(maxVary) {
		name := d.text()
		d.bad = d.bad || !httpguts.ValidHeaderFieldName(name)
		r.Vary = append(r.Vary, name)
	}
	r.Header, r.Trailer = d.metadata(), d.metadata()
	r.Text = d.text()
	if r.Message = d.b; d.bad || r.Age < 0 || r.life <= 0 || r.life > MaxLife || r.Marker && (r.NotFound || len(r.Vary) == 0) || (r.Marker || r.NotFound) && len(r.Message) > 0 {
		return nil, errRecord
	}
	return r, nil
}

// decoder reads the parts of a record. When bad is set, what it returns means nothing, and
// has the size that was asked for.
type decoder struct {
	b   []byte
	bad bool
}

// number reads one of at most most, in both directions.
func (d *decoder) number(most int64) int64 {
	v, n := binary.Varint(d.b)
	if d.bad = d.bad || n <= 0 || v > most || v < -most; d.bad {
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads how many follow; each takes a byte at least.
func (d *decoder) count(most int) int {
	v, n := binary.Uvarint(d.b)
	if d.bad = d.bad || n <= 0 || v > uint64(most) || v > uint64(len(d.b)-n); d.bad { //nolint:gosec // lengths
		return 0
	}
	d.b = d.b[n:]
	return int(v) //nolint:gosec // at most most
}

func (d *decoder) bytes(n int) []byte {
	if d.bad = d.bad || n > len(d.b); d.bad {
		return make([]byte, n)
	}
	taken := d.b[:n:n]
	d.b = d.b[n:]
	return taken
}

func (d *decoder) text() string { return string(d.bytes(d.count(maxRecord))) }

func (d *decoder) metadata() metadata.MD {
	n := d.count(maxPairs)
	if n == 0 {
		return nil
	}
	md := metadata.MD{}
	for range n {
		name, value := d.text(), d.text()
		if d.bad = d.bad || !mayBeMetadata(name, value); d.bad {
			return nil
		}
		md[name] = append(md[name], value)
	}
	return md
}

// mayBeMetadata reports whether a cache may keep the metadata. What belongs to the protocol
// is none, and an answer with a cookie is not kept.
func mayBeMetadata(name, value string) bool {
	if !httpguts.ValidHeaderFieldName(name) || strings.ToLower(name) != name || strings.HasPrefix(name, "grpc-") || name == "set-cookie" {
		return false
	}
	return strings.HasSuffix(name, "-bin") || httpguts.ValidHeaderFieldValue(value)
}
