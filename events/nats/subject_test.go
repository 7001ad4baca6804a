package nats

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/transom-gateway/transom/events"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

func TestSubjects(t *testing.T) {
	e := &events.Event{Type: "user.book_created", Topic: "user_behaviors"}
	for template, want := range map[string]string{
		DefaultSubject:            "events.user.book_created",
		"{topic}.{type}":          "user_behaviors.user.book_created",
		"fixed":                   "fixed",
		"a.{type}.b":              "a.user.book_created.b",
		"événements.{topic}-more": "événements.user_behaviors-more",
	} {
		if err := CheckSubject(template); err != nil {
			t.Errorf("%s: %v", template, err)
		}
		if got, err := subject(template, e); err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", template, got, err, want)
		}
	}
	for _, template := range []string{"", ".", "a..b", "a.", ".{type}", "a b", "a.*", "a.>", "{typ}", "a.{", "a\n", "$JS.API.x", "_INBOX.x", strings.Repeat("x", 1025)} {
		if err := CheckSubject(template); err == nil {
			t.Errorf("%q was taken", template)
		}
	}
	for _, kind := range []string{"", "a..b", "a b", "a.*", ">", "x\r\nPUB y 1", "\xff"} {
		if got, err := subject(DefaultSubject, &events.Event{Type: kind}); err == nil {
			t.Errorf("the type %q has the subject %q", kind, got)
		}
	}
}

func TestSubjectsOfStreams(t *testing.T) {
	for template, want := range map[string]string{
		DefaultSubject: "events.>", "a.b.{topic}.{type}": "a.b.>", "fixed.one": "fixed.one", "a.b{type}": "a.>", "{type}": "", "x{type}": "",
	} {
		if got := StreamSubject(template); got != want {
			t.Errorf("%s: got %q, want %q", template, got, want)
		}
	}
}

// FuzzSubject holds that no type or topic makes a subject that means several, or ends its line.
func FuzzSubject(f *testing.F) {
	f.Add("user.book_created", "user_behaviors")
	f.Add("x\r\nPUB y 1", "*")
	f.Add(">", "a..b")
	f.Fuzz(func(t *testing.T, kind, topic string) {
		got, err := subject("events.{topic}.{type}", &events.Event{Type: kind, Topic: topic})
		if err == nil && (strings.ContainsAny(got, " \t\r\n\x00*>") || strings.Contains(got, "..") || strings.HasSuffix(got, ".")) {
			t.Errorf("got %q", got)
		}
	})
}

func TestIdentity(t *testing.T) {
	for id, want := range map[string]string{"0189-a": "0189-a", "a b": "a+b", "x\r\ny": "x%0D%0Ay", "é": "%C3%A9"} {
		if got := identity(id); got != want {
			t.Errorf("%q: got %q, want %q", id, got, want)
		}
	}
}

// TestErrors holds which events are rejected, and that no error tells a password.
func TestErrors(t *testing.T) {
	s, err := Open("nats", &transomv1.NatsSink{Url: "nats://ann:hunter2@127.0.0.1:1,nats://127.0.0.1:2"}, events.Env{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for err, refused := range map[error]bool{
		nats.ErrMaxPayload: true, nats.ErrBadSubject: true, &jetstream.APIError{ErrorCode: jetstream.JSErrCodeStreamMessageExceedsMaximum}: true,
		jetstream.ErrNoStreamResponse: false, nats.ErrTimeout: false, nats.ErrConnectionClosed: false, &jetstream.APIError{ErrorCode: 10077}: false,
		errors.New("any other"): false,
	} {
		got := s.judge("events.a", err)
		if errors.Is(got, events.ErrRejected) != refused || !errors.Is(got, err) || !strings.Contains(got.Error(), "events.a") {
			t.Errorf("%v: got %v", err, got)
		}
	}
	errs := make([]error, 1)
	s.Send(t.Context(), []*events.Event{{ID: "1", Source: "/s", Type: "t"}}, errs)
	if got := errs[0]; got == nil || strings.Contains(got.Error(), "hunter2") || !strings.Contains(got.Error(), "NATS at 127.0.0.1:1, 127.0.0.1:2: ") {
		t.Errorf("got %v", got)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
