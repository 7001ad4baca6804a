package sharing

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"golang.org/x/net/http/httpguts"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/cachecontrol"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

const (
	// PassFor is for how long it is remembered that a call's answers are not kept
	// (Traffic 125).
	PassFor = 10 * time.Second
	// MaxTTL is the longest time for which an answer is kept.
	MaxTTL = 365 * 24 * time.Hour
	// RefreshTime bounds a call that nobody waits for.
	RefreshTime = 30 * time.Second
	// MaxRefreshes bounds how many there are at a time, of methods and of routes each: clients
	// do not wait for them, so that nothing else would. Beyond it, stale answers are given as
	// they are.
	MaxRefreshes = 1000
	// MaxFlight bounds calls without a timeout, whose clients may wait for ever.
	MaxFlight = 10 * time.Minute
)

// NotCached answers only-if-cached where nothing is kept (Traffic 118).
var NotCached = policy.WithHTTPStatus(policy.Refusal(codes.FailedPrecondition, "no answer is kept, and the request is only-if-cached: send it without that to have the backend asked",
	&errdetails.ErrorInfo{Reason: "NOT_CACHED", Domain: policy.ErrorDomain}), http.StatusGatewayTimeout)

// MayBeStale reports whether a stale answer may stand in for an error (Traffic 126).
func MayBeStale(err error) bool {
	code := status.Code(err)
	return code == codes.Unavailable || code == codes.DeadlineExceeded
}

// Accepts reports whether a fresh answer, of an age and with time that is left, is what a client
// wants.
func Accepts(w *cachecontrol.Control, age, left time.Duration) bool {
	return w.Has == 0 || !w.Says(cachecontrol.NoCache) &&
		(!w.Says(cachecontrol.MaxAge) || age <= w.MaxAge) && (!w.Says(cachecontrol.MinFresh) || left >= w.MinFresh)
}

// vary returns the headers that a policy has in every key. It refuses what is none.
func vary(s *policy.Scope, rule *transomv1.Cache) []string {
	for i, n := range rule.GetVary() {
		if !httpguts.ValidHeaderFieldName(n) {
			s.Refuse(fmt.Sprintf("cache.vary[%d]", i), "cache.vary[%d]: found %q, expected the name of a header", i, n)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(Canonical(rule.GetVary()))))
}

// MaxVary bounds the names of headers that the answers to one request vary by.
const MaxVary = 64

// Varying returns the names that the answers to one request vary by, sorted: those of the
// newest, and those that were known before. Where these are too many, they are forgotten: the
// answers that were kept under them are found no more.
func Varying(newest, before []string) []string {
	names := slices.Concat(newest, before)
	slices.Sort(names)
	if names = slices.Compact(names); len(names) > MaxVary {
		names = slices.Sorted(slices.Values(newest))
	}
	return names
}
