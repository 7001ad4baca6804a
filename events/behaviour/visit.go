package behaviour

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/client"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// visit is what the events of one request have in common.
type visit struct {
	*Collector
	from     *Client
	now      time.Time
	received *timestamppb.Timestamp

	agent     string // of the header, clipped
	hints     client.Hints
	device    client.Device
	address   string
	bot       bool
	optedOut  bool
	anonymous bool
	noConsent bool

	message []byte // of the event before
}

// maxAgent bounds what is kept of the header User-Agent.
const maxAgent = 256

func (c *Collector) visit(from *Client) *visit {
	v := &visit{Collector: c, from: from, now: c.Now(), hints: client.HintsOf(from.Header), agent: from.Header.Get("User-Agent")}
	v.received = timestamppb.New(v.now)
	v.device = client.DeviceOf(v.agent, v.hints)
	v.optedOut = client.OptedOut(from.Header, c.Config.GetHonorDnt())
	v.anonymous = v.optedOut || client.Anonymous(from.Header)
	v.noConsent = !c.consents(from.Header)
	v.bot = c.Config.GetBots() != transomv1.Behaviour_KEEP && (client.IsAgentOfBot(v.agent) || client.IsPrefetch(from.Header))
	if v.agent = strings.ToValidUTF8(v.agent, "\uFFFD"); len(v.agent) > maxAgent {
		v.agent = strings.ToValidUTF8(v.agent[:maxAgent], "")
	}
	if !v.anonymous {
		v.address = c.addressOf(from.Address, v.now)
	}
	return v
}

// consents reports whether the page shows the consent that is asked for (Events 196).
func (c *Collector) consents(h http.Header) bool {
	rule := c.Config.GetConsent()
	var shown []string
	switch where := rule.GetWhere().(type) {
	case *transomv1.Consent_Cookie:
		for _, line := range h["Cookie"] {
			cookies, _ := http.ParseCookie(line)
			for _, cookie := range cookies {
				if cookie.Name == where.Cookie {
					shown = append(shown, cookie.Value)
				}
			}
		}
	case *transomv1.Consent_Header:
		shown = h.Values(where.Header)
	default:
		return true
	}
	return slices.ContainsFunc(shown, func(v string) bool { return v != "" && (rule.GetValue() == "" || v == rule.GetValue()) })
}

// drops says why an event is not published; "" if it is.
func (v *visit) drops(e *transomv1.UserEvent) string {
	switch {
	case v.noConsent:
		return "consent"
	case v.optedOut && strings.HasPrefix(e.GetType(), "user."):
		return "opted_out"
	case v.isBot(e) && v.Config.GetBots() == transomv1.Behaviour_DROP:
		return "bot"
	}
	return ""
}

func (v *visit) isBot(e *transomv1.UserEvent) bool {
	return v.bot || v.Config.GetBots() != transomv1.Behaviour_KEEP && e.GetContext().GetWebdriver()
}

// event completes a UserEvent and makes the event of it.
func (v *visit) event(u *transomv1.UserEvent) (*events.Event, error) {
	id := idOf(u, v.now)
	v.identify(u)
	u.Observed = &transomv1.Observed{ReceivedAt: v.received, Bot: v.isBot(u), Anonymized: v.anonymous, Authenticated: v.from.Principal != "" && !v.anonymous}
	at := v.timeOf(u)
	v.describe(u)
	v.scrub.event(u)
	e := &events.Event{
		ID: id, Source: v.Source, Type: u.GetType(), Time: at, DataContentType: events.JSON,
		Topic: v.Topics.Of(u.GetType()), Key: keyOf(u),
	}
	var err error
	if v.message, err = (proto.MarshalOptions{}).MarshalAppend(v.message[:0], u); err != nil {
		return nil, err
	}
	if e.Data, err = plan().AppendJSON(make([]byte, 0, 2*len(v.message)), v.message, jsonwire.Output{OmitDefaults: true}); err != nil {
		return nil, err
	}
	v.extend(e)
	return e, nil
}

