package openapi

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/transom-gateway/transom/internal/span"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// needs says in sentences what a method needs of those who call it, and what the gateway does with
// their calls.
func (r *described) needs() (list []string) {
	say := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	p := r.Policy
	list = append(list, callers(p.GetAuth())...)
	for _, limit := range p.GetRateLimit() {
		if limit.GetRequests() > 0 && !limit.GetDisabled() {
			list = append(list, limited(limit))
		}
	}
	if c := p.GetConcurrency(); c.GetMax() > 0 {
		say("%d calls may run at a time.", c.GetMax())
	}
	if key := p.GetIdempotencyKey(); key != nil && !key.GetDisabled() {
		say("%s", keyed(key))
	}
	return append(list, r.treatment()...)
}

// treatment says what the gateway does with the calls of a method.
func (r *described) treatment() (list []string) {
	say := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	p := r.Policy
	if r.Validator != nil {
		say("The rules of the request's fields are checked before the call is made.")
	}
	if n := p.GetLimits().GetMaxBodyBytes(); n > 0 {
		say("A body has %s at most.", bytesText(n))
	}
	if d := p.GetTimeout().AsDuration(); d > 0 {
		say("A call may take %s.", span.Text(d))
	}
	if cache := p.GetCache(); cache != nil && !cache.GetDisabled() && r.Method.NoSideEffects {
		say("%s", cached(cache))
	}
	switch {
	case r.Method.NoSideEffects:
		say("It changes nothing, so it may be called again at any time.")
	case r.Method.Idempotent:
		say("Called again with the same request, it changes nothing more.")
	}
	if retry := p.GetRetry(); retry != nil && !retry.GetDisabled() && (retry.MaxAttempts == nil || retry.GetMaxAttempts() > 1) {
		say("Where a server fails, the gateway tries %d times in all.", cmp.Or(retry.GetMaxAttempts(), 3))
	}
	return list
}

// callers says who may call.
func callers(a *transomv1.Auth) (list []string) {
	token := "a signed token (JWT) as Authorization: Bearer"
	if cookie := cmp.Or(a.GetJwt().GetCookie(), a.GetMixed().GetJwt().GetCookie()); cookie != "" {
		token += ", or in the cookie " + cookie
	}
	switch a.GetMechanism().(type) {
	case *transomv1.Auth_Jwt:
		list = append(list, "Needs "+token+".")
	case *transomv1.Auth_Session:
		list = append(list, "Needs a session, which a login opens.")
	case *transomv1.Auth_Mixed:
		list = append(list, "Needs "+token+", or a session.")
	case *transomv1.Auth_Mtls:
		list = append(list, "Needs a client certificate (TLS).")
	default:
		return []string{"Anybody may call it."}
	}
	if scopes := a.GetScopes(); len(scopes) > 0 {
		list = append(list, "Needs "+plural(len(scopes), "the scope ", "the scopes ")+joined(scopes, "and")+".")
	}
	if roles := a.GetRoles(); len(roles) > 0 {
		list = append(list, "Needs "+plural(len(roles), "the role ", "one of the roles ")+joined(roles, "or")+".")
	}
	if a.GetAllow() != "" {
		list = append(list, "A rule decides besides who may call with which request.")
	}
	return list
}

// limited says how often it may be called.
func limited(l *transomv1.RateLimit) string {
	per := l.GetPer().AsDuration()
	if l.GetPer() == nil {
		per = time.Second
	}
	what := "call"
	if l.GetPerMessage() {
		what = "message"
	}
	text := fmt.Sprintf("%d %s per %s", l.GetRequests(), plural(int(l.GetRequests()), what, what+"s"), span.Per(per))
	switch l.GetKey() {
	case transomv1.RateLimit_PRINCIPAL:
		text += " for each caller"
	case transomv1.RateLimit_HEADER:
		text += " for each value of the header " + l.GetHeader()
	case transomv1.RateLimit_ROUTE:
		text += " for all callers together"
	case transomv1.RateLimit_CEL:
		text += " for each of what a rule tells apart"
	default:
		text += " for each address"
	}
	if burst := l.GetBurst(); burst > 0 && burst != l.GetRequests() {
		text += fmt.Sprintf(", %d at once", burst)
	}
	return text + "."
}

// keyed says what an idempotency key does.
func keyed(k *transomv1.IdempotencyKey) string {
	text := "With the header Idempotency-Key"
	if k.GetField() != "" {
		text = "With a key in the field " + k.GetField()
	}
	text += ", calls with one key have one effect, and the answer of the first"
	if k.GetRequired() {
		text += "; it is required"
	}
	ttl := 24 * time.Hour
	if k.GetTtl() != nil {
		ttl = k.GetTtl().AsDuration()
	}
	return text + "; a key is kept for " + span.Text(ttl) + "."
}

// cached says how long answers are kept.
func cached(c *transomv1.Cache) string {
	whose := "each caller's own"
	if c.GetScope() == transomv1.Cache_PUBLIC {
		whose = "the same for all callers"
	}
	switch {
	case c.GetValidatorsOnly():
		return "Answers have an ETag; with If-None-Match, 304 says that nothing has changed."
	case c.GetTtl().AsDuration() == 0:
		return "Answers are cached for as long as they say themselves, " + whose + "."
	}
	return "Answers are cached for " + span.Text(c.GetTtl().AsDuration()) + ", " + whose + "."
}

func bytesText(n uint64) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}

func plural(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return more
}

// joined are names with a word before the last.
func joined(names []string, word string) string {
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " " + word + " " + names[last]
}

// streams says how messages are carried, "" where nothing streams.
func (r *described) streams() string {
	switch shape := r.Method.Shape; {
	case shape.ClientStreams && shape.ServerStreams:
		return "Both sides send messages when they like: over a WebSocket at the same path, where each message is one JSON text, or by gRPC."
	case shape.ClientStreams:
		return "The client sends any number of messages: as lines of JSON (application/x-ndjson), over a WebSocket at the same path, or by gRPC."
	case shape.ServerStreams:
		return "The answer is any number of messages: Server-Sent Events for Accept: text/event-stream, lines of JSON for application/x-ndjson, over a WebSocket at the same path, or by gRPC."
	}
	return ""
}
