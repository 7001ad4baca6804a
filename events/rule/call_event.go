package rule

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/client"
	"github.com/transom-gateway/transom/internal/rpccode"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// callFacts are what is known of a call without its messages.
type callFacts struct {
	facts
	o      *policy.Outcome // nil where it has not ended
	took   time.Duration
	begins bool
}

func (c *calls) factsOf(r *policy.Request, o *policy.Outcome, began *called) callFacts {
	f := callFacts{facts: facts{r: r, at: time.Now(), code: o.Code, failed: o.Code != 0}, o: o, took: time.Since(began.start)}
	if c.plain && o.HTTPStatus >= http.StatusBadRequest {
		f.failed, f.httpStatus = true, o.HTTPStatus
	}
	return f
}

// callPlan writes CallEvents as JSON.
var callPlan = sync.OnceValue(func() *jsonwire.Plan {
	return jsonwire.NewPlans(nil).Message((&transomv1.CallEvent{}).ProtoReflect().Descriptor())
})

// anonymous is the principal of nobody.
const anonymous = "anonymous"

// Bounds of what clients say, in bytes.
const (
	maxAgent = 256
	maxQuery = 1 << 10
)

// make makes the event of a call.
func (c *calls) make(r *gatewayRule, f *callFacts) *events.Event {
	e := c.event(&r.rule, &f.facts)
	if c.asksNotToBeKnown(r, f.r) {
		withoutCaller(e)
	}
	var scratch [512]byte
	data, err := callPlan().AppendJSON(make([]byte, 0, 512), c.append(scratch[:0], r, f), jsonwire.Output{OmitDefaults: true})
	if err == nil { // text was made valid
		e.Data = data
	}
	if f.r.LoggedIn != "" && e.Key == "" && !c.asksNotToBeKnown(r, f.r) {
		e.Key = keyText(f.r.LoggedIn)
		e.Extensions = append(e.Extensions, events.Extension{Name: "partitionkey", Value: e.Key})
		slices.SortFunc(e.Extensions, func(a, b events.Extension) int { return strings.Compare(a.Name, b.Name) })
	}
	return e
}

// append appends a CallEvent in wire format.
func (c *calls) append(b []byte, rule *gatewayRule, f *callFacts) []byte {
	r := f.r
	b = text(b, 1, c.rpc)
	b = text(b, 2, r.Route)
	b = text(b, 3, clip(r.HTTP.Method, maxAgent))
	b = text(b, 4, r.Protocol)
	if !f.begins {
		b = c.appendOutcome(b, f)
	}
	b = c.appendClient(b, rule, r)
	if rule.query {
		b = text(b, 14, c.queryOf(r.HTTP.URL))
	}
	b = text(b, 15, r.RequestID)
	return text(b, 16, r.RefusedBy)
}

// appendClient appends who called, and on what, unless the client asks that calls do not tell it
// (Events 196). Logins tell it all the same.
func (c *calls) appendClient(b []byte, rule *gatewayRule, r *policy.Request) []byte {
	h := r.HTTP.Header
	agent := h.Get("User-Agent")
	d := client.DeviceOf(agent, client.HintsOf(h))
	if c.asksNotToBeKnown(rule, r) {
		b = text(b, 10, anonymous)
		b = device(b, client.Device{Family: d.Family})
		return protowire.AppendVarint(protowire.AppendTag(b, 18, protowire.VarintType), 1)
	}
	b = text(b, 10, principalOf(r))
	b = text(b, 11, c.sessionHash(r))
	b = text(b, 12, client.Truncate(r.ClientIP))
	b = text(b, 13, clip(agent, maxAgent))
	return device(b, d)
}

// asksNotToBeKnown reports whether the event of a call must not tell who has made it.
func (c *calls) asksNotToBeKnown(rule *gatewayRule, r *policy.Request) bool {
	h := r.HTTP.Header
	return strings.HasPrefix(rule.kind, "api.") && (client.OptedOut(h, c.dnt) || client.Anonymous(h))
}

// withoutCaller takes out of an event's attributes who has called.
func withoutCaller(e *events.Event) {
	e.Key = ""
	e.Extensions = slices.DeleteFunc(e.Extensions, func(x events.Extension) bool {
		return x.Name == "authid" || x.Name == "authtype" || x.Name == "partitionkey"
	})
}

// device appends a Device, unless nothing is known of it.
func device(b []byte, d client.Device) []byte {
	if d == (client.Device{}) {
		return b
	}
	var scratch [64]byte
	m := text(text(text(scratch[:0], 1, d.Family), 2, d.OS), 3, d.Browser)
	if d.Mobile {
		m = number(m, 4, 1)
	}
	return protowire.AppendBytes(protowire.AppendTag(b, 17, protowire.BytesType), m)
}

// appendOutcome appends how the call ended.
func (c *calls) appendOutcome(b []byte, f *callFacts) []byte {
	o := f.o
	b = number(b, 5, int64(o.HTTPStatus))
	if !c.plain || o.Code != 0 {
		b = text(b, 6, rpccode.Name(o.Code))
	}
	took := number(nil, 1, int64(f.took/time.Second))
	took = number(took, 2, int64(f.took%time.Second))
	b = protowire.AppendBytes(protowire.AppendTag(b, 7, protowire.BytesType), took)
	b = number(b, 8, o.RequestBytes)
	return number(b, 9, o.ResponseBytes)
}

func text(b []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
}

func number(b []byte, field protowire.Number, n int64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), uint64(n)) //nolint:gosec // none is negative
}

func clip(s string, most int) string {
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "")
	}
	return s
}

func principalOf(r *policy.Request) string {
	switch {
	case r.LoggedIn != "":
		return r.LoggedIn
	case r.Identity != nil:
		return r.Identity.Principal
	}
	return anonymous
}

// sessionHash tells sessions apart without telling them.
func (c *calls) sessionHash(r *policy.Request) string {
	if r.Identity == nil || r.Identity.Mechanism != "session" {
		return ""
	}
	cookie, err := r.HTTP.Cookie(c.cookie)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256([]byte(cookie.Value))
	return hex.EncodeToString(sum[:])
}

// queryOf is a query without what auth reads.
func (c *calls) queryOf(u *url.URL) string {
	kept := strings.FieldsFunc(u.RawQuery, func(r rune) bool { return r == '&' || r == ';' })
	kept = slices.DeleteFunc(kept, func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		return err != nil || slices.ContainsFunc(c.hidden, func(hidden string) bool { return strings.EqualFold(hidden, plain) })
	})
	return clip(strings.Join(kept, "&"), maxQuery)
}
