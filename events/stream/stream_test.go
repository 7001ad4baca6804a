package stream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/log"
	"github.com/transom-gateway/transom/events/stream"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// process is a hub with its log.
type process struct {
	*testing.T
	log *log.Log
	hub *stream.Hub
	o   stream.Options
}

func start(t *testing.T, dir string, o stream.Options) *process {
	t.Helper()
	l, err := log.Open(dir, log.Options{KeepBytes: 512 << 20})
	if err != nil {
		t.Fatal(err)
	}
	o.Log, o.Directory, o.Folder = l, dir, dir
	h, err := stream.NewHub(o)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{T: t, log: l, hub: h, o: o}
	t.Cleanup(p.stop)
	return p
}

func (p *process) stop() {
	_ = p.hub.Close()
	_ = p.log.Close()
}

func (p *process) rules(streams ...*transomv1.EventStream) *stream.Rules {
	p.Helper()
	r, problems := p.hub.Rules(streams)
	if len(problems) > 0 {
		p.Fatal(problems)
	}
	return r
}

func (p *process) publish(all ...*events.Event) {
	p.Helper()
	bodies := make([][]byte, len(all))
	for i, e := range all {
		bodies[i] = events.AppendRecord(nil, e)
	}
	if _, err := p.log.AppendAll(p.Context(), bodies); err != nil {
		p.Fatal(err)
	}
}

func event(id string) *events.Event {
	return &events.Event{ID: id, Source: "/test", Type: "a.b", Topic: "topic", DataContentType: events.JSON, Data: []byte(`{"n":1}`)}
}

func numbered(from, n int) []*events.Event {
	all := make([]*events.Event, n)
	for i := range all {
		all[i] = event(fmt.Sprint(from + i))
	}
	return all
}

func (p *process) subscribe(r *stream.Rules, q *transomv1.SubscribeRequest, c stream.Caller) *client {
	p.Helper()
	q.Topic = "topic"
	s, err := r.Subscribe(q, &c)
	if err != nil {
		p.Fatal(err)
	}
	return &client{Stream: s}
}

// next is the next item with its message.
func (p *process) next(s *client) (*stream.Item, *transomv1.SubscribeResponse) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), 20*time.Second)
	defer cancel()
	item, err := s.Next(ctx, nil)
	if err != nil {
		p.Fatal(err)
	}
	m := &transomv1.SubscribeResponse{}
	if err := proto.Unmarshal(item.Message, m); err != nil || m.GetCursor() != item.Cursor {
		p.Fatal(m, err)
	}
	return item, m
}

// ids are those of the next n events.
func (p *process) ids(s *client, n int) string {
	p.Helper()
	var all []string
	for len(all) < n {
		item, m := p.next(s)
		switch {
		case item.Name == "":
			all = append(all, m.GetEvent().GetId())
		case item.Name != "begin":
			all = append(all, item.Name+string(item.JSON))
		}
	}
	return strings.Join(all, " ")
}

func (p *process) want(s *client, want ...string) {
	p.Helper()
	if got := p.ids(s, len(want)); got != strings.Join(want, " ") {
		p.Errorf("got %s, expected %s", got, want)
	}
}

// TestOnce holds Events 183: clients that come and go at random get each event once, in order.
func TestOnce(t *testing.T) {
	t.Run("Events 183", func(t *testing.T) {
		const clients, published = 8, 10_000
		p := start(t, t.TempDir(), stream.Options{RingEvents: 2000})
		rules := p.rules(&transomv1.EventStream{Topic: "topic"})
		var all sync.WaitGroup
		for i := range clients {
			first := p.subscribe(rules, &transomv1.SubscribeRequest{}, stream.Caller{}) // before all events
			begin, _ := p.next(first)
			first.Close()
			all.Go(func() {
				random, cursor := rand.New(rand.NewPCG(1, uint64(i))), begin.Cursor
				for seen := 0; seen < published; {
					s := p.subscribe(rules, &transomv1.SubscribeRequest{LastEventId: cursor}, stream.Caller{})
					for range random.IntN(published / 5) {
						item, m := p.next(s)
						if cursor = item.Cursor; item.Name == "begin" {
							continue
						}
						if got := m.GetEvent().GetId(); got != fmt.Sprint(seen) {
							t.Errorf("client %d got %s %s, expected %d", i, item.Name, got, seen)
							s.Close()
							return
						}
						if seen++; seen == published {
							break
						}
					}
					s.Close()
				}
			})
		}
		for i := 0; i < published; i += 50 {
			p.publish(numbered(i, 50)...)
		}
		all.Wait()
	})
}

