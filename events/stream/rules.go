package stream

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"google.golang.org/protobuf/proto"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// Rules are what a configuration says of topics that clients may listen to.
type Rules struct {
	hub    *Hub
	topics map[string]*rule
}

// Stats are the figures of the hub, of the rules of earlier configurations, too.
func (s *Rules) Stats() Stats { return s.hub.Stats() }

// rule is that of one topic.
type rule struct {
	hub   *Hub
	topic string
	text  string // all that it says
	types typeSet
	slow  transomv1.EventStream_Slow

	fields    [][]string
	fieldsKey string

	allow cel.Program // nil for anybody
	// asks are the variables of the caller that allow reads.
	asks map[string]bool

	// gone is closed when another configuration says something else of the topic.
	gone   chan struct{}
	retire sync.Once
}

// Problem is what is wrong with a stream of the configuration.
type Problem struct {
	// Index is its place among the streams, and Field its field.
	Index   int
	Field   string
	Message string
}

// Check reports what is wrong with streams.
func Check(streams []*transomv1.EventStream) []Problem {
	_, problems := compileRules(nil, streams)
	return problems
}

// Rules makes what a configuration says usable.
func (h *Hub) Rules(streams []*transomv1.EventStream) (*Rules, []Problem) {
	r, problems := compileRules(h, streams)
	if len(problems) > 0 {
		return nil, problems
	}
	var topics []string
	for topic := range r.topics {
		topics = append(topics, topic)
	}
	h.addTopics(topics)
	return r, nil
}

func compileRules(h *Hub, streams []*transomv1.EventStream) (*Rules, []Problem) {
	var lang languages
	if h != nil {
		lang = h.lang
	} else {
		var err error
		if lang, err = newLanguages(); err != nil {
			return nil, []Problem{{0, "allow", err.Error()}}
		}
	}
	all := &Rules{hub: h, topics: map[string]*rule{}}
	var problems []Problem
	for i, s := range streams {
		r, field, err := compileRule(h, lang, s)
		if err == nil && all.topics[s.GetTopic()] != nil {
			field, err = "topic", fmt.Errorf("found %q twice, expected one stream for each topic", s.GetTopic())
		}
		if err != nil {
			problems = append(problems, Problem{i, field, err.Error()})
			continue
		}
		all.topics[r.topic] = r
	}
	return all, problems
}

const maxFields = 256

func compileRule(h *Hub, lang languages, s *transomv1.EventStream) (r *rule, field string, err error) {
	r = &rule{hub: h, topic: s.GetTopic(), slow: s.GetSlow(), text: ruleText(s), gone: newSignal()}
	if r.slow == transomv1.EventStream_SLOW_UNSPECIFIED {
		r.slow = transomv1.EventStream_CATCH_UP
	}
	if r.topic == "" {
		return nil, "topic", fmt.Errorf("found none, expected a topic that rules publish to")
	}
	if r.types, err = newTypeSet(s.GetTypes()); err != nil {
		return nil, "types", err
	}
	if len(s.GetFields()) > maxFields {
		return nil, "fields", fmt.Errorf("found %d, expected up to %d", len(s.GetFields()), maxFields)
	}
	for _, path := range s.GetFields() {
		names := strings.Split(path, ".")
		for _, name := range names {
			if name == "" {
				return nil, "fields", fmt.Errorf("found %.100q, expected a path in the data's JSON, such as %q", path, "book.title")
			}
		}
		r.fields = append(r.fields, names)
	}
	r.fieldsKey = strings.Join(s.GetFields(), "\n")
	if source := s.GetAllow(); source != "" {
		program, checked, err := compile(lang.allow, source, allowCost, cel.OptPartialEval)
		if err != nil {
			return nil, "allow", err
		}
		r.allow, r.asks = program, mentions(checked, "claims", "principal", "roles")
	}
	return r, "", nil
}

// principalClass is the same for callers of whom allow says the same.
func (r *rule) principalClass(c *Caller) (string, error) {
	seen := map[string]any{}
	if r.asks["claims"] {
		seen["claims"] = c.Claims
	}
	if r.asks["principal"] {
		seen["principal"] = c.Principal
	}
	if r.asks["roles"] {
		seen["roles"] = c.Roles
	}
	if len(seen) == 0 {
		return "", nil
	}
	document, err := json.Marshal(seen)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(document)
	return string(sum[:]), nil
}

// ruleText is the same for rules that say the same.
func ruleText(s *transomv1.EventStream) string {
	wire, err := proto.MarshalOptions{Deterministic: true}.Marshal(s)
	if err != nil {
		return s.String()
	}
	return string(wire)
}

// Retire asks the clients of rules to come back of which the next ones do not say the same; nil for
// none.
func (s *Rules) Retire(next *Rules) {
	for topic, r := range s.topics {
		if next != nil && next.hub == s.hub && next.topics[topic] != nil && next.topics[topic].text == r.text {
			continue
		}
		r.retire.Do(func() {
			close(r.gone)
			r.hub.wake(topic)
		})
	}
}

// Hub is what gives the events.
func (s *Rules) Hub() *Hub { return s.hub }
