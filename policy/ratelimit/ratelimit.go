// Package ratelimit is the field rate_limit: tokens per time and burst, for each caller,
// counted in this process or in Redis.
package ratelimit

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/auth"
	"github.com/transom-gateway/transom/policy/expr"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// limit is one entry of Policy.rate_limit, compiled.
type limit struct {
	rate
	// name and text describe it to clients: "client_ip", "100 per minute".
	name, text      string
	quoted          string // the name as headers have it
	requests, burst uint32
	per             time.Duration

	key    transomv1.RateLimit_Key
	header string           // canonical, for HEADER
	value  *expr.Expression // for CEL
	// issuers tells that callers may have tokens of several, who may call two by one name.
	issuers bool
	by      string // the key, for people

	number      uint32 // in buckets
	digest      string // in sharedBuckets; empty where the limit is this process's own
	unavailable transomv1.RateLimit_OnUnavailable
	perMessage  bool
}

// shared reports whether the buckets are in Redis.
func (l *limit) shared() bool { return l.digest != "" }

// caller finds the bucket of a call. message is nil where it is not there yet.
func (l *limit) caller(ctx context.Context, r *policy.Request, message []byte) (caller, error) {
	switch l.key {
	case transomv1.RateLimit_PRINCIPAL:
		if r.Identity != nil {
			return l.callerOfIdentity(r.Identity), nil
		}
	case transomv1.RateLimit_HEADER:
		if values := r.HTTP.Header[l.header]; len(values) > 0 {
			return callerOfText(strings.Join(values, ",")), nil
		}
	case transomv1.RateLimit_ROUTE:
		return caller{}, nil
	case transomv1.RateLimit_CEL:
		value, err := l.value.Evaluate(ctx, r, message)
		if err != nil {
			return caller{}, err
		}
		return callerOfText(keyText(value.Value())), nil
	}
	return callerOfAddress(r.ClientIP), nil
}

// callerOfIdentity tells principals of several issuers apart.
func (l *limit) callerOfIdentity(id *policy.Identity) caller {
	c := callerOfText(id.Principal)
	if issuer := id.Issuer(); l.issuers && issuer != "" {
		i := callerOfText(issuer)
		c.hi, c.lo = c.hi^i.lo, c.lo^i.hi // crossed, as a principal may be named like an issuer
	}
	return c
}

// keyText writes what a key's expression gave: a claim may be a number, and one
// number is one caller, however a token writes it.
func keyText(value any) string {
	switch value.(type) {
	case string, bool, int64, uint64, float64:
		return auth.ClaimText(value)
	}
	return fmt.Sprint(value)
}

// limiter asks the limits of one moment of a call: its admission, its first
// message or each of its messages. All limits must admit. They are asked in
// order, those of this process first: where one refuses, the ones before are
// refunded, so that a refused call costs nothing, and those in Redis are not
// asked at all. Redis in turn takes from all its buckets or from none.
//
// A call that a limit before auth let in is charged for, whatever comes after:
// that is what limits guessing.
type limiter struct {
	rpc      string
	limits   []limit
	local    int // the first so many are this process's own
	buckets  *buckets
	shared   *sharedBuckets
	observer policy.Observer
	policy   []string // the RateLimit-Policy header; shared by all answers
}

// maxOnStack is how many limits of a method cost no allocation.
const maxOnStack = 4

// take asks all limits. The error is a gRPC status error. Where announce is
// set, the answer's header still can be changed, and is told how things stand.
func (l *limiter) take(ctx context.Context, r *policy.Request, message []byte, announce bool) error {
	var callerSpace [maxOnStack]caller
	var verdictSpace [maxOnStack]verdict
	callers, verdicts := callerSpace[:0], verdictSpace[:]
	if len(l.limits) > maxOnStack {
		verdicts = make([]verdict, len(l.limits))
	}
	verdicts = verdicts[:len(l.limits)]
	for i := range l.limits {
		c, err := l.limits[i].caller(ctx, r, message)
		if err != nil {
			return err
		}
		callers = append(callers, c)
	}
	ok := l.takeLocal(callers, verdicts)
	var err error
	if ok && l.local < len(l.limits) {
		if ok, err = l.takeShared(ctx, callers, verdicts); err != nil || !ok {
			l.refund(callers, verdicts, 0, l.local)
		}
	}
	if announce {
		l.announce(r.ResponseHeader, verdicts)
	}
	switch {
	case err != nil:
		if announce {
			policy.RetryAfter(r.ResponseHeader, time.Second)
		}
		return err
	case !ok:
		return l.refuse(r, verdicts, announce)
	}
	return nil
}

// takeLocal asks the limits of this process.
func (l *limiter) takeLocal(callers []caller, verdicts []verdict) bool {
	for i := range l.local {
		if !l.takeOne(i, callers, verdicts) {
			l.refund(callers, verdicts, 0, i)
			return false
		}
	}
	return true
}

