package events

import (
	"slices"
	"strings"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// Topics is the table of which types go to which topic, the longest types first (Events 128).
type Topics []topic

type topic struct{ types, topic string }

// NewTopics is the table of a configuration, with the gateway's own lines behind.
func NewTopics(c *transomv1.Events) Topics {
	var all Topics
	for _, t := range c.GetTopics() {
		all = append(all, topic{t.GetTypes(), t.GetTopic()})
	}
	all = append(all, topic{"user.*", "user_behaviors"}, topic{"auth.*", "auth_events"}, topic{"api.*", "api_events"}, topic{"*", "misc_events"})
	slices.SortStableFunc(all, func(a, b topic) int { return len(b.types) - len(a.types) })
	return all
}

// Of is where events of a type go.
func (t Topics) Of(kind string) string {
	for _, line := range t {
		if prefix, open := strings.CutSuffix(line.types, "*"); line.types == kind || open && strings.HasPrefix(kind, prefix) {
			return line.topic
		}
	}
	return "" // "*" takes all
}

// IsType reports whether events may have a type.
func IsType(kind string) bool {
	if kind == "" || len(kind) > 200 {
		return false
	}
	for word := range strings.SplitSeq(kind, ".") {
		if word == "" || strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			return false
		}
	}
	return true
}

// IsReserved reports whether events of a type are the gateway's own, so that neither clients nor rules of
// methods publish them: those whose first word is "api", "auth" or "transom", in whatever case, as
// consumers may fold it.
func IsReserved(kind string) bool {
	first, _, _ := strings.Cut(kind, ".")
	return strings.EqualFold(first, "api") || strings.EqualFold(first, "auth") || strings.EqualFold(first, "transom")
}
