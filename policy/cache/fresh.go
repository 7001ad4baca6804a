package cache

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/cachecontrol"
	"github.com/transom-gateway/transom/policy/cache/internal/memory"
	"github.com/transom-gateway/transom/policy/cache/internal/sharing"
	"github.com/transom-gateway/transom/policy/cache/internal/tier"
	"github.com/transom-gateway/transom/proxy"
)

// entry is an answer that is kept, or what is known of answers that are not. It is
// immutable, but for what is made of the answer when it is given.
type entry struct {
	memory.Entry // its Value is the entry itself
	method       *method
	principal    string
	public       bool

	frame           proxy.Frame  // of memory that nobody else has
	forms           *proxy.Forms // of the frame; nil while the entry is not kept
	fields          cachecontrol.Fields
	header, trailer metadata.MD
	err             error // NOT_FOUND

	// stored is when the answer came, and age how old it was then.
	stored time.Time
	age    time.Duration
	// fresh is its end, and until whileRevalidate and ifError it is given when it is stale.
	fresh, whileRevalidate, ifError time.Time

	vary   []string // headers that it varies by
	told   []string // names of these in the header Vary, and of what clients may say the same by
	marker bool     // it is no answer: they vary by vary
	shared bool     // it is in Redis, too, which is asked again after LocalLife
	pass   bool     // it is no answer: they are not kept
}

var _ memory.Value = (*entry)(nil)

// Matches implements memory.Value.
func (e *entry) Matches(p memory.Purge) bool {
	return (p.RPC == "" || e.method.rpc == p.RPC) && (p.Principal == "" || e.principal == p.Principal)
}

// expired reports whether the entry is of no use any more.
func (e *entry) expired(now time.Time) bool {
	return !now.Before(e.fresh) && !now.Before(e.whileRevalidate) && !now.Before(e.ifError)
}

// fields is what an answer says of itself in its metadata.
func fields(md metadata.MD, control *cachecontrol.Control) {
	for _, line := range md["cache-control"] {
		control.Add(line)
	}
}

// judge makes an entry of an answer, nil for one that must not be kept (Traffic 117). It
// copies what it keeps.
func (p *part) judge(reply *proxy.Reply, err error, c sharing.Caller, sent, now time.Time) *entry {
	ttl := p.ttl
	if err != nil {
		if ttl = p.notFoundTTL; status.Code(err) != codes.NotFound || ttl == 0 {
			return nil
		}
	}
	said := reply.Header
	if len(said) == 0 && err != nil {
		said = reply.Trailer // all of an error may come in one block, which is the trailer
	}
	var control cachecontrol.Control
	fields(said, &control)
	if control.Says(cachecontrol.NoStore|cachecontrol.NoCache) || len(reply.Header["set-cookie"]) > 0 || len(reply.Trailer["set-cookie"]) > 0 ||
		!p.Principal && control.Says(cachecontrol.Private) || !p.MayShare(&control, c) {
		return nil
	}
	vary, none := cachecontrol.Vary(nil, said["vary"])
	if none {
		return nil
	}
	date := cachecontrol.Date(said["date"])
	lifetime, known := cachecontrol.Lifetime(&control, said["expires"], date, now)
	if !known {
		lifetime = ttl
	}
	age := cachecontrol.InitialAge(cachecontrol.Age(said["age"]), date, sent, now)
	if len(said["date"]) == 0 && len(said["age"]) == 0 {
		age = 0 // the backend's own, made while we asked
	}
	e := &entry{
		method: p.method, principal: c.Principal, public: !p.Principal, err: err, stored: now, age: age,
		header: sharing.WithoutIDs(reply.Header), trailer: sharing.WithoutIDs(reply.Trailer), fresh: now.Add(lifetime - age),
	}
	e.whileRevalidate, e.ifError = control.StaleUntil(e.fresh, p.whileRevalidate, p.ifError)
	if e.expired(now) {
		return nil
	}
	e.frame = proxy.WrapFrame(bytes.Clone(reply.Message.Bytes()))
	e.varyBy(p.varies(vary))
	e.shared = p.inRedis
	return e
}

// varyBy notes what the entry varies by.
func (e *entry) varyBy(names []string) { e.vary, e.told = names, sharing.WithMetadata(names) }

// looksAgain reports whether the entry is not to be given before Redis was asked.
func (e *entry) looksAgain(now time.Time) bool {
	return e.shared && !now.Before(e.stored.Add(tier.LocalLife))
}

// varies leaves out what the policy has in every key.
func (p *part) varies(names []string) []string {
	return slices.DeleteFunc(sharing.Canonical(names), func(n string) bool {
		return slices.ContainsFunc(p.Vary, func(known string) bool { return strings.EqualFold(n, known) })
	})
}
