package sharing

import (
	"net/http"
	"time"

	"github.com/transom-gateway/transom/internal/cachecontrol"
	"github.com/transom-gateway/transom/internal/cachestatus"
	"github.com/transom-gateway/transom/policy"
)

// What a cache did for a call, for logs and metrics.
const (
	Hit         = "hit"
	Miss        = "miss"
	Collapsed   = "collapsed" // a miss that another one's call answered
	Stale       = "stale"
	Revalidated = "revalidated"
	Bypass      = "bypass"
)

// Answer is what is said of an answer that is kept.
type Answer struct {
	Public    bool // all callers share it
	Age, Left time.Duration
	Fields    *cachecontrol.Fields
	// Vary is for the header of that name: what it varies by, of which its own header may say nothing.
	Vary []string
}

// Why is why a call went on to the backend, "" where it did not yet, and a detail of it.
type Why struct {
	Forward cachestatus.Forward
	Detail  string
}

var (
	// PassedBy is why calls go on that the cache has nothing to do with.
	PassedBy = Why{Forward: cachestatus.Bypass}
	// NotKept is why calls go on whose answers were found not to be kept (Traffic 125).
	NotKept = Why{Forward: cachestatus.Bypass, Detail: cachestatus.HitForMiss}
)

// Use is what a cache did for a call: result, with the answer that it gave, nil for one
// that is not kept.
func Use(result string, a *Answer, why Why) policy.CacheUse {
	u := policy.CacheUse{Result: result, Forward: string(why.Forward), Detail: why.Detail}
	if a != nil {
		u.Stored, u.Public, u.Age, u.Left = true, a.Public, a.Age, a.Left
		u.Vary = a.Vary
		u.AgeField, u.Control = a.Fields.Of(a.Age, a.Left, a.Public)
	}
	switch {
	case result == Stale && why.Forward == "":
		u.Detail = cachestatus.WhileRevalidate
	case result == Stale:
		u.Forward, u.Detail = string(cachestatus.Stale), cachestatus.IfError
	case result == Revalidated:
		u.Forward, u.ForwardStatus = string(cachestatus.Stale), http.StatusNotModified
	}
	return u
}
