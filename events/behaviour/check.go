package behaviour

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/transom-gateway/transom/events"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// maxID is the longest id, in bytes.
const maxID = 200

// check says what is wrong with an event, and in which word that is counted; "" for nothing.
func (c *Collector) check(e *transomv1.UserEvent) (reason, text string) {
	kind := e.GetType()
	switch {
	case !events.IsType(kind):
		return invalid, fmt.Sprintf("found the type %q, expected one such as \"user.click\"", clipped(kind))
	case events.IsReserved(kind) || c.Own(kind):
		return forged, fmt.Sprintf("events of the type %q are the gateway's own", clipped(kind))
	case proto.Size(e) > maxEvent:
		return tooLarge, "an event has at most 32 KiB"
	}
	for _, f := range [...]struct{ name, id string }{
		{"message_id", e.GetMessageId()}, {"anonymous_id", e.GetAnonymousId()}, {"user_id", e.GetUserId()}, {"session_id", e.GetSessionId()},
	} {
		if !isID(f.id) {
			return invalid, fmt.Sprintf("found %q as %s, expected at most %d bytes without control characters", clipped(f.id), f.name, maxID)
		}
	}
	if t := e.GetTimestamp(); t != nil && !t.IsValid() {
		return invalid, "the timestamp is no time of the years 1 to 9999"
	}
	if t := e.GetSentAt(); t != nil && !t.IsValid() {
		return invalid, "sent_at is no time of the years 1 to 9999"
	}
	return "", ""
}

// isID reports whether a text can be an id; no id is one, too.
func isID(id string) bool {
	if len(id) > maxID || !utf8.ValidString(id) {
		return false
	}
	return strings.IndexFunc(id, func(r rune) bool { return r < ' ' || r >= 0x7f && r <= 0x9f || r == utf8.RuneError }) < 0
}

// clipped bounds what an answer repeats.
func clipped(s string) string {
	const most = 100
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