// TestReady holds Events 183 for clients that catch up: Ready never promises what Next waits for, whatever other events
// stand behind the client's own, in memory and in the log.
func TestReady(t *testing.T) {
	for name, ring := range map[string]int{"in memory": 1 << 10, "in the log": 1} {
		t.Run("Events 183: "+name, func(t *testing.T) {
			p := start(t, t.TempDir(), stream.Options{RingEvents: ring})
			rules := p.rules(&transomv1.EventStream{Topic: "topic"}, &transomv1.EventStream{Topic: "elsewhere"})
			p.publish(numbered(0, 3)...)
			behind := numbered(3, 700)
			for _, e := range behind {
				e.Topic = "elsewhere"
			}
			p.publish(behind...)
			s := p.subscribe(rules, &transomv1.SubscribeRequest{LastEventId: "earliest"}, stream.Caller{})
			defer s.Close()
			p.next(s) // where it begins
			p.want(s, "0", "1", "2")
			for s.Ready() {
				p.next(s)
			}
		})
	}
}

// TestCursors holds Events 182 for what clients send, in this process and the next.
func TestCursors(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir, stream.Options{})
	streams := []*transomv1.EventStream{{Topic: "topic"}, {Topic: "other"}}
	rules := p.rules(streams...)
	s := p.subscribe(rules, &transomv1.SubscribeRequest{}, stream.Caller{})
	begin, _ := p.next(s)
	p.publish(numbered(0, 3)...)
	p.want(s, "0", "1")
	after := s.Cursor()
	s.Close()
	other, err := rules.Subscribe(&transomv1.SubscribeRequest{Topic: "other"}, &stream.Caller{})
	if err != nil {
		t.Fatal(err)
	}
	foreign := other.Cursor()
	other.Close()
	forged := []byte(after)
	forged[20] ^= 1
	for range 2 {
		for cursor, want := range map[string]string{
			begin.Cursor: "0", after: "2", "earliest": "0",
			"42": `reset{"reason":"unknown"}`, string(forged): `reset{"reason":"unknown"}`, foreign: `reset{"reason":"other_topic"}`,
		} {
			t.Run("Events 182: "+want, func(t *testing.T) {
				p.T = t
				s := p.subscribe(rules, &transomv1.SubscribeRequest{LastEventId: cursor}, stream.Caller{})
				defer s.Close()
				p.want(s, want)
			})
		}
		p.stop()
		p = start(t, dir, stream.Options{})
		rules = p.rules(streams...)
	}
}

// TestTooOld has what a client wants dropped from the log.
func TestTooOld(t *testing.T) {
	dir := t.TempDir()
	l, err := log.Open(dir, log.Options{SegmentBytes: 1 << 20, MaxBytes: 2 << 20, MaxRecordBytes: 300 << 10, OnFull: log.DropOldest})
	if err != nil {
		t.Fatal(err)
	}
	h, err := stream.NewHub(stream.Options{Log: l, Directory: dir, Folder: dir})
	if err != nil {
		t.Fatal(err)
	}
	p := &process{T: t, log: l, hub: h}
	t.Cleanup(p.stop)
	rules := p.rules(&transomv1.EventStream{Topic: "topic"})
	s := p.subscribe(rules, &transomv1.SubscribeRequest{}, stream.Caller{})
	cursor := s.Cursor()
	s.Close()
	for range 20 {
		e := event("large")
		e.Data = []byte(`"` + strings.Repeat("x", 200<<10) + `"`)
		p.publish(e)
	}
	s = p.subscribe(rules, &transomv1.SubscribeRequest{LastEventId: cursor}, stream.Caller{})
	defer s.Close()
	p.want(s, `reset{"reason":"too_old"}`)
	p.publish(event("now"))
	t.Run("Events 182: too old", func(t *testing.T) {
		p.T = t
		p.want(s, "now")
	})
}

