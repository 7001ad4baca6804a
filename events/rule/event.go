package rule

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/internal/rpccode"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/expr"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// rule is one rule for one moment, compiled.
type rule struct {
	moment              transomv1.EventRule_Moment
	group               int // rules of one entry
	kind, source, topic string
	sinks               []string
	durable, intent     bool
	share               float64
	rate                string // sampledrate
	sampleErrors        bool
	when                *expr.Expression
	subject, key        *value
	keyHeader           string
	keyless             bool
	data                *data
}

// readsRequest reports whether it needs the request.
func (r *rule) readsRequest() bool {
	of := func(v *value) bool { return v != nil && !v.response }
	return of(r.subject) || of(r.key) || r.when != nil && r.when.ReadsRequest || r.data != nil && r.data.request != nil
}

// facts are what is known of a call at a moment.
type facts struct {
	r                 *policy.Request
	at                time.Time
	request, response []byte // nil: not known
	failed            bool
	code              codes.Code
	httpStatus        int // of a plain HTTP route
}

// applies reports whether a call publishes the event.
func (r *rule) applies(ctx context.Context, f *facts) bool {
	if r.moment != transomv1.EventRule_ERROR || r.sampleErrors {
		if !r.drawn(r.keyOf(f)) {
			return false
		}
	}
	if r.when == nil {
		return true
	}
	is, err := r.when.EvaluateWithResponse(context.WithoutCancel(ctx), f.r, f.request, f.response)
	return err == nil && is == types.True
}

// drawn decides by the key, so that all events of one key are published or none
// (Events 132).
func (r *rule) drawn(key string) bool {
	switch {
	case r.share >= 1:
		return true
	case key == "":
		return rand.Float64() < r.share //nolint:gosec // nothing is secret
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(key)) // a hash takes all
	return mix(h.Sum64()) < r.share
}

// mix spreads a hash over 0 to 1.
func mix(h uint64) float64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	return float64(h>>11) / (1 << 53)
}

// maxValue is the largest key or subject, in bytes.
const maxValue = 1 << 10

// keyOf is what an event is ordered by.
func (r *rule) keyOf(f *facts) string {
	switch {
	case r.keyless:
		return ""
	case r.key != nil:
		return keyText(r.key.of(f))
	case r.keyHeader == "host":
		return keyText(f.r.Authority())
	case r.keyHeader != "":
		return keyText(f.r.HTTP.Header.Get(r.keyHeader))
	case f.r.Identity != nil:
		return keyText(f.r.Identity.Principal)
	}
	return ""
}

// keyText has large keys stand as their hash.
func keyText(key string) string {
	if len(key) > maxValue {
		sum := sha256.Sum256([]byte(key))
		return hex.EncodeToString(sum[:])
	}
	return clean(key)
}

// clean makes a text that an attribute may have: CloudEvents knows no control characters.
func clean(text string) string {
	bad := func(c rune) bool { return c < ' ' || c >= 0x7f && c <= 0x9f || c == '\uFFFD' }
	if strings.IndexFunc(text, bad) < 0 {
		return text
	}
	return strings.Map(func(c rune) rune {
		if bad(c) {
			return '\uFFFD'
		}
		return c
	}, text)
}

// event makes the event of a rule.
func (b *bus) event(r *rule, f *facts) *events.Event {
	e := &events.Event{
		ID: events.NewID(f.at), Source: r.source, Type: r.kind, Time: f.at,
		Topic: r.topic, Key: r.keyOf(f), Sinks: r.sinks, DataContentType: events.JSON,
	}
	if r.subject != nil {
		if e.Subject = clean(r.subject.of(f)); len(e.Subject) > maxValue {
			e.Subject = strings.ToValidUTF8(e.Subject[:maxValue], "")
		}
	}
	var what trouble
	e.Data, what = r.data.append(f)
	if r.data != nil && r.data.binary {
		e.DataContentType, e.DataSchema = events.Protobuf, r.data.schema
	}
	rate := r.rate
	if r.moment == transomv1.EventRule_ERROR && !r.sampleErrors {
		rate = ""
	}
	b.extend(e, f, rate, what, r.data)
	return e
}

// extend adds the extensions, in the order of their names, and leaves the data out of a large
// event (Events 122, 150).
func (b *bus) extend(e *events.Event, f *facts, rate string, what trouble, d *data) {
	all := make([]events.Extension, 0, 8)
	add := func(name, value string) {
		if value != "" {
			all = append(all, events.Extension{Name: name, Value: value})
		}
	}
	size := len(e.ID) + len(e.Source) + len(e.Type) + len(e.Subject) + 2*len(e.Key) + len(e.Data)
	if size+512 > b.limit && what == none {
		e.Data, what = d.nothing(), tooLarge
	}
	if b.auth {
		principal, mechanism := caller(f.r)
		add("authid", clean(principal))
		add("authtype", mechanism)
	}
	add("code", f.codeText())
	add("correlationid", f.r.RequestID)
	switch what {
	case tooLarge:
		add("datatruncated", "true")
	case invalid:
		add("datainvalid", "true")
	}
	add("partitionkey", e.Key)
	add("sampledrate", rate)
	parent, state := Trace(f.r)
	add("traceparent", parent)
	add("tracestate", state)
	if f.r.Subscription != "" { // so that what goes in a circle ends (Events 178)
		add("transomhops", strconv.Itoa(f.r.Hops+1))
	}
	e.Extensions = all
}

// codeText is how a failed call ended.
func (f *facts) codeText() string {
	switch {
	case f.failed:
		return rpccode.Name(f.code)
	case f.httpStatus >= http.StatusBadRequest:
		return strconv.Itoa(f.httpStatus)
	}
	return ""
}

// caller is who called, and by what that is known.
func caller(r *policy.Request) (principal, mechanism string) {
	if r.Identity == nil {
		return "", "unauthenticated"
	}
	return r.Identity.Principal, r.Identity.Mechanism
}

// Trace is the server span's, or without one the client's (Events 122).
func Trace(r *policy.Request) (parent, state string) {
	if parent, state = r.Metadata.Get("traceparent"), r.Metadata.Get("tracestate"); parent == "" {
		parent, state = r.HTTP.Header.Get("Traceparent"), r.HTTP.Header.Get("Tracestate")
	}
	if len(parent) != 55 || parent[2] != '-' || parent[35] != '-' || parent[52] != '-' || strings.Trim(parent, "0123456789abcdef-") != "" {
		return "", ""
	}
	if len(state) > 512 {
		state = ""
	}
	return parent, clean(state)
}
