package ratelimit

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/transom-gateway/transom/policy"
)

// The fields of draft-ietf-httpapi-ratelimit-headers, in Go's canonical form.
const (
	rateLimitHeader       = "Ratelimit"
	rateLimitPolicyHeader = "Ratelimit-Policy"
)

// announce tells the client how each limit stands: what remains, and in how
// many seconds all of it will be there again. A limit whose store is away, and
// one that was not asked, is left out.
func (l *limiter) announce(h http.Header, verdicts []verdict) {
	var space [160]byte
	line := space[:0]
	for i, v := range verdicts {
		if !v.known {
			continue
		}
		if len(line) > 0 {
			line = append(line, ", "...)
		}
		line = append(line, l.limits[i].quoted...)
		line = append(line, ";r="...)
		line = strconv.AppendInt(line, v.remaining, 10)
		line = append(line, ";t="...)
		line = strconv.AppendInt(line, policy.Seconds(v.reset), 10)
	}
	if len(line) == 0 {
		return
	}
	// Two lines of a list are one list, so limits before and after auth need not
	// know each other.
	h[rateLimitHeader] = append(h[rateLimitHeader], string(line))
	if h[rateLimitPolicyHeader] == nil {
		h[rateLimitPolicyHeader] = l.policy[:1:1]
	} else {
		h[rateLimitPolicyHeader] = append(h[rateLimitPolicyHeader], l.policy[0])
	}
}

// policyLine is the RateLimit-Policy of the limits. The draft has no word for a
// burst that differs from the quota, and asks for a prefix on one's own words.
func policyLine(limits []limit) string {
	items := make([]string, len(limits))
	for i := range limits {
		l := &limits[i]
		item := l.quoted + ";q=" + strconv.FormatUint(uint64(l.requests), 10)
		if l.per%time.Second == 0 {
			item += ";w=" + strconv.FormatInt(int64(l.per/time.Second), 10)
		}
		if l.burst != l.requests {
			item += ";transom-burst=" + strconv.FormatUint(uint64(l.burst), 10)
		}
		items[i] = item
	}
	return strings.Join(items, ", ")
}

// quote writes a name as a string of RFC 9651.
func quote(name string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
}
