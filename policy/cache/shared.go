package cache

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/policy/cache/internal/memory"
	"github.com/transom-gateway/transom/policy/cache/internal/peers"
	"github.com/transom-gateway/transom/policy/cache/internal/sharing"
	"github.com/transom-gateway/transom/policy/cache/internal/tier"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/transport"
)

// DropWhere implements peers.Answers.
func (s *Store) DropWhere(which func(rpc, principal string) bool) {
	s.purge(func(kept *memory.Entry) bool {
		e, ok := kept.Value.(*entry)
		return ok && which(e.method.rpc, e.principal)
	}, func(f *flight) bool { return which(f.part.method.rpc, f.caller.Principal) })
}

// DropTagged implements peers.Answers.
func (s *Store) DropTagged() {
	s.purge(func(kept *memory.Entry) bool {
		_, ok := kept.Value.(*entry)
		return ok && len(kept.Tags) > 0
	}, func(f *flight) bool { return len(f.part.tags) > 0 })
}

// purgeAll drops answers here and elsewhere, as peers.Purge.
func purgeAll(s *Store, t *tier.Tier, p Purge) (n int, told bool) {
	return peers.Purge(t, p, func() int { return s.Purge(p) })
}

// tierKey is the key of an answer for all gateways: the method's digest stands for its
// number in this one.
func (m *method) tierKey(key string) tier.Key {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(m.rpc))) //nolint:gosec // the length of a name
	b = append(append(b, m.rpc...), m.digest[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(m.upstream))) //nolint:gosec // the length of a name
	return sha256.Sum256(append(append(b, m.upstream...), key[min(8, len(key)):]...))
}

// about is all that the flight's answer may be dropped by, as far as it is known before.
func (f *flight) about() []tier.Digest {
	all := []tier.Digest{tier.All, tier.RPC(f.part.rpc)}
	if p := f.caller.Principal; p != "" {
		all = append(all, tier.Principal(p))
	}
	for _, d := range tier.Digests(f.tags) {
		if !slices.Contains(all, d) {
			all = append(all, d)
		}
	}
	return all
}

// find looks for the answer in Redis. It reports whether those who wait may look for it in
// the memory again.
func (f *flight) find() bool {
	p, about := f.part, f.about()
	stamps, r, err := p.shared.Find(f.ctx, p.method.tierKey(f.key), about, p.answers != nil)
	if err != nil {
		p.count("unavailable_store")
	}
	f.stamps = stamps
	now := p.now()
	if stamps == nil || f.unread || f.found {
		return false
	}
	s := p.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if r == nil {
		if old := s.peek(f.key); old != nil && old.looksAgain(now) {
			s.memory.Remove(&old.Entry) // it was dropped elsewhere
		}
		return false
	}
	e := p.entryOf(r, f, about, now)
	if f.outdated || slices.ContainsFunc(e.Tags, func(tag string) bool { return slices.Contains(f.written, tag) }) || !s.put(e) {
		return false
	}
	if !now.Before(e.FreshUntil()) && (f.refreshes || !now.Before(e.RevalidateUntil())) {
		f.hasStale = true
		return false
	}
	f.leave()
	delete(s.all, f)
	for _, w := range f.waiters {
		w.out <- outcome{again: true}
	}
	f.waiters = nil
	return true
}

// entryOf is the entry of a record.
func (p *part) entryOf(r *tier.Record, f *flight, about []tier.Digest, now time.Time) *entry {
	e := &entry{
		Entry: memory.Entry{Key: f.key}, method: p.method, principal: f.caller.Principal, public: !p.Principal, marker: r.Marker,
		header: r.Header, Life: sharing.Life{Came: now, Age: r.Age, Fresh: r.Fresh, WhileRevalidate: r.WhileRevalidate, IfError: r.IfError}, message: sharing.Message(r.Message),
		shared: true,
	}
	m := more{trailer: r.Trailer, vary: r.Vary}
	if r.NotFound {
		m.err = transport.Told(status.New(codes.NotFound, r.Text))
	}
	e.more = moreOf(m)
	e.Tags = slices.Clone(f.tags)
	for _, d := range r.Tags(about...) {
		e.Tags = append(e.Tags, string(d[:]))
	}
	return e
}

// share has an entry written to Redis. The caller holds Store.mu.
func (f *flight) share(e *entry) {
	if f.stamps == nil || f.unread {
		return
	}
	now, message := f.part.now(), proxy.FrameOf(e.message)
	r := &tier.Record{
		Marker: e.marker, Header: e.header, Trailer: e.more.trailer, Message: message.Bytes(), Vary: e.more.vary,
		Age: e.AgeAt(now), Fresh: e.FreshUntil().Sub(now), WhileRevalidate: e.RevalidateUntil().Sub(now), IfError: e.ErrorUntil().Sub(now),
	}
	if e.marker {
		r.Age, r.Fresh = 0, tier.MaxLife
		r.WhileRevalidate, r.IfError = r.Fresh, r.Fresh
	}
	if err := e.more.err; err != nil {
		s := status.Convert(err)
		if len(s.Proto().GetDetails()) > 0 {
			return // what they hold nobody knows
		}
		r.NotFound, r.Text, r.Message = true, s.Message(), nil
	}
	i := &tier.Item{Key: f.part.method.tierKey(e.Key), Record: r, Stamps: f.stamps, More: tier.Digests(e.Tags), Lost: func() { f.part.count("unavailable_store") }}
	if !f.part.shared.Keep(i) {
		f.part.count("queue_full")
	}
}

var errNoRedis = errors.New("found REDIS, but the configuration has no stores.redis: set its url, or store MEMORY")
