package idempotency

import (
	"errors"
	"maps"
	"strings"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	grpcmetadata "google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/transport"
)

// state is what is known of a key.
type state uint8

const (
	running   state = iota + 1 // a call under it is under way
	answered                   // the backend has answered
	bodyless                   // as answered, but the answer was too large to be kept
	uncertain                  // nobody knows whether the backend has done what it was asked
)

// record is what is kept under a key.
type record struct {
	state       state
	fingerprint digest
	status      *spb.Status // nil for OK
	header      grpcmetadata.MD
	trailer     grpcmetadata.MD
	message     []byte
}

// size is how many bytes of memory a record takes, about.
func (r *record) size() int {
	n := overhead + len(r.message) + proto.Size(r.status)
	for _, md := range []grpcmetadata.MD{r.header, r.trailer} {
		for key, values := range md {
			n += len(key) + 64
			for _, v := range values {
				n += len(v) + 16
			}
		}
	}
	return n
}

// overhead is what a record takes without an answer, in bytes.
const overhead = 512

// outcome is what the end of a call is for its key.
type outcome int

const (
	keep    outcome = iota // it is the answer
	release                // the next call under the key is made
	unknown                // see uncertain
)

// judge says what the end of a call is for its key (Traffic 89, 90).
func (p *part) judge(reply *proxy.Reply, err error, refused bool) outcome {
	if err == nil {
		return keep
	}
	var told *transport.ToldError
	if !errors.As(err, &told) {
		first := reply.Tries.Attempts <= 1
		if refused || first && (reply.Tries.Unsent || neverSent(err)) {
			return release
		}
		return p.unknown()
	}
	switch told.GRPCStatus().Code() {
	case codes.Unauthenticated:
		return release
	case codes.Unavailable, codes.ResourceExhausted, codes.Aborted:
		if p.rule.GetStrict() {
			return p.unknown()
		}
		return release
	case codes.Canceled, codes.DeadlineExceeded:
		return p.unknown()
	}
	return keep
}

// neverSent reports whether no server has looked at a call that ended so.
func neverSent(err error) bool {
	return errors.Is(err, transport.ErrUnsent) || errors.Is(err, transport.ErrUnprocessed) || errors.Is(err, transport.ErrRequest)
}

// unknown is the outcome where nobody knows it.
func (p *part) unknown() outcome {
	if p.rule.GetBackendHonours() {
		return release
	}
	return unknown
}

// recordOf is what is kept of the end of a call.
func (p *part) recordOf(fingerprint digest, reply *proxy.Reply, err error, o outcome) *record {
	r := &record{state: answered, fingerprint: fingerprint}
	if err != nil {
		r.status = status.Convert(err).Proto()
	}
	if o == unknown {
		r.state = uncertain
		return r
	}
	r.header, r.trailer = crossing(reply.Header), crossing(reply.Trailer)
	r.message = append(r.message, reply.Message.Bytes()...)
	if r.size()-overhead > p.limit {
		return &record{state: bodyless, fingerprint: fingerprint}
	}
	return r
}

// crossing is the metadata that is kept: not what is of one call or one connection.
func crossing(md grpcmetadata.MD) grpcmetadata.MD {
	if len(md) == 0 {
		return nil
	}
	kept := maps.Clone(md)
	maps.DeleteFunc(kept, func(name string, _ []string) bool { return once[name] || strings.HasPrefix(name, "ratelimit") })
	return kept
}

// once are names of metadata that are of one call (Traffic 91).
var once = map[string]bool{
	"set-cookie": true, "date": true, "x-request-id": true, "traceparent": true, "tracestate": true, "retry-after": true,
	"connection": true, "keep-alive": true, "proxy-connection": true, "te": true, "trailer": true, "transfer-encoding": true, "upgrade": true,
	"x-ratelimit-limit": true, "x-ratelimit-remaining": true, "x-ratelimit-reset": true,
}

// Numbers of the fields by which a record is written.
const (
	stateNumber protowire.Number = iota + 1
	fingerprintNumber
	statusNumber
	headerNumber
	trailerNumber
	messageNumber
)

// marshal writes a record for a store.
func (r *record) marshal() []byte {
	b := protowire.AppendVarint(protowire.AppendTag(nil, stateNumber, protowire.VarintType), uint64(r.state))
	b = appendBytes(b, fingerprintNumber, r.fingerprint[:])
	if r.status != nil {
		if raw, err := proto.Marshal(r.status); err == nil { // it was read from a wire
			b = appendBytes(b, statusNumber, raw)
		}
	}
	b = appendMetadata(b, headerNumber, r.header)
	b = appendMetadata(b, trailerNumber, r.trailer)
	return appendBytes(b, messageNumber, r.message)
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
func unmarshal(b []byte) (*record, error) {
	r := new(record)
	for len(b) > 0 {
		number, t, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, errRecord
		}
		b = b[n:]
		if t == protowire.VarintType && number == stateNumber {
			v, n := protowire.ConsumeVarint(b)
			if n < 0 || v < uint64(answered) || v > uint64(uncertain) {
				return nil, errRecord
			}
			r.state = state(v)
			b = b[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(b)
		if t != protowire.BytesType || n < 0 || !r.set(number, value) {
			return nil, errRecord
		}
		b = b[n:]
	}
	if r.state == 0 {
		return nil, errRecord
	}
	return r, nil
}

// set sets a field, and reports whether there is one.
func (r *record) set(number protowire.Number, value []byte) bool {
	switch number {
	case fingerprintNumber:
		return copy(r.fingerprint[:], value) == len(r.fingerprint) && len(value) == len(r.fingerprint)
	case statusNumber:
		r.status = new(spb.Status)
		return proto.Unmarshal(value, r.status) == nil && r.status.GetCode() != 0
	case headerNumber:
		return setMetadata(&r.header, value)
	case trailerNumber:
		return setMetadata(&r.trailer, value)
	case messageNumber:
		r.message = append([]byte(nil), value...)
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
	if *md == nil {
		*md = grpcmetadata.MD{}
	}
	(*md)[texts[0]] = append((*md)[texts[0]], texts[1])
	return true
}
