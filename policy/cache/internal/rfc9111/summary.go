package rfc9111

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/transom-gateway/transom/internal/span"
)

// PassedBy says what the rule is to requests of a method whose answers are not kept; "" for others.
func (r *Rule) PassedBy(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead:
		return ""
	case http.MethodOptions, http.MethodTrace:
		return "nothing for " + method + ": answers to GET and HEAD are kept"
	}
	return "not for " + method + ": one that succeeds has what is kept of its URI dropped"
}

// Summary is the rule in one line, for people.
func (r *Rule) Summary() string {
	text := "by RFC 9111, for as long as an answer's Cache-Control or Expires says"
	if r.TTL > 0 {
		text += fmt.Sprintf(", else %s", span.Text(r.TTL))
	}
	if r.NotFoundTTL > 0 {
		text += fmt.Sprintf(", 404 and 410 %s", span.Text(r.NotFoundTTL))
	}
	if r.Principal {
		text += "; each principal's own"
	} else {
		text += "; shared by all callers"
	}
	if len(r.Vary) > 0 {
		text += "; varies by " + strings.Join(r.Vary, ", ")
	}
	if r.WhileRevalidate > 0 {
		text += fmt.Sprintf("; stale for %s while a new one is fetched", span.Text(r.WhileRevalidate))
	}
	if r.IfError > 0 {
		text += fmt.Sprintf("; stale for %s where the server fails", span.Text(r.IfError))
	}
	return text
}