// TestSlow holds Events 185: a client that is behind what is in memory.
func TestSlow(t *testing.T) {
	keyed := func(id, key string) *events.Event {
		e := event(id)
		e.Key = key
		return e
	}
	for _, test := range []struct {
		slow transomv1.EventStream_Slow
		kind string
		want []string
	}{
		{transomv1.EventStream_CATCH_UP, "catch_up", []string{"1", "2", "3", "4", "5", "6", "7", "8"}},
		{transomv1.EventStream_DISCONNECT, "disconnect", []string{"lagged{}"}},
		{transomv1.EventStream_CONFLATE, "conflate", []string{"5", "6", "7", "8"}},
	} {
		t.Run("Events 185: "+test.kind, func(t *testing.T) {
			p := start(t, t.TempDir(), stream.Options{RingEvents: 2})
			rules := p.rules(&transomv1.EventStream{Topic: "topic", Slow: test.slow})
			slow := p.subscribe(rules, &transomv1.SubscribeRequest{}, stream.Caller{})
			defer slow.Close()
			well := p.subscribe(rules, &transomv1.SubscribeRequest{}, stream.Caller{})
			defer well.Close()
			p.publish(event("0"))
			p.want(slow, "0")
			p.want(well, "0")
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, _ = slow.Next(ctx, nil)
			waitLive(p, slow)
			for i, key := range []string{"a", "a", "b", "a", "b", "c", "c", "a"} {
				p.publish(keyed(fmt.Sprint(i+1), map[bool]string{true: "", false: key}[i == 5]))
				p.want(well, fmt.Sprint(i+1))
			}
			p.want(slow, test.want...)
			if n := p.hub.Stats().Slow[test.kind]; n != 1 {
				t.Errorf("counted %d times", n)
			}
			if test.slow != transomv1.EventStream_DISCONNECT {
				return
			}
			cursor := slow.Cursor()
			if _, err := slow.Next(t.Context(), nil); err != io.EOF {
				t.Error(err)
			}
			again := p.subscribe(rules, &transomv1.SubscribeRequest{LastEventId: cursor}, stream.Caller{})
			defer again.Close()
			p.want(again, "1", "2", "3", "4", "5", "6", "7", "8")
		})
	}
}

// waitLive has a stream wait for an event in vain, so that it knows that it has all.
func waitLive(p *process, s *client) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), 50*time.Millisecond)
	defer cancel()
	if item, err := s.Next(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
		p.Fatal(item, err)
	}
}

// TestOneEncoding holds Events 184: clients share what they get, and what they wait for.
func TestOneEncoding(t *testing.T) {
	p := start(t, t.TempDir(), stream.Options{})
	rules := p.rules(&transomv1.EventStream{Topic: "topic"})
	var all []*client
	for i := range 50 {
		s := p.subscribe(rules, &transomv1.SubscribeRequest{Types: []string{"a.*", "*"}[i%2 : i%2+1], Filter: []string{"", "event.data.n == 1"}[i/2%2]}, stream.Caller{})
		defer s.Close()
		all = append(all, s)
	}
	p.publish(numbered(0, 20)...)
	for _, s := range all {
		for i := range 20 {
			p.want(s, fmt.Sprint(i))
		}
	}
	t.Run("Events 184", func(t *testing.T) {
		if s := p.hub.Stats(); s.Encoded != 20 || s.Sent != 50*20 || s.Classes != 4 || s.Clients != 50 {
			t.Errorf("%+v", s)
		}
	})
}

// TestAllow holds Events 180: what a client may not get is as if it was not there.
func TestAllow(t *testing.T) {
	p := start(t, t.TempDir(), stream.Options{})
	rules := p.rules(&transomv1.EventStream{
		Topic: "topic", Types: []string{"a.*"}, Fields: []string{"n", "list.x"},
		Allow: `"staff" in roles || has(claims.tenant) && event.data.tenant == claims.tenant`,
	})
	for name, r := range map[string]*transomv1.SubscribeRequest{"nobody": {Topic: "topic"}, "another topic": {Topic: "no"}} {
		if _, err := rules.Subscribe(r, &stream.Caller{}); err == nil || err.Error() != stream.ErrNoTopic.Error() {
			t.Errorf("Events 180: %s: %v", name, err)
		}
	}
	staff := p.subscribe(rules, &transomv1.SubscribeRequest{}, stream.Caller{Roles: []string{"staff"}})
	defer staff.Close()
	one := p.subscribe(rules, &transomv1.SubscribeRequest{}, stream.Caller{Claims: map[string]any{"tenant": "1"}})
	defer one.Close()
	two := p.subscribe(rules, &transomv1.SubscribeRequest{Filter: "!has(event.data.tenant) && event.data.n > 1"}, stream.Caller{Claims: map[string]any{"tenant": "2"}})
	defer two.Close()
	for i, tenant := range []string{"1", "2", "1", "2"} {
		e := event(fmt.Sprint(i))
		e.Data = fmt.Appendf(nil, `{"n":%d,"tenant":%q,"list":[{"x":1,"y":2}]}`, i, tenant)
		p.publish(e)
	}
	hidden := event("hidden")
	hidden.Type = "b"
	p.publish(hidden, event("4"))
	t.Run("Events 180", func(t *testing.T) {
		p.T = t
		p.want(one, "0", "2")
		p.next(two) // where it begins
		item, _ := p.next(two)
		if !bytes.Contains(item.JSON, []byte(`"data":{"list":[{"x":1}],"n":3}`)) || !bytes.Contains(item.JSON, []byte(`"id":"3"`)) {
			t.Errorf("got %s", item.JSON)
		}
		p.want(staff, "0", "1", "2", "3", "4")
	})
}

