package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/cloudevents"
	"github.com/transom-gateway/transom/events/subscription"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// Ask asks servers whether they take and give what a configuration says (Events 151): that streams have the
// subjects, what the gateway's user may do, and how large a message may be.
func Ask(ctx context.Context, name string, settings *transomv1.NatsSink, env events.Env, in events.Inquiry) {
	s, err := Open(name, settings, env)
	if err == nil {
		defer func() { _ = s.Close() }()
		err = (&inquiry{Inquiry: in, sink: s}).run(ctx)
	}
	if err != nil {
		in.Found(in.At, false, fmt.Sprintf("sink %s: %v", name, err))
	}
}

// inquiry is one look at servers.
type inquiry struct {
	events.Inquiry
	sink *Sink
	may  permissions
}

func (i *inquiry) run(ctx context.Context) error {
	if err := i.sink.connectOnly(ctx); err != nil {
		return i.sink.away(err)
	}
	account, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	if _, err := i.sink.stream.AccountInfo(account); errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
		return i.sink.away(fmt.Errorf("%w: events are sent to streams alone", err))
	}
	i.may = i.sink.permissions(ctx)
	most := i.Largest + cloudevents.MaxHeaders
	if payload := i.sink.conn.MaxPayload(); payload < int64(most) && i.writes() {
		i.Found(i.At, false, fmt.Sprintf("%v: found the max_payload %d, but an event may have %d bytes: raise it, or lower events.max_event_bytes", i.sink.away(errTooSmall), payload, most))
	}
	for _, u := range i.Uses {
		for _, subject := range i.subjects(u) {
			i.look(ctx, u, subject, most)
		}
	}
	return nil
}

var errTooSmall = errors.New("messages are bounded")

func (i *inquiry) writes() bool {
	for _, u := range i.Uses {
		if u.Group == "" {
			return true
		}
	}
	return false
}

// subjects are those of a use. One that stands for many types ends with ">"; where that cannot be, there is
// none that could be asked for.
func (i *inquiry) subjects(u events.Use) (all []string) {
	if len(u.Types) == 0 {
		return []string{u.Topic}
	}
	for _, kind := range u.Types {
		if prefix, many := strings.CutSuffix(kind, "*"); many {
			kind = prefix + ">"
		}
		subject := strings.NewReplacer("{type}", kind, "{topic}", u.Topic).Replace(i.sink.subject)
		if at := strings.IndexByte(subject, '>'); at < 0 || at == len(subject)-1 && (at == 0 || subject[at-1] == '.') {
			all = append(all, subject)
		}
	}
	return all
}

// look says what stands against the use of a subject.
func (i *inquiry) look(ctx context.Context, u events.Use, subject string, most int) {
	fail := func(format string, args ...any) {
		i.Found(u.At, false, fmt.Sprintf("%s: subject %s: ", u.By, subject)+fmt.Sprintf(format, args...))
	}
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	if u.Group == "" && !i.may.publish(subject) {
		fail("the gateway's user may not publish to it: allow it")
	}
	lister := i.sink.stream.ListStreams(ctx, jetstream.WithStreamListSubject(subject))
	n := 0
	for info := range lister.Info() {
		n++
		if u.Group == "" {
			accepts(info.Config, most, u.Buries == "", fail)
		}
	}
	switch err := lister.Err(); {
	case err != nil:
		fail("%v", i.sink.away(err))
	case n == 0 && (u.Group != "" || u.Buries != "" || i.sink.settings.CreateStream == ""):
		fail("no stream has it: create one%s", orSetting(u))
	case u.Group != "":
		i.consumer(ctx, u, fail)
	}
}

func orSetting(u events.Use) string {
	if len(u.Types) > 0 {
		return ", or set create_stream"
	}
	return ""
}

// accepts says why a stream takes no events.
func accepts(c jetstream.StreamConfig, most int, event bool, fail func(format string, args ...any)) {
	switch {
	case c.Sealed:
		fail("the stream %s is sealed, and takes no messages", c.Name)
	case c.NoAck:
		fail("the stream %s has no_ack, so that no event would count as sent: remove it", c.Name)
	case event && c.MaxMsgSize > 0 && int(c.MaxMsgSize) < most:
		fail("the stream %s takes messages of up to %d bytes, but an event may have %d: raise its max_msg_size, or lower events.max_event_bytes", c.Name, c.MaxMsgSize, most)
	}
}

// consumer compares the consumer, if it is there, with what is needed.
func (i *inquiry) consumer(ctx context.Context, u events.Use, fail func(format string, args ...any)) {
	s := &Source{what: subscription.Reading{Topic: u.Topic, Group: u.Group}, sink: i.sink}
	consumer, err := s.find(ctx, i.sink.stream)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound): // it is made when the subscription starts
	case err != nil:
		fail("%v", i.sink.away(err))
	case consumer.CachedInfo().Config.AckPolicy != jetstream.AckExplicitPolicy:
		fail("the consumer %s has the ack_policy %v, and %v is needed: choose another group, or delete the consumer", u.Group, consumer.CachedInfo().Config.AckPolicy, jetstream.AckExplicitPolicy)
	case consumer.CachedInfo().Config.FilterSubject != u.Topic:
		fail("the consumer %s has the filter_subject %q: choose another group, or delete the consumer", u.Group, consumer.CachedInfo().Config.FilterSubject)
	}
}

const (
	// userSubject is where servers say what the user of a connection may do, and userTimeout how long
	// they may take: users who may not ask get no answer.
	userSubject = "$SYS.REQ.USER.INFO"
	userTimeout = 2 * time.Second
)

// permissions are what a user may do. Zero is everything.
type permissions struct {
	Allow []string `json:"allow"`
	Deny  []string `json:"deny"`
}

// permissions asks what may be published. Where the server does not say, that is everything.
func (s *Sink) permissions(ctx context.Context) permissions {
	ctx, cancel := context.WithTimeout(ctx, userTimeout)
	defer cancel()
	answer, err := s.conn.RequestWithContext(ctx, userSubject, nil)
	if err != nil {
		return permissions{}
	}
	var said struct {
		Data struct {
			Permissions struct {
				Publish permissions `json:"publish"`
			} `json:"permissions"`
		} `json:"data"`
	}
	if json.Unmarshal(answer.Data, &said) != nil {
		return permissions{}
	}
	return said.Data.Permissions.Publish
}

// publish reports whether a subject may be published to.
func (p permissions) publish(subject string) bool {
	for _, pattern := range p.Deny {
		if covers(pattern, subject) {
			return false
		}
	}
	for _, pattern := range p.Allow {
		if covers(pattern, subject) {
			return true
		}
	}
	return len(p.Allow) == 0
}

// covers reports whether all of a subject, which may have wildcards itself, falls under a pattern.
func covers(pattern, subject string) bool {
	for {
		p, restOfPattern, moreOfPattern := strings.Cut(pattern, ".")
		s, restOfSubject, moreOfSubject := strings.Cut(subject, ".")
		switch {
		case p == ">":
			return true
		case p != s && (p != "*" || s == ">"):
			return false
		case !moreOfPattern || !moreOfSubject:
			return moreOfPattern == moreOfSubject
		}
		pattern, subject = restOfPattern, restOfSubject
	}
}
