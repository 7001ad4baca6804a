package gateway

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/subscription"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/transport"
	"github.com/transom-gateway/transom/transcoder/protocols"
)

// insideCall is a call that the gateway makes itself, for a subscription.
type insideCall struct {
	name     string
	hops     int
	identity policy.Identity
	metadata []string // names and values
	result   subscription.Result
}

// tell adds what the backend learns of the event.
func (i *insideCall) tell(md *proxy.Metadata) {
	for k := 0; k < len(i.metadata); k += 2 {
		md.Set(i.metadata[k], i.metadata[k+1])
	}
}

// ended notes how the call ended.
func (i *insideCall) ended(o *policy.Outcome, err error, r *proxy.Result) {
	i.result.Code, i.result.Message = o.Code, o.Message
	i.result.NotReached = o.Own && neverSeen(o, err, r)
	i.result.RetryAfter = asked(err)
}

// neverSeen reports whether no backend has seen a call that failed, as none is there, a circuit
// breaker is open, or the call was refused for now.
func neverSeen(o *policy.Outcome, err error, r *proxy.Result) bool {
	switch o.Code {
	case codes.Unavailable, codes.ResourceExhausted:
		return o.Attempts == 0 || r.Tries.Unsent || errors.Is(err, transport.ErrUnsent) || errors.Is(err, transport.ErrUnprocessed)
	case codes.DeadlineExceeded, codes.Canceled:
		return o.Attempts == 0
	}
	return false
}