// TestRefused has requests and rules that are wrong.
func TestRefused(t *testing.T) {
	p := start(t, t.TempDir(), stream.Options{})
	rules := p.rules(&transomv1.EventStream{Topic: "topic"})
	for want, r := range map[string]*transomv1.SubscribeRequest{
		"filter: the expression is wrong at 1:1": {Filter: "claims.sub == 'a'"},
		"expected bool":                          {Filter: "event.id + 'a'"},
		"filter: found 1025 bytes":               {Filter: strings.Repeat(" ", 1025)},
		"types: found the type \"a*\"":           {Types: []string{"a*"}},
		"types: found the type \"a..b\"":         {Types: []string{"a.b", "a..b"}},
		"types: found the type \".*\"":           {Types: []string{".*"}},
		"last_event_id: found 257":               {LastEventId: strings.Repeat("a", 257)},
	} {
		r.Topic = "topic"
		if _, err := rules.Subscribe(r, &stream.Caller{}); !errors.Is(err, stream.ErrRequest) || !strings.Contains(err.Error(), want) {
			t.Errorf("Events 186: got %v, expected %s", err, want)
		}
	}
	// What costs too much says no.
	s := p.subscribe(rules, &transomv1.SubscribeRequest{Filter: `event.data.all(a, event.data.all(b, event.data.all(c, a + b + c != "x")))`}, stream.Caller{})
	defer s.Close()
	costly := event("costly")
	costly.Data = []byte("[" + strings.Repeat(`"a",`, 1000) + `"b"]`)
	small := event("small")
	small.Data = []byte(`["a"]`)
	p.publish(costly, small)
	p.want(s, "small")
	for _, bad := range []*transomv1.EventStream{{}, {Topic: "a", Allow: "1"}, {Topic: "a", Allow: "claims"}, {Topic: "a", Types: []string{""}}, {Topic: "a", Fields: []string{"a..b"}}} {
		if problems := stream.Check([]*transomv1.EventStream{bad}); len(problems) != 1 {
			t.Errorf("%v: %v", bad, problems)
		}
	}
}

// TestLeave holds Events 187: a client is told to come back with its place.
func TestLeave(t *testing.T) {
	p := start(t, t.TempDir(), stream.Options{})
	rules := p.rules(&transomv1.EventStream{Topic: "topic"})
	s := p.subscribe(rules, &transomv1.SubscribeRequest{}, stream.Caller{})
	defer s.Close()
	p.next(s)
	leave := make(chan struct{})
	close(leave)
	item, err := s.Next(t.Context(), leave)
	if err != nil || item.Name != "reconnect" {
		t.Fatal(item, err)
	}
	if _, err := s.Next(t.Context(), leave); err != io.EOF {
		t.Error(err)
	}
	p.publish(event("0"))
	t.Run("Events 187", func(t *testing.T) {
		p.T = t
		again := p.subscribe(rules, &transomv1.SubscribeRequest{LastEventId: item.Cursor}, stream.Caller{})
		defer again.Close()
		p.want(again, "0")
		_ = p.hub.Close()
		p.want(again, "reconnect{}")
	})
}

// FuzzCursor has no cursor but one of the hub's own go on where it says.
func FuzzCursor(f *testing.F) {
	for _, seed := range []string{"", "earliest", "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "end", "\x00", strings.Repeat("_", 44)} {
		f.Add(seed)
	}
	l, err := log.Open(f.TempDir(), log.Options{})
	if err != nil {
		f.Fatal(err)
	}
	dir := f.TempDir()
	h, err := stream.NewHub(stream.Options{Log: l, Directory: dir, Folder: dir})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _, _ = h.Close(), l.Close() })
	rules, _ := h.Rules([]*transomv1.EventStream{{Topic: "topic"}})
	f.Fuzz(func(t *testing.T, cursor string) {
		begun, err := rules.Subscribe(&transomv1.SubscribeRequest{Topic: "topic", LastEventId: cursor}, &stream.Caller{})
		if err != nil {
			return
		}
		defer begun.Close()
		s := &client{Stream: begun}
		_, _ = s.Next(t.Context(), nil)
		leave := make(chan struct{})
		close(leave)
		item, err := s.Next(t.Context(), leave)
		want := "reset"
		if cursor == "" || cursor == "earliest" {
			want = "reconnect"
		}
		if err != nil || item.Name != want {
			t.Fatalf("%q: %s, %v", cursor, item.Name, err)
		}
	})
}
