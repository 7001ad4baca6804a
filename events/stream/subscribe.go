package stream

import (
	"errors"
	"fmt"
	"strings"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// ErrNoTopic is wrapped by the error for a topic that is not there, or that the caller may not listen to:
// the two look alike.
var ErrNoTopic = errors.New("there is no such topic, or you may not listen to it")

// ErrRequest is wrapped by the error for a request that is wrong.
var ErrRequest = errors.New("the request is wrong")

// ErrTooMany is returned where clients have too many sets of filters.
var ErrTooMany = errors.New("there are too many filters; listen without one, or later")

const (
	maxClasses = 20_000
	maxSubject = 1 << 10
	maxCursor  = 256
)

// Subscribe begins a stream. It is to be closed.
func (s *Rules) Subscribe(r *transomv1.SubscribeRequest, caller *Caller) (*Stream, error) {
	rule := s.topics[r.GetTopic()]
	if rule == nil || rule.allow != nil && never(rule.allow, caller) {
		return nil, ErrNoTopic
	}
	key := classKey{topic: rule.topic, rule: rule.text, types: strings.Join(r.GetTypes(), "\n"), subject: r.GetSubject(), filter: r.GetFilter()}
	types, err := newTypeSet(r.GetTypes())
	if err != nil {
		return nil, fmt.Errorf("%w: types: %w", ErrRequest, err)
	}
	for name, length := range map[string][2]int{"subject": {len(r.GetSubject()), maxSubject}, "filter": {len(r.GetFilter()), filterBytes}, "last_event_id": {len(r.GetLastEventId()), maxCursor}} {
		if length[0] > length[1] {
			return nil, fmt.Errorf("%w: %s: found %d bytes, expected up to %d", ErrRequest, name, length[0], length[1])
		}
	}
	if key.principal, err = rule.principalClass(caller); err != nil {
		return nil, ErrNoTopic
	}
	c, err := s.hub.join(key, func() (*class, error) {
		made := &class{rule: rule, types: types, subject: r.GetSubject(), caller: caller}
		if r.GetFilter() == "" {
			return made, nil
		}
		if made.filter, err = compileFilter(s.hub.lang.filter, r.GetFilter()); err != nil {
			return nil, fmt.Errorf("%w: filter: %w", ErrRequest, err)
		}
		return made, nil
	})
	if err != nil {
		return nil, err
	}
	return s.hub.newStream(s, c, r.GetLastEventId()), nil
}