// takeOne asks one limit in this process.
func (l *limiter) takeOne(i int, callers []caller, verdicts []verdict) bool {
	at := &l.limits[i]
	verdicts[i] = l.buckets.take(at.rate, at.number, callers[i])
	return !verdicts[i].refused
}

// refund gives back what the limits of an interval took in this process.
func (l *limiter) refund(callers []caller, verdicts []verdict, from, to int) {
	for i := from; i < to; i++ {
		if verdicts[i].known && !verdicts[i].refused {
			l.buckets.refund(l.limits[i].rate, l.limits[i].number, callers[i])
			verdicts[i].remaining++
		}
	}
}

// takeShared asks the limits in Redis; where it is away, each does what it was
// told to.
func (l *limiter) takeShared(ctx context.Context, callers []caller, verdicts []verdict) (bool, error) {
	requests := make([]bucketsRequest, 0, maxOnStack)
	for i := l.local; i < len(l.limits); i++ {
		at := &l.limits[i]
		requests = append(requests, bucketsRequest{rate: at.rate, limit: at.digest, caller: callers[i]})
	}
	answers, err := l.shared.take(ctx, requests)
	if err != nil {
		if ctx.Err() != nil {
			return false, status.FromContextError(ctx.Err()).Err()
		}
		return l.withoutStore(callers, verdicts)
	}
	copy(verdicts[l.local:], answers)
	return !anyRefused(answers), nil
}

// withoutStore decides for the limits in Redis, which is away.
func (l *limiter) withoutStore(callers []caller, verdicts []verdict) (bool, error) {
	if l.observer != nil {
		l.observer.Decision("rate_limit", l.rpc, "unavailable_store")
	}
	clear(verdicts[l.local:])
	for i := l.local; i < len(l.limits); i++ {
		if l.limits[i].unavailable == transomv1.RateLimit_DENY {
			return false, policy.Refusal(codes.Unavailable, "calls cannot be counted at the moment; try again soon",
				&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)})
		}
	}
	for i := l.local; i < len(l.limits); i++ {
		if l.limits[i].unavailable != transomv1.RateLimit_ALLOW && !l.takeOne(i, callers, verdicts) {
			l.refund(callers, verdicts, l.local, i)
			return false, nil
		}
	}
	return true, nil
}

// refuse makes the error of the limit that makes the client wait longest.
func (l *limiter) refuse(r *policy.Request, verdicts []verdict, announce bool) error {
	worst := -1
	for i, v := range verdicts {
		if v.refused && (worst < 0 || v.wait > verdicts[worst].wait) {
			worst = i
		}
	}
	at, wait := &l.limits[worst], verdicts[worst].wait
	if announce {
		policy.RetryAfter(r.ResponseHeader, wait)
	}
	return policy.Refusal(codes.ResourceExhausted,
		fmt.Sprintf("too many calls: the limit is %s; try again in %d s", at.text, policy.Seconds(wait)),
		&errdetails.RetryInfo{RetryDelay: durationpb.New(wait)},
		&errdetails.QuotaFailure{Violations: []*errdetails.QuotaFailure_Violation{{Subject: at.name, Description: at.text}}})
}

// rateLimits is the policy of limits that are asked at admission.
type rateLimits struct {
	admission *limiter // nil for none
	summary   string
}

var _ policy.Admitter = (*rateLimits)(nil)

// Name implements Part.
func (p *rateLimits) Name() string { return "rate_limit" }

// Admit implements Admitter.
func (p *rateLimits) Admit(ctx context.Context, r *policy.Request) (context.Context, policy.Done, error) {
	if p.admission != nil {
		if err := p.admission.take(ctx, r, nil, true); err != nil {
			return ctx, nil, err
		}
	}
	return ctx, nil, nil
}

// Summary is one line for explain.
func (p *rateLimits) Summary() string { return p.summary }

// messageLimits is the policy of limits of which some look at messages: those
// whose key is read from the request wait for the first one, and those of
// per_message count each one besides the admission.
type messageLimits struct {
	rateLimits
	first *limiter // nil for none
	each  *limiter // nil for none
}

var _ policy.MessageChecker = (*messageLimits)(nil)

// sawFirst is the context's key of whether the first message was counted.
type sawFirst struct{}

// Admit implements Admitter.
func (p *messageLimits) Admit(ctx context.Context, r *policy.Request) (context.Context, policy.Done, error) {
	ctx, _, err := p.rateLimits.Admit(ctx, r)
	if err == nil && p.first != nil {
		ctx = context.WithValue(ctx, sawFirst{}, new(bool))
	}
	return ctx, nil, err
}

// Message implements MessageChecker. The header of a stream's answer may be on
// its way already, so only a unary call is told more than the error.
func (p *messageLimits) Message(ctx context.Context, r *policy.Request, message []byte) error {
	if p.first != nil {
		if seen, ok := ctx.Value(sawFirst{}).(*bool); ok && !*seen {
			*seen = true
			if err := p.first.take(ctx, r, message, !r.Stream); err != nil {
				return err
			}
		}
	}
	if p.each != nil {
		return p.each.take(ctx, r, message, false)
	}
	return nil
}
