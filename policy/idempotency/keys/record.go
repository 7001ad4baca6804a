package keys

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"strings"

	"golang.org/x/net/http/httpguts"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	grpcmetadata "google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/transom-gateway/transom/proxy"
)

// State is what is known of a key.
type State uint8

// States of a key.
const (
	Running   State = iota + 1 // a call under it is under way
	Answered                   // the backend has answered
	Bodyless                   // as Answered, but the answer was too large to be kept
	Uncertain                  // nobody knows whether the backend has done what it was asked
)

// Record is what is kept under a key. It is not changed once it is kept.
type Record struct {
	State       State
	Fingerprint Digest
	Status      *spb.Status // nil for OK
	Header      grpcmetadata.MD
	Trailer     grpcmetadata.MD
	Message     []byte
	// Of an answer by HTTP: its status, 0 for one by gRPC, and the authority of the server.
	// Message is its body then.
	HTTPStatus int
	Server     string
	// Forms are what is made of Message; nil where that is not kept.
	Forms *proxy.Forms
	// Source is the digest of what the request was made of, as its client wrote it, and Received the size
	// of its message; zero where they are not known. No store writes them: they hold within
	// one process.
	Source   Digest
	Received int64
}

// Size is how many bytes of memory a record takes, about.
func (r *Record) Size() int {
	n := overhead + len(r.Message) + len(r.Server) + proto.Size(r.Status)
	for _, md := range []grpcmetadata.MD{r.Header, r.Trailer} {
		if len(md) > 0 {
			n += 400 // the map's table
		}
		for key, values := range md {
			n += len(key) + 64
			for _, v := range values {
				n += len(v) + 16
			}
		}
	}
	return n
}

// Content is how much of that the answer takes.
func (r *Record) Content() int { return r.Size() - overhead }

// overhead is what a record takes without an answer, in bytes.
const overhead = 544

// Numbers of the fields by which a record is written.
const (
	stateNumber protowire.Number = iota + 1
	fingerprintNumber
	statusNumber
	headerNumber
	trailerNumber
	messageNumber
	httpStatusNumber
	serverNumber
)

// sumSize is that of the checksum which begins what is written of a record.
const sumSize = 16

// sum is the checksum of what is written under a key.
func sum(id Digest, body []byte) []byte {
	h := sha256.New()
	h.Write(id[:])
	h.Write(body)
	return h.Sum(nil)[:sumSize]
}

// seal writes a record for a store, under the ID of its key.
func (r *Record) seal(id Digest) []byte {
	b := r.marshal(make([]byte, sumSize, sumSize+256+len(r.Message)))
	copy(b, sum(id, b[sumSize:]))
	return b
}

// open reads what seal has written. What was cut or changed since, or belongs to another key, is no
// record: half an answer must not be given for a whole one, nor one caller's to another.
func open(id Digest, b []byte) (*Record, error) {
	if len(b) < sumSize || !bytes.Equal(sum(id, b[sumSize:]), b[:sumSize]) {
		return nil, errRecord
	}
	return unmarshal(b[sumSize:])
}

// marshal appends the fields of a record to b.
func (r *Record) marshal(b []byte) []byte {
	b = protowire.AppendVarint(protowire.AppendTag(b, stateNumber, protowire.VarintType), uint64(r.State))
	b = appendBytes(b, fingerprintNumber, r.Fingerprint[:])
	if r.Status != nil {
		if raw, err := proto.Marshal(r.Status); err == nil { // it was read from a wire
			b = appendBytes(b, statusNumber, raw)
		}
	}
	b = appendMetadata(b, headerNumber, r.Header)
	b = appendMetadata(b, trailerNumber, r.Trailer)
	if r.HTTPStatus != 0 {
		b = protowire.AppendVarint(protowire.AppendTag(b, httpStatusNumber, protowire.VarintType), uint64(r.HTTPStatus)) //nolint:gosec // three digits
	}
	if r.Server != "" {
		b = appendBytes(b, serverNumber, []byte(r.Server))
	}
	return appendBytes(b, messageNumber, r.Message)
}

func appendBytes(b []byte, number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), value)
}

func appendMetadata(b []byte, number protowire.Number, md grpcmetadata.MD) []byte {
	for name, values := range md {
		for _, value := range values {
			b = appendBytes(b, number, appendBytes(appendBytes(nil, 1, []byte(name)), 2, []byte(value)))
		}
	}
	return b
}

// errRecord is the error of bytes that are no record.
var errRecord = errors.New("found no record of idempotency_key in the store")

// unmarshal reads what marshal has written.
func unmarshal(b []byte) (*Record, error) {
	r := new(Record)
	for len(b) > 0 {
		number, t, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, errRecord
		}
		b = b[n:]
		if t == protowire.VarintType {
			v, n := protowire.ConsumeVarint(b)
			if n < 0 || !r.setNumber(number, v) {
				return nil, errRecord
			}
			b = b[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(b)
		if t != protowire.BytesType || n < 0 || !r.set(number, value) {
			return nil, errRecord
		}
		b = b[n:]
	}
	if r.State == 0 {
		return nil, errRecord
	}
	return r, nil
}

// setNumber is set for numbers.
func (r *Record) setNumber(number protowire.Number, v uint64) bool {
	switch {
	case number == stateNumber && v >= uint64(Answered) && v <= uint64(Uncertain):
		r.State = State(v)
	case number == httpStatusNumber && v >= 200 && v <= 999:
		r.HTTPStatus = int(v)
	default:
		return false
	}
	return true
}

// set sets a field, and reports whether there is one.
func (r *Record) set(number protowire.Number, value []byte) bool {
	switch number {
	case fingerprintNumber:
		return copy(r.Fingerprint[:], value) == len(r.Fingerprint) && len(value) == len(r.Fingerprint)
	case statusNumber:
		r.Status = new(spb.Status)
		return proto.Unmarshal(value, r.Status) == nil && r.Status.GetCode() != 0
	case headerNumber:
		return setMetadata(&r.Header, value)
	case trailerNumber:
		return setMetadata(&r.Trailer, value)
	case serverNumber:
		r.Server = string(value)
		return len(value) > 0
	case messageNumber:
		r.Message = append([]byte(nil), value...)
		return true
	}
	return false
}

func setMetadata(md *grpcmetadata.MD, pair []byte) bool {
	var texts [2]string
	for i := range texts {
		number, t, n := protowire.ConsumeTag(pair)
		if n < 0 || number != protowire.Number(i+1) || t != protowire.BytesType { //nolint:gosec // 1 or 2
			return false
		}
		value, m := protowire.ConsumeBytes(pair[n:])
		if m < 0 {
			return false
		}
		texts[i], pair = string(value), pair[n+m:]
	}
	if len(pair) > 0 || texts[0] == "" {
		return false
	}
	if !httpguts.ValidHeaderFieldName(texts[0]) || !strings.HasSuffix(texts[0], "-bin") && !httpguts.ValidHeaderFieldValue(texts[1]) {
		return true // no server has sent it: it is left out
	}
	if *md == nil {
		*md = grpcmetadata.MD{}
	}
	(*md)[texts[0]] = append((*md)[texts[0]], texts[1])
	return true
}