// asked is when the next attempt shall be made, by RetryInfo.
func asked(err error) time.Duration {
	if err == nil {
		return 0
	}
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok && info.GetRetryDelay() != nil {
			return info.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

// serveInside makes a call of the gateway's own, whose path is that of a method.
func (g *Gateway) serveInside(r *http.Request, in *insideCall) {
	g.inFlight.Add(1)
	defer g.inFlight.Add(-1)
	defer func() { // as net/http does for the calls of clients
		if p := recover(); p != nil {
			in.result = subscription.Result{Code: codes.Internal, Message: "the call was broken off"}
			if p != http.ErrAbortHandler {
				g.options.Telemetry.Log.Error("a call of a subscription panicked", "subscription", in.name, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			}
		}
	}()
	in.result = subscription.Result{Code: codes.Unavailable, Message: "the gateway has no configuration", NotReached: true}
	snapshot := g.acquire()
	if snapshot == nil {
		return
	}
	defer snapshot.release()
	route := snapshot.insideRoute(r.URL.Path)
	if route == nil {
		in.result.Message = "the gateway does not serve the method at the moment"
		return
	}
	c, ok := calls.Get().(*call)
	if !ok {
		return // the pool holds nothing else
	}
	defer c.recycle()
	c.begin(snapshot, &unread{header: http.Header{}}, r)
	c.inside = in
	c.route, c.match.protocol = route, protocols.Table.Detect(r)
	g.serve(c, nil)
}

// unread is the answer of a call whose message nobody wants.
type unread struct{ header http.Header }

var _ http.ResponseWriter = (*unread)(nil)

// Header implements http.ResponseWriter.
func (u *unread) Header() http.Header { return u.header }

// WriteHeader implements http.ResponseWriter.
func (*unread) WriteHeader(int) {}

// Write implements http.ResponseWriter.
func (*unread) Write(p []byte) (int, error) { return len(p), nil }

// FlushError has the answer go where it goes.
func (*unread) FlushError() error { return nil }

// maxHops is how often an event may have led to a call that led to the next event.
const maxHops = 8

// hopsName is the extension that counts them.
const hopsName = "transomhops"

// deliver calls the method of a subscription with an event (Events 161 to 163).
func (g *Gateway) deliver(ctx context.Context, s *subscribed, m *subscription.Message, attempt int) subscription.Result {
	e := m.Event
	hops, _ := strconv.Atoi(e.Extension(hopsName))
	if hops > maxHops {
		return subscription.Result{Code: codes.Aborted, Reason: "LOOP", Message: "the event has led to calls that led to it " + strconv.Itoa(hops) + " times"}
	}
	if m.Unreadable != "" {
		return subscription.Result{Code: codes.DataLoss, Reason: "UNREADABLE", Message: m.Unreadable}
	}
	contentType, body, err := s.body(g.inputOf(s.path), e)
	if err != nil {
		return subscription.Result{Code: codes.DataLoss, Reason: "UNREADABLE", Message: err.Error()}
	}
	header := http.Header{
		"Content-Type":             {contentType},
		"Connect-Protocol-Version": {"1"},
		"User-Agent":               {"transom-subscription"},
		"Idempotency-Key":          {idempotencyKey(e)},
	}
	end := g.options.Telemetry.Consume(header, e.Topic, s.name, e.Extension("traceparent"), e.Extension("tracestate"))
	in := s.inside(e, m, hops, attempt, header)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(g.ending, cancel)()
	r := (&http.Request{
		Method: http.MethodPost, URL: &url.URL{Path: s.path}, Host: "transom.internal", Header: header, RequestURI: s.path,
		Proto: "HTTP/2.0", ProtoMajor: 2, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}).WithContext(ctx)
	g.serveInside(r, in)
	end(in.result.Code)
	return in.result
}

// inside is the call for an event.
func (s *subscribed) inside(e *events.Event, m *subscription.Message, hops, attempt int, header http.Header) *insideCall {
	in := &insideCall{name: s.name, hops: hops}
	in.identity = policy.Identity{Principal: "subscription:" + s.name, Mechanism: "subscription"}
	in.metadata = append(in.metadata,
		"x-transom-principal", in.identity.Principal,
		"x-transom-attempt", strconv.Itoa(attempt),
		"idempotency-key", header.Get("Idempotency-Key"))
	if e.Type == "" { // it was no event of CloudEvents
		e = &events.Event{}
	}
	for _, a := range [...][2]string{{"ce-id", e.ID}, {"ce-source", e.Source}, {"ce-type", e.Type}, {"ce-subject", e.Subject}} {
		if a[1] != "" {
			in.metadata = append(in.metadata, a[0], percentEncoded(a[1]))
		}
	}
	if parent := header.Get("Traceparent"); parent != "" {
		in.metadata = append(in.metadata, "traceparent", parent)
	}
	for _, h := range m.Metadata {
		in.metadata = append(in.metadata, h.Name, percentEncoded(h.Value))
	}
	return in
}

// percentEncoded is text as CloudEvents' binding for HTTP writes it in headers.
func percentEncoded(text string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '%' {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// idempotencyKey is the same for all deliveries of an event.
func idempotencyKey(e *events.Event) string {
	sum := sha256.Sum256([]byte(e.Source + "\x00" + e.ID))
	return hex.EncodeToString(sum[:])
}

// cloudEvent is the message that takes events whole.
const cloudEvent = "io.cloudevents.v1.CloudEvent"

// body makes the request of an event, for a method that takes a message of that name.
func (s *subscribed) body(input protoreflect.FullName, e *events.Event) (contentType string, body []byte, err error) {
	essence, _, _ := strings.Cut(strings.ToLower(e.DataContentType), ";")
	essence = strings.TrimSpace(essence)
	switch {
	case input == cloudEvent && e.Type == "":
		return "", nil, errors.New("the message has no attributes of CloudEvents, and the method takes " + cloudEvent)
	case input == cloudEvent:
		return "application/proto", events.AppendCloudEvent(nil, e), nil
	case essence == events.Protobuf || essence == "application/x-protobuf":
		if e.DataSchema != "" && !names(e.DataSchema, input) {
			return "", nil, errors.New("the data is of the schema " + clip(e.DataSchema) + ", and the method takes " + string(input))
		}
		return "application/proto", e.Data, nil
	case essence == "" && !json.Valid(e.Data):
		return "application/proto", e.Data, nil
	case essence == "", essence == events.JSON, strings.HasSuffix(essence, "+json"):
		if len(e.Data) == 0 {
			return "application/json", []byte("{}"), nil
		}
		if !json.Valid(e.Data) {
			return "", nil, errors.New("the data is said to be JSON, and is not")
		}
		return "application/json", e.Data, nil
	}
	return "", nil, errors.New("the data is of the media type " + clip(e.DataContentType) + ", expected one of JSON or protobuf")
}

// names reports whether a schema is that of a message: a URL whose path ends with its name.
func names(schema string, input protoreflect.FullName) bool {
	u, err := url.Parse(schema)
	if err != nil {
		return false
	}
	return path.Base(u.Path) == string(input) || u.Fragment == string(input) || u.Opaque == string(input)
}

// inputOf is the message that a method takes; "" where there is none.
func (g *Gateway) inputOf(path string) protoreflect.FullName {
	s := g.current.Load()
	if s == nil || s.insideRoute(path) == nil {
		return ""
	}
	if m, ok := s.insideRoute(path).endpoint.method(); ok {
		return m.Input().FullName()
	}
	return ""
}
