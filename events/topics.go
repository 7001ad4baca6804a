package events

import (
	"slices"
	"strings"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// Topics is the table of which types go to which topic, the longest types first (Events 128).
type Topics []topic

type topic struct{ types, topic string }

// own are the gateway's own lines.
var own = Topics{{"user.*", "user_behaviors"}, {"auth.*", "auth_events"}, {"api.*", "api_events"}, {"*", "misc_events"}}

// NewTopics is the table of a configuration, with the gateway's own lines behind.
func NewTopics(c *transomv1.Events) Topics {
	var all Topics
	for _, t := range c.GetTopics() {
		all = append(all, topic{t.GetTypes(), t.GetTopic()})
	}
	all = append(all, own...)
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

// OfClients are the uses of topics by events whose types clients choose. at is the place of a line of the
// configuration's table, -1 for the gateway's own lines.
func OfClients(c *transomv1.Events, at func(line int) string) (all []Use) {
	said := map[string]bool{}
	add := func(t topic, line int) {
		if first := strings.TrimSuffix(t.types, "*"); !said[t.types] && !IsReserved(first) {
			all = append(all, Use{At: at(line), By: "events of clients", Topic: t.topic, Types: []string{t.types}})
		}
		said[t.types] = true
	}
	for i, t := range c.GetTopics() {
		add(topic{t.GetTypes(), t.GetTopic()}, i)
	}
	for _, t := range own {
		add(t, -1)
	}
	return all
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

// IsTypes reports whether a text means types: one, the first words of some and a star, as "user.*", or a star alone.
func IsTypes(text string) bool {
	front, _ := strings.CutSuffix(text, ".*")
	return text == "*" || IsType(front)
}

// IsReserved reports whether events of a type are the gateway's own, so that neither clients nor rules of
// methods publish them: those whose first word is "api", "auth" or "transom", in whatever case, as
// consumers may fold it.
func IsReserved(kind string) bool {
	first, _, _ := strings.Cut(kind, ".")
	return strings.EqualFold(first, "api") || strings.EqualFold(first, "auth") || strings.EqualFold(first, "transom")
}
