package ratelimit

import (
	"fmt"
	"io"
	"net/textproto"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"golang.org/x/net/http/httpguts"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/internal/span"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/expr"
	"github.com/transom-gateway/transom/policy/store"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

const (
	// maxPer is the longest time a quota may be for: a year and a day.
	maxPer = 366 * 24 * time.Hour
	// maxWindow is how long a bucket may take to fill; above it the arithmetic
	// would be near its end.
	maxWindow = 10 * 366 * 24 * time.Hour
)

// Keys of what State keeps for rate limits.
type (
	bucketsKey struct{}
)

// Close implements io.Closer for State; there is nothing to close.
func (b *buckets) Close() error { return nil }

var _ io.Closer = (*buckets)(nil)

// Early are the limits by the client's address of methods with auth. They
// stand before it, so that guessing credentials is limited too.
func Early() policy.Kind {
	return kind(true)
}

// Late are all others. Without auth all stay together, for one round trip.
func Late() policy.Kind {
	return kind(false)
}

func kind(early bool) policy.Kind {
	return policy.Kind{
		Field:   "rate_limit",
		Compile: func(s *policy.Scope) policy.Part { return compileLimitsOf(s, early) },
		Needs:   []policy.Need{{Field: "rate_limit", Config: "stores"}, {Field: "rate_limit.store", Config: "stores"}},
	}
}

// compileLimitsOf compiles the early limits or the others.
func compileLimitsOf(s *policy.Scope, early bool) policy.Part {
	var limits []limit
	for i, rule := range s.Policy.GetRateLimit() {
		if (limitKeyOf(rule) == transomv1.RateLimit_CLIENT_IP && s.Policy.GetAuth() != nil) != early {
			continue
		}
		l, ok := newLimit(s, i, rule)
		if !ok {
			continue
		}
		if n := sameNames(s.Policy.GetRateLimit()[:i], rule); n > 0 {
			l.name = fmt.Sprintf("%s-%d", l.name, n+1)
		}
		l.quoted = quote(l.name)
		limits = append(limits, l)
	}
	return limitPolicy(s, limits)
}

// limitKeyOf is what a rule counts by.
func limitKeyOf(rule *transomv1.RateLimit) transomv1.RateLimit_Key {
	if rule.GetKey() == transomv1.RateLimit_KEY_UNSPECIFIED {
		return transomv1.RateLimit_CLIENT_IP
	}
	return rule.GetKey()
}

// nameOfLimit is the name that a rule has or gets.
func nameOfLimit(rule *transomv1.RateLimit) string {
	if rule.GetName() != "" {
		return rule.GetName()
	}
	return strings.ToLower(limitKeyOf(rule).String())
}

// sameNames counts the rules that have the name of another one.
func sameNames(rules []*transomv1.RateLimit, as *transomv1.RateLimit) int {
	n := 0
	for _, rule := range rules {
		if nameOfLimit(rule) == nameOfLimit(as) {
			n++
		}
	}
	return n
}

// limitPolicy makes one policy of limits that are asked together.
func limitPolicy(s *policy.Scope, limits []limit) policy.Part {
	var admission, first, each []limit
	for _, l := range limits {
		if l.value != nil && l.value.ReadsRequest {
			first = append(first, l)
		} else {
			admission = append(admission, l)
		}
		if l.perMessage && s.Method != nil && s.Method.IsStreamingClient() {
			each = append(each, l)
		}
	}
	p := rateLimits{admission: newLimiter(s, admission), summary: limitsSummary(limits)}
	switch {
	case len(limits) == 0:
		return nil
	case len(first) == 0 && len(each) == 0:
		return &p
	}
	return &messageLimits{rateLimits: p, first: newLimiter(s, first), each: newLimiter(s, each)}
}

// limitsSummary says how often whom, and where that is counted.
func limitsSummary(limits []limit) string {
	lines := make([]string, len(limits))
	for i := range limits {
		l := &limits[i]
		lines[i] = l.text + " by " + l.by
		if l.shared() {
			lines[i] += " in Redis"
		}
		if l.perMessage {
			lines[i] += ", messages too"
		}
	}
	return strings.Join(lines, "; ")
}

// limiter puts the limits of this process before those in Redis.
func newLimiter(s *policy.Scope, limits []limit) *limiter {
	if len(limits) == 0 {
		return nil
	}
	l := &limiter{rpc: s.RPC, observer: s.Observer}
	for _, at := range limits {
		if !at.shared() {
			l.limits = append(l.limits, at)
		}
	}
	l.local = len(l.limits)
	for _, at := range limits {
		if at.shared() {
			l.limits = append(l.limits, at)
		}
	}
	l.policy = []string{policyLine(l.limits)}
	var err error
	if l.buckets, err = bucketsOf(s.Generation); err != nil {
		s.Refuse("rate_limit", "%v", err)
	}
	if l.local < len(l.limits) {
		if l.shared, err = sharedBucketsOf(s.Generation); err != nil {
			store.Refuse(s.Generation, err)
		}
	}
	return l
}

func bucketsOf(g *policy.Generation) (*buckets, error) {
	return policy.Lease(g, bucketsKey{}, func() (*buckets, error) { return newBuckets(maxBuckets, g.State.Now), nil })
}

func sharedBucketsOf(g *policy.Generation) (*sharedBuckets, error) {
	store, err := store.Of(g)
	if err != nil {
		return nil, err
	}
	return &sharedBuckets{store}, nil
}

// rateLimit compiles one rule.
func newLimit(s *policy.Scope, i int, rule *transomv1.RateLimit) (limit, bool) {
	before := s.Noted()
	refuse := func(field, format string, args ...any) {
		path := fmt.Sprintf("rate_limit[%d].%s", i, field)
		s.Refuse(path, "%s %s", path, fmt.Sprintf(format, args...))
	}
	l := limit{
		requests: rule.GetRequests(), burst: rule.GetBurst(), per: time.Second,
		key: limitKeyOf(rule), header: textproto.CanonicalMIMEHeaderKey(rule.GetHeader()),
		unavailable: rule.GetOnUnavailable(), perMessage: rule.GetPerMessage(),
		issuers: len(s.Config.GetAuth().GetJwt()) > 1,
	}
	if l.burst == 0 {
		l.burst = l.requests
	}
	if rule.GetPer() != nil {
		l.per = rule.GetPer().AsDuration()
		if l.per <= 0 || l.per > maxPer {
			refuse("per", "is %v; expected a time above 0 and up to 366 days", span.Text(l.per))
			return l, false
		}
	}
	if l.requests == 0 {
		refuse("requests", "is 0; expected at least 1 call")
		return l, false
	}
	l.interval = l.per / time.Duration(l.requests)
	if l.interval == 0 {
		refuse("requests", "is %d in %v, more than one a nanosecond; expected fewer", l.requests, span.Text(l.per))
		return l, false
	}
	if float64(l.interval)*float64(l.burst) > float64(maxWindow) {
		refuse("burst", "is %d: at %d per %s the bucket would take more than ten years to fill; expected less", l.burst, l.requests, span.Per(l.per))
		return l, false
	}
	l.window = l.interval * time.Duration(l.burst)
	switch l.by = strings.ToLower(l.key.String()); l.key {
	case transomv1.RateLimit_HEADER:
		l.by = "the header " + l.header
	case transomv1.RateLimit_CEL:
		l.by = rule.GetCel()
	}
	limitKey(s, i, &l, rule, refuse)
	limitName(&l, rule, refuse)
	limitMessages(s, i, rule)
	identity := limitIdentity(s.RPC, rule, &l)
	limitAgrees(s, i, rule.GetName(), identity, refuse)
	limitStore(s, &l, rule, identity, refuse)
	return l, s.Noted() == before
}

// refuser notes a problem at a field of one entry of a list.
type refuser func(field, format string, args ...any)

// limitKey checks what calls are counted by.
func limitKey(s *policy.Scope, i int, l *limit, rule *transomv1.RateLimit, refuse refuser) {
	switch l.key {
	case transomv1.RateLimit_CLIENT_IP, transomv1.RateLimit_PRINCIPAL, transomv1.RateLimit_ROUTE,
		transomv1.RateLimit_HEADER, transomv1.RateLimit_CEL:
	default:
		refuse("key", "is %d; expected CLIENT_IP, PRINCIPAL, HEADER, ROUTE or CEL", l.key)
		return
	}
	switch isHeader := l.key == transomv1.RateLimit_HEADER; {
	case isHeader && !httpguts.ValidHeaderFieldName(rule.GetHeader()):
		refuse("header", "is %q; expected the name of a header, for key HEADER", rule.GetHeader())
	case isHeader && field.HasPrefixFold(rule.GetHeader(), field.OwnPrefix):
		refuse("header", "is %q, which any client could forge; expected another header, or key PRINCIPAL", rule.GetHeader())
	case !isHeader && rule.GetHeader() != "":
		refuse("header", "is set, but key is %v; expected key HEADER, or no header", l.key)
	}
	switch isCEL := l.key == transomv1.RateLimit_CEL; {
	case isCEL && rule.GetCel() == "":
		refuse("cel", "is empty; expected an expression with a string as its value, for key CEL")
	case isCEL:
		l.value = expr.New(s, fmt.Sprintf("rate_limit[%d].cel", i), rule.GetCel(), cel.StringType)
	case rule.GetCel() != "":
		refuse("cel", "is set, but key is %v; expected key CEL, or no cel", l.key)
	}
}

// limitMessages refuses a limit of messages that is written for a method which takes one
// message; where it is inherited it has no effect (Semantics 329).
func limitMessages(s *policy.Scope, i int, rule *transomv1.RateLimit) {
	if rule.GetPerMessage() && s.Method != nil && !s.Method.IsStreamingClient() && s.Exact("rate_limit") && !s.Suppresses("rate_limit") {
		path := fmt.Sprintf("rate_limit[%d].per_message", i)
		s.Refuse(path, "%s: %s takes one message, so that there are no further ones to count: remove it", path, s.Method.FullName())
	}
}

// limitName finds the words by which clients know the limit.
func limitName(l *limit, rule *transomv1.RateLimit, refuse refuser) {
	l.name = nameOfLimit(rule)
	for _, c := range []byte(l.name) {
		if c < ' ' || c > '~' {
			refuse("name", "is %q; expected printable ASCII, for it stands in a header", l.name)
			return
		}
	}
	if len(l.name) > 64 {
		refuse("name", "has %d bytes; expected at most 64", len(l.name))
	}
	l.text = fmt.Sprintf("%d per %s", l.requests, span.Per(l.per))
	if l.burst != l.requests {
		l.text += fmt.Sprintf(", %d at once", l.burst)
	}
}

// namedLimits are the limits of one generation that have a name.
type namedLimits map[string]namedLimit

// namedLimit is the first use of a name: its figures, and where they stand.
type namedLimit struct{ identity, where string }

// limitAgrees refuses a name that stands for two different limits: their
// buckets would not be shared, as the name promises.
func limitAgrees(s *policy.Scope, i int, name, identity string, refuse refuser) {
	if name == "" {
		return
	}
	named := *policy.Shared(s.Generation, func(*policy.Generation) *namedLimits { return &namedLimits{} })
	first, ok := named[name]
	if !ok {
		named[name] = namedLimit{identity, s.Where(fmt.Sprintf("rate_limit[%d]", i))}
		return
	}
	if first.identity != identity {
		refuse("name", "%q stands for a limit with other figures at %s; expected the same requests, per, burst and key, or another name", name, first.where)
	}
}

// limitStore decides where the buckets are.
func limitStore(s *policy.Scope, l *limit, rule *transomv1.RateLimit, identity string, refuse refuser) {
	all, err := bucketsOf(s.Generation)
	if err != nil {
		s.Refuse("rate_limit", "%v", err)
		return
	}
	l.number = all.limit(identity)
	switch rule.GetStore() {
	case transomv1.RateLimit_STORE_UNSPECIFIED:
		if store.Configured(s.Generation) {
			l.digest = limitDigest(identity)
		}
	case transomv1.RateLimit_MEMORY:
	case transomv1.RateLimit_REDIS:
		if !store.Configured(s.Generation) {
			refuse("store", "is REDIS, but the configuration names none; expected stores.redis.url, or store MEMORY")
			return
		}
		l.digest = limitDigest(identity)
	default:
		refuse("store", "is %d; expected MEMORY or REDIS", rule.GetStore())
	}
	if _, known := transomv1.RateLimit_OnUnavailable_name[int32(rule.GetOnUnavailable())]; !known {
		refuse("on_unavailable", "is %d; expected ALLOW, DENY or LOCAL", rule.GetOnUnavailable())
	}
}

// limitIdentity says what a limit is about: its buckets survive a reload that
// leaves it as it is, and begin anew where its figures change.
func limitIdentity(rpc string, rule *transomv1.RateLimit, l *limit) string {
	scope := "rpc " + rpc
	if rule.GetName() != "" {
		scope = "name " + rule.GetName()
	}
	return fmt.Sprintf("%q %d/%d/%d %d %q %q", scope, l.requests, l.per, l.burst, l.key, rule.GetHeader(), rule.GetCel())
}
