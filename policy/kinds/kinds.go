// Package kinds names all policies that this version has, in their order. Nothing else
// does: a new one is a folder of its own and a line here.
package kinds

import (
	"slices"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/auth"
	"github.com/transom-gateway/transom/policy/auth/login"
	"github.com/transom-gateway/transom/policy/auth/mtls"
	"github.com/transom-gateway/transom/policy/auth/session"
	"github.com/transom-gateway/transom/policy/auth/token"
	"github.com/transom-gateway/transom/policy/cache"
	"github.com/transom-gateway/transom/policy/cache/httpcache"
	"github.com/transom-gateway/transom/policy/circuitbreaker"
	"github.com/transom-gateway/transom/policy/concurrency"
	"github.com/transom-gateway/transom/policy/cors"
	"github.com/transom-gateway/transom/policy/fault"
	"github.com/transom-gateway/transom/policy/headers"
	"github.com/transom-gateway/transom/policy/idempotency"
	"github.com/transom-gateway/transom/policy/maintenance"
	"github.com/transom-gateway/transom/policy/mirror"
	"github.com/transom-gateway/transom/policy/overload"
	"github.com/transom-gateway/transom/policy/ratelimit"
	"github.com/transom-gateway/transom/policy/retry"
	"github.com/transom-gateway/transom/policy/split"
	"github.com/transom-gateway/transom/policy/validate"
)

// All are all kinds in the order in which they admit calls. telemetry are those that see
// the calls, if any.
//
// Telemetry comes first, for it sees refusals too, then the check of pages that open
// WebSockets. What answers browsers (cors) and what shapes headers come first, so that they hold
// for refusals too; then the cheap bounds. Limits by the client's address stand before
// auth, for guessing credentials must be limited as well; the others stand behind it,
// for they may ask who calls, and what is refused there must not use up what others
// share. The last ones stand between admitted calls and the backend, the first of them
// outermost.
func All(telemetry ...policy.Kind) []policy.Kind {
	return append(slices.Clip(telemetry),
		cors.PageOrigin(),
		cors.Kind(),
		maintenance.Kind(),
		overload.Kind(),
		headers.Limits(),
		ratelimit.Early(),
		auth.Callers(token.Mechanism(), session.Mechanism(), mtls.Mechanism()),
		auth.Authorize(),
		headers.Kind(), // its values may tell who calls
		ratelimit.Late(),
		fault.Kind(),
		concurrency.Streams(),
		validate.Kind(),
		login.Login(),
		login.Logout(),
		split.Kind(),       // which upstream it is, is asked before the wrappers: each upstream has its own
		cache.Kind(),       // a hit takes no place in the queue
		httpcache.Kind(),   // it stands at the same place on routes
		idempotency.Kind(), // a replay takes no place in the queue
		concurrency.Calls(),
		mirror.Kind(), // one copy of a call, however often that is tried
		retry.Kind(),
		circuitbreaker.Kind(), // asked before each attempt
	)
}