// identify puts the caller's own principal in (Events 194), or takes all out that tells who it is.
func (v *visit) identify(u *transomv1.UserEvent) {
	if v.anonymous {
		u.UserId, u.AnonymousId, u.SessionId = "", "", ""
		return
	}
	if v.from.Session != "" {
		u.SessionId = v.from.Session
	}
	if v.from.Principal == "" {
		return
	}
	if u.GetUserId() != "" && u.GetUserId() != v.from.Principal {
		v.Count("corrected", "user_id", 1)
	}
	u.UserId = v.from.Principal
}

// Times of devices (Events 193).
const (
	mostOff   = time.Minute
	mostAhead = 24 * time.Hour
)

// timeOf is when an event happened, by the gateway's clock.
func (v *visit) timeOf(u *transomv1.UserEvent) time.Time {
	if u.Timestamp == nil {
		return v.now
	}
	at := u.Timestamp.AsTime()
	if u.SentAt != nil {
		if off := v.now.Sub(u.SentAt.AsTime()); off > mostOff || off < -mostOff {
			age := max(u.SentAt.AsTime().Sub(at), -math.MaxInt64) // the least has no opposite
			at = v.now.Add(-age)
			u.Observed.ClockCorrected = true
			v.Count("corrected", "clock", 1)
		}
	}
	if at.Sub(v.now) > mostAhead {
		at = v.now
		u.Observed.TimeClipped = true
		v.Count("corrected", "future", 1)
	}
	return at
}

// describe says what the client is.
func (v *visit) describe(u *transomv1.UserEvent) {
	o, device := u.Observed, v.device
	if !v.hints.Given {
		if hints := hintsOf(u.GetContext().GetUserAgentData()); hints.Given {
			device = client.DeviceOf(v.agent, hints)
		}
	}
	o.Device = &transomv1.Device{Family: device.Family, Os: device.OS, Browser: device.Browser, Mobile: device.Mobile}
	o.Address, o.UserAgent = v.address, v.agent
	if v.anonymous {
		o.UserAgent = ""
		o.Device = &transomv1.Device{Family: device.Family}
		if u.Context != nil {
			u.Context.UserAgentData = nil
		}
	}
}

// hintsOf reads navigator.userAgentData.
func hintsOf(data *structpb.Struct) client.Hints {
	if data == nil {
		return client.Hints{}
	}
	f := data.GetFields()
	h := client.Hints{Platform: f["platform"].GetStringValue(), Mobile: f["mobile"].GetBoolValue()}
	for i, b := range f["brands"].GetListValue().GetValues() {
		if i == 8 {
			break
		}
		h.Brands = append(h.Brands, b.GetStructValue().GetFields()["brand"].GetStringValue())
	}
	h.Given = h.Platform != "" || len(h.Brands) > 0
	return h
}

// idOf is the id of an event: that of the message, together with the page's id where there is one, as
// pages may count their messages. It is the same whenever the message comes (Events 198).
func idOf(u *transomv1.UserEvent, now time.Time) string {
	switch {
	case u.GetMessageId() == "":
		return events.NewID(now)
	case u.GetAnonymousId() == "":
		return u.GetMessageId()
	}
	sum := sha256.Sum256([]byte(u.GetAnonymousId() + "\x00" + u.GetMessageId())) // neither has a NUL
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80                          // a UUID of version 8
	text := hex.EncodeToString(sum[:16])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}

// keyOf is what events are ordered by: the user, before they log in the page's id.
func keyOf(u *transomv1.UserEvent) string {
	if u.GetUserId() != "" {
		return u.GetUserId()
	}
	return u.GetAnonymousId()
}

// extend adds the extensions, in the order of their names.
func (v *visit) extend(e *events.Event) {
	all := make([]events.Extension, 0, 6)
	add := func(name, value string) {
		if value != "" {
			all = append(all, events.Extension{Name: name, Value: value})
		}
	}
	if v.Auth && !v.anonymous {
		add("authid", v.from.Principal)
		if v.from.Principal == "" {
			add("authtype", "unauthenticated")
		} else {
			add("authtype", v.from.Mechanism)
		}
	}
	add("correlationid", v.from.RequestID)
	add("partitionkey", e.Key)
	add("traceparent", v.from.TraceParent)
	add("tracestate", v.from.TraceState)
	e.Extensions = all
}
