package policy

import (
	"net/http"
	"strconv"
	"time"

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
	if u.Stored && u.Age >= time.Second {
		h["Age"] = []string{seconds(u.Age)}
	}
	if h["Cache-Control"] != nil {
		return
	}
	value := "private"
	switch {
	case u.Stored && u.Left > 0:
		if u.Public && !own {
			value = "public"
		}
		var text [64]byte
		b := append(append(text[:0], value...), ", max-age="...)
		value = string(strconv.AppendInt(b, int64((u.Left+u.Age)/time.Second), 10)) // Age is taken off it
	case !own:
		return // nothing is known of it
	}
	h["Cache-Control"] = []string{value}
}

// seconds are those of a time that are over.
func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }
