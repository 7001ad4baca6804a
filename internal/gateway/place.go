package gateway

import (
	"context"
	"net/http"
	"net/textproto"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/field"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// placing says at which endpoint the calls of one method are best made (Traffic 166, 167).
type placing struct {
	key    transomv1.Hash_Key // KEY_UNSPECIFIED: calls have none
	header string             // for HEADER, canonical
	cookie string             // for COOKIE
	field  wireField          // for FIELD
	sticky *sticky            // nil: clients have no tickets
}

// sticky is the cookie with a client's ticket.
type sticky struct {
	cookie   string
	sameSite http.SameSite
}

// newPlacing reads what the calls of an upstream have in common; nil for nothing. The
// field is found for each method.
func newPlacing(g *transomv1.GrpcUpstream) *placing {
	b := g.GetBalancing()
	p := &placing{key: config.HashKey(b.GetHash())}
	p.header, p.cookie = textproto.CanonicalMIMEHeaderKey(b.GetHash().GetHeader()), b.GetHash().GetCookie()
	if p.key == transomv1.Hash_FIELD {
		p.field = newWireField(b.GetHash().GetField())
	}
	if s := b.GetSticky(); s != nil {
		p.sticky = &sticky{cookie: s.GetCookie(), sameSite: sameSites[s.GetSameSite()]}
	}
	if p.sticky == nil && p.key == transomv1.Hash_KEY_UNSPECIFIED {
		return nil
	}
	return p
}

// ticketCookies names the cookies with tickets of all upstreams, which are the gateway's own.
func ticketCookies(all map[string]*transomv1.Upstream) (names []string) {
	for _, u := range all {
		for _, b := range []*transomv1.Balancing{u.GetGrpc().GetBalancing(), u.GetHttp().GetBalancing()} {
			if s := b.GetSticky(); s != nil {
				names = append(names, s.GetCookie())
			}
		}
	}
	return names
}

var sameSites = map[transomv1.SessionConfig_SameSite]http.SameSite{
	transomv1.SessionConfig_SAME_SITE_UNSPECIFIED: http.SameSiteLaxMode,
	transomv1.SessionConfig_LAX:                   http.SameSiteLaxMode,
	transomv1.SessionConfig_STRICT:                http.SameSiteStrictMode,
	transomv1.SessionConfig_CROSS_SITE:            http.SameSiteNoneMode,
}

// of returns what it is for one method; nil where that has no key and no tickets.
func (p *placing) of(d protoreflect.MethodDescriptor) *placing {
	if p == nil || p.key != transomv1.Hash_FIELD {
		return p
	}
	own := *p
	if own.field = fieldOf(d, p.field.path); own.field.numbers == nil {
		if own.key = transomv1.Hash_KEY_UNSPECIFIED; own.sticky == nil {
			return nil
		}
	}
	return &own
}

// placedContext is the context of a call with its place.
type placedContext struct {
	context.Context
	place  upstream.Place
	ticket upstream.Ticket
}

type placeKey struct{}

// Value implements context.Context.
func (p *placedContext) Value(key any) any {
	if key == (placeKey{}) {
		return p
	}
	return p.Context.Value(key)
}

// begin finds what the client says of a call's place, before it goes to the backend.
func (p *placing) begin(ctx context.Context, c *call) context.Context {
	if p.sticky == nil && p.key == transomv1.Hash_FIELD {
		return ctx // the message says all
	}
	here := &placedContext{Context: ctx}
	here.place.Key = p.keyOf(c)
	if p.sticky != nil {
		here.ticket.Sent, _ = field.CookieValue(c.r.Header["Cookie"], p.sticky.cookie)
		here.place.Ticket = &here.ticket
		c.ticket = &here.ticket
	}
	return here
}

// keyOf returns the key of a call, as far as it is not in the message.
func (p *placing) keyOf(c *call) upstream.CallKey {
	switch p.key {
	case transomv1.Hash_CLIENT_IP:
		if client := c.request.ClientIP; client.IsValid() {
			address := client.As16()
			return upstream.CallKeyOf(address[:])
		}
	case transomv1.Hash_PRINCIPAL:
		if who := c.request.Identity; who != nil {
			return upstream.CallKeyOf(who.Principal)
		}
	case transomv1.Hash_HEADER:
		switch values := c.r.Header[p.header]; len(values) {
		case 0:
		case 1:
			return keyOfText(values[0])
		default:
			return upstream.CallKeyOf(strings.Join(values, ","))
		}
	case transomv1.Hash_COOKIE:
		value, _ := field.CookieValue(c.r.Header["Cookie"], p.cookie)
		return keyOfText(value)
	}
	return 0
}

// keyOfText returns the key of a text, none for an empty one.
func keyOfText[T string | []byte](text T) upstream.CallKey {
	if len(text) == 0 {
		return 0
	}
	return upstream.CallKeyOf(text)
}

// place is an attempt.Placer.
func (p *placing) place(ctx context.Context, message []byte) (at upstream.Place) {
	if p.sticky != nil || p.key != transomv1.Hash_FIELD {
		if here, ok := ctx.Value(placeKey{}).(*placedContext); ok {
			at = here.place
		}
	}
	if p.key == transomv1.Hash_FIELD {
		at.Key = keyOfText(p.field.value(message))
	}
	return at
}

// stick gives the client the ticket of the endpoint that has answered, unless it has that
// already.
func (c *call) stick(header http.Header) {
	if c.ticket == nil {
		return
	}
	ticket := c.ticket.Next()
	if ticket == "" {
		return
	}
	s, secure := c.placing.sticky, c.request.Secure()
	cookie := http.Cookie{Name: s.cookie, Value: ticket, Path: "/", HttpOnly: true, Secure: secure, SameSite: s.sameSite}
	if s.sameSite == http.SameSiteNoneMode && !secure {
		cookie.SameSite = 0 // browsers refuse it otherwise
	}
	header.Add("Set-Cookie", cookie.String())
	// The cookie is this client's alone.
	switch control := strings.ToLower(strings.Join(header["Cache-Control"], ",")); {
	case control == "":
		header.Set("Cache-Control", "private")
	case !strings.Contains(control, "no-store") && !strings.Contains(control, "private"):
		header.Add("Cache-Control", "private")
	}
}
