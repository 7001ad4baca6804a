package config

import (
	"slices"
	"strings"

	"github.com/transom-gateway/transom/internal/field"
)

// headerNames holds that each is the name of a header that can cross, "*" for
// all, or, of a request, "prefix-*" for those that begin so.
func (c *checker) headerNames(path string, all []string, request bool) {
	expected := `the name of a header, or "*"`
	if request {
		expected = `the name of a header, "prefix-*" or "*"`
	}
	for i, name := range all {
		if name == "*" {
			continue
		}
		bare := strings.ToLower(name)
		if request {
			bare = strings.TrimSuffix(bare, "*")
		}
		if bare == "" || !isHeaderName(bare) {
			c.fail(join(path, i), "found %q, expected %s", name, expected)
		} else if why := whyItStays(bare, request); why != "" {
			c.fail(join(path, i), "found %q, %s: remove it", name, why)
		}
	}
}

// bodyHeaders say how a message is framed or written (Semantics 31). Host, which the
// transcoder counts among them, has an explanation of its own here.
var bodyHeaders = []string{"content-length", "content-type", "content-encoding", "accept-encoding"}

// whyItStays tells why a header of this lower-case name, or of names that begin
// so, never crosses; empty if it may. A name without effect would let its author
// believe that it had one.
func whyItStays(name string, request bool) string {
	switch plain := strings.ReplaceAll(name, "_", "-"); {
	case field.HopByHop(plain) && (request || field.HopByHopInAnswers(plain)), slices.Contains(bodyHeaders, plain):
		return "which says how this connection writes messages and never crosses"
	case strings.HasPrefix(plain, "grpc-"):
		return "which belongs to gRPC and never crosses"
	case !request:
		return ""
	case plain == "host":
		return "which backends are told as x-forwarded-host"
	case plain == "user-agent":
		return "which backends are told as x-forwarded-user-agent"
	case plain == "x-forwarded-client-cert":
		return "which only the gateway may say: see forward_client_cert"
	case strings.HasPrefix(plain, "x-transom-"):
		return "which only the gateway may say"
	case field.Protocol(plain):
		return "which belongs to the client's protocol and never crosses"
	case plain != name && (plain == "forwarded" || strings.HasPrefix(plain, "x-forwarded-") || strings.HasPrefix(plain, "x-real-")):
		return "which many servers take for " + plain + " and never crosses"
	}
	return ""
}

// headerPrefix holds that what begins with text can be the name of a header, and
// of metadata.
func (c *checker) headerPrefix(path, text string) {
	if !isHeaderName(strings.ToLower(text)) {
		c.fail(path, "found %q, expected letters, digits, \"-\", \"_\" and \".\"", text)
	}
}

// isHeaderName reports whether text, in lower case, holds only what gRPC takes in
// the name of metadata.
func isHeaderName(text string) bool {
	return strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == ""
}
