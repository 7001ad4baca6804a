package nats

import (
	"errors"
	"fmt"
	"strings"

	"github.com/transom-gateway/transom/events"
)

// DefaultSubject is the subject of events for which nothing else is said.
const DefaultSubject = "events.{type}"

// subject is that of an event.
func subject(template string, e *events.Event) (string, error) {
	text := strings.NewReplacer("{type}", e.Type, "{topic}", e.Topic).Replace(template)
	if err := checkSubject(text); err != nil {
		return "", fmt.Errorf("subject %.200q: %w", text, err)
	}
	return text, nil
}

// CheckSubject holds that a template makes subjects.
func CheckSubject(template string) error {
	text := strings.NewReplacer("{type}", "type", "{topic}", "topic").Replace(template)
	if i := strings.IndexByte(text, '{'); i >= 0 {
		return fmt.Errorf(`found %q, expected {type} or {topic} behind "{"`, text[i:])
	}
	return checkSubject(text)
}

// maxSubject is the longest subject.
const maxSubject = 1024

func checkSubject(text string) error {
	if len(text) > maxSubject {
		return fmt.Errorf("found %d bytes, expected at most %d", len(text), maxSubject)
	}
	for token := range strings.SplitSeq(text, ".") {
		if token == "" {
			return errors.New("found nothing between two dots or at an end, expected words with dots between them")
		}
	}
	for _, r := range text {
		if r <= ' ' || r == 0x7f || r == '*' || r == '>' || r == '\ufffd' {
			return fmt.Errorf("found %q, expected no white space, control characters, \"*\" and \">\"", r)
		}
	}
	if strings.HasPrefix(text, "$") || strings.HasPrefix(text, "_INBOX.") {
		return errors.New("found one of the server's own")
	}
	return nil
}

// StreamSubject is what a stream takes that gets all subjects of a template; "" if it would
// get everybody's.
func StreamSubject(template string) string {
	before, _, ok := strings.Cut(template, "{")
	if !ok {
		return template
	}
	i := strings.LastIndexByte(before, '.')
	if i < 0 {
		return ""
	}
	return before[:i] + ".>"
}
