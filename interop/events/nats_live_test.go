package events

import (
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/transom-gateway/transom/events"
	natssink "github.com/transom-gateway/transom/events/nats"
	"github.com/transom-gateway/transom/internal/testing/loopback"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestAskNATS asks a real server about subjects that streams have and not, bounds, and what its users may
// do (Events 151).
func TestAskNATS(t *testing.T) {
	s := startNATS(t, `max_payload: 400000
authorization { users: [
	{ user: all, password: "p" }
	{ user: few, password: "p", permissions: { publish: { allow: ["$JS.API.>", "$SYS.REQ.USER.INFO", "events.user.*"], deny: "events.user.secret" }, subscribe: ">" } }
	{ user: mute, password: "p", permissions: { publish: { deny: "$SYS.>" }, subscribe: ">" } }
] }
`)
	url := func(user string) string { return "nats://" + user + ":p@" + s.address }
	conn, err := nats.Connect(url("all"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []jetstream.StreamConfig{
		{Name: "EVENTS", Subjects: []string{"events.user.>", "books"}}, {Name: "SMALL", Subjects: []string{"events.small"}, MaxMsgSize: 1000},
		{Name: "SILENT", Subjects: []string{"events.silent"}, NoAck: true}, {Name: "SEALED", Subjects: []string{"events.sealed"}},
	} {
		if _, err := js.CreateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.UpdateStream(t.Context(), jetstream.StreamConfig{Name: "SEALED", Subjects: []string{"events.sealed"}, Sealed: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateConsumer(t.Context(), "EVENTS", jetstream.ConsumerConfig{Durable: "other", FilterSubject: "books", AckPolicy: jetstream.AckNonePolicy}); err != nil {
		t.Fatal(err)
	}
	writes := func(types ...string) events.Use {
		return events.Use{At: "p.proto:7:3", By: "events[0] of p.v1.S/Get", Topic: "t", Types: types}
	}
	reads := func(subject, group string) events.Use {
		return events.Use{At: "s.yaml:2:2", By: "subscription s", Topic: subject, Group: group}
	}
	for name, test := range map[string]struct {
		user    string
		create  string
		largest int
		uses    []events.Use
		want    []string
	}{
		"all is well":           {user: "all", uses: []events.Use{writes("user.click", "user.*"), reads("books", "transom-a")}},
		"somebody who is mute":  {user: "mute", uses: []events.Use{writes("user.click")}},
		"no stream":             {user: "all", uses: []events.Use{writes("other.click")}, want: []string{"p.proto:7:3: events[0] of p.v1.S/Get: subject events.other.click: no stream has it: create one, or set create_stream"}},
		"a stream to create":    {user: "all", create: "MORE", uses: []events.Use{writes("other.click")}},
		"nothing to read":       {user: "all", uses: []events.Use{reads("films", "transom-a")}, want: []string{"s.yaml:2:2: subscription s: subject films: no stream has it: create one"}},
		"of all types":          {user: "all", uses: []events.Use{writes("*")}, want: []string{"SEALED", "SILENT", "SMALL"}},
		"small":                 {user: "all", uses: []events.Use{writes("small")}, want: []string{"the stream SMALL takes messages of up to 1000 bytes, but an event may have 294912"}},
		"small messages of all": {user: "all", largest: 900 << 10, uses: []events.Use{writes("user.click")}, want: []string{"found the max_payload 400000, but an event may have 954368 bytes"}},
		"no acknowledgements":   {user: "all", uses: []events.Use{writes("silent")}, want: []string{"the stream SILENT has no_ack"}},
		"sealed":                {user: "all", uses: []events.Use{writes("sealed")}, want: []string{"the stream SEALED is sealed"}},
		"denied":                {user: "few", uses: []events.Use{writes("user.secret")}, want: []string{"subject events.user.secret: the gateway's user may not publish to it"}},
		"not allowed":           {user: "few", uses: []events.Use{writes("user.click.twice"), writes("user.click")}, want: []string{"subject events.user.click.twice: the gateway's user may not publish to it"}},
		"not all allowed":       {user: "few", uses: []events.Use{writes("user.*")}, want: []string{"subject events.user.>: the gateway's user may not publish to it"}},
		"another's consumer":    {user: "all", uses: []events.Use{reads("books", "other")}, want: []string{"the consumer other has the ack_policy AckNone"}},
		"a wrong password":      {user: "nobody", uses: []events.Use{writes("user.click")}, want: []string{"sink.yaml:1:1: sink main: NATS at " + s.address + ": "}},
	} {
		t.Run(name, func(t *testing.T) {
			got := askNATS(t, &transomv1.NatsSink{Url: url(test.user), CreateStream: test.create}, max(test.largest, 256<<10), test.uses)
			if len(got) != len(test.want) || !slices.EqualFunc(got, test.want, strings.Contains) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
	if _, err := js.Stream(t.Context(), "MORE"); err == nil {
		t.Error("asking has created a stream")
	}
	if got := askNATS(t, &transomv1.NatsSink{Url: "nats://" + loopback.Address(t)}, 1, nil); len(got) != 1 || !strings.Contains(got[0], "connection refused") && !strings.Contains(got[0], "no servers available") {
		t.Errorf("nobody: got %q", got)
	}
}

func askNATS(t *testing.T, settings *transomv1.NatsSink, largest int, uses []events.Use) (all []string) {
	t.Helper()
	natssink.Ask(t.Context(), "main", settings, env(t), events.Inquiry{At: "sink.yaml:1:1", Uses: uses, Largest: largest, Found: func(at string, warning bool, message string) {
		if warning {
			message = "warning: " + message
		}
		all = append(all, at+": "+message)
	}})
	return all
}
