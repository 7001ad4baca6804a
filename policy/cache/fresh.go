package cache

import (
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
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
	sharing.Life
	method    *method
	principal string

	message mem.BufferSlice // of memory that nobody else has
	forms   proxy.Forms     // of the message, once the entry is put
	fields  cachecontrol.Fields
	header  metadata.MD
	more    *more

	public bool
	marker bool // it is no answer: they vary
	shared bool // it is in Redis, too, which is asked again after LocalLife
	pass   bool // it is no answer: they are not kept
}

// more is what few answers have. It is not changed.
type more struct {
	trailer metadata.MD
	err     error    // NOT_FOUND
	vary    []string // headers that it varies by
	told    []string // names of these in the header Vary, and of what clients may say the same by
}

// noMore is that of the others.
var noMore = new(more)

var (
	_ memory.Value = (*entry)(nil)
	_ proxy.Room   = (*entry)(nil)
)

// Take implements proxy.Room: what is made of an answer counts with it.
func (e *entry) Take(bytes int) bool {
	return e.method.store.memory.Grow(&e.Entry, int64(bytes), memory.MaxEntry)
}

// Matches implements memory.Value.
func (e *entry) Matches(p memory.Purge) bool {
	return (p.RPC == "" || e.method.rpc == p.RPC) && (p.Principal == "" || e.principal == p.Principal)
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
	for _, line := range said["cache-control"] {
		control.Add(line)
	}
	if control.Says(cachecontrol.NoStore|cachecontrol.NoCache) || len(reply.Header["set-cookie"]) > 0 || len(reply.Trailer["set-cookie"]) > 0 ||
		!p.Principal && control.Says(cachecontrol.Private) || !p.MayShare(&control, c) {
		return nil
	}
	vary, none := cachecontrol.Vary(nil, said["vary"])
	if none {
		return nil
	}
	times := sharing.Said{Control: &control, Date: said["date"], Age: said["age"], Expires: said["expires"], Sent: sent, Came: now}
	if own, ok := times.Lifetime(); ok {
		ttl = own
	}
	life := times.Life(ttl, p.whileRevalidate, p.ifError)
	if life.Over(now) {
		return nil
	}
	return &entry{
		Life: life, method: p.method, principal: c.Principal, public: !p.Principal, shared: p.inRedis,
		header: sharing.WithoutIDs(reply.Header), message: sharing.Message(reply.Message.Bytes()),
		more: moreOf(more{trailer: sharing.WithoutIDs(reply.Trailer), err: err, vary: p.varies(vary)}),
	}
}

// moreOf is what an answer has beside told, with that, which is by vary.
func moreOf(m more) *more {
	switch {
	case len(m.vary) > 0:
		m.told = sharing.WithMetadata(m.vary)
	case len(m.trailer) == 0 && m.err == nil:
		return noMore
	}
	return &m
}

// looksAgain reports whether the entry is not to be given before Redis was asked.
func (e *entry) looksAgain(now time.Time) bool {
	return e.shared && !now.Before(e.Came.Add(tier.LocalLife))
}

// varies leaves out what the policy has in every key.
func (p *part) varies(names []string) []string {
	return slices.DeleteFunc(sharing.Canonical(names), func(n string) bool {
		return slices.ContainsFunc(p.Vary, func(known string) bool { return strings.EqualFold(n, known) })
	})
}
