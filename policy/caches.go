package policy

import (
	"net/http"

	"github.com/transom-gateway/transom/internal/cachecontrol"
	"github.com/transom-gateway/transom/internal/cachestatus"
	"github.com/transom-gateway/transom/internal/field"
)

// TellStatus adds Cache-Status, which says what the policy cache did (Traffic 123). gRPC has
// nothing of it.
func (r *Request) TellStatus(h http.Header) {
	u := &r.Cache
	kept := u.Result == "hit" || u.Result == "stale"
	if r.Protocol != "rest" && r.Protocol != "connect" && r.Protocol != "http" || !kept && u.Forward == "" {
		return
	}
	cachestatus.Add(h, cachestatus.Status{
		Forward: cachestatus.Forward(u.Forward), ForwardStatus: u.ForwardStatus, Detail: u.Detail,
		HasTTL: kept, TTL: u.Left, Stored: u.Stored && !kept, Collapsed: u.Result == "collapsed",
	})
}

// TellCaches tells caches on the way to the client for whom the answer is and how old it is,
// where the backend has not (Traffic 123). own reports whether each principal has answers of
// their own. Calls of gRPC are POSTs, and get nothing of it.
func (r *Request) TellCaches(h http.Header, own bool) {
	if r.HTTP.Method != http.MethodGet && r.HTTP.Method != http.MethodHead {
		return
	}
	if own {
		field.AddVary(h, "Authorization")
		field.AddVary(h, "Cookie")
	}
	u := &r.Cache
	for _, name := range u.Vary {
		field.AddVary(h, name)
	}
	control := cachecontrol.Unknown(own)
	if u.Stored {
		var age []string
		if age, control = u.AgeField, u.Control; age == nil && control == nil {
			age, control = (*cachecontrol.Fields)(nil).Of(u.Age, u.Left, u.Public && !own)
		}
		if age != nil {
			h["Age"] = age
		}
	}
	if control != nil && h["Cache-Control"] == nil {
		h["Cache-Control"] = control
	}
}
