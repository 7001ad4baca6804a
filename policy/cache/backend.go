package cache

import (
	"bytes"
	"context"
	"time"

	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/cachecontrol"
	"github.com/transom-gateway/transom/internal/cachestatus"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/cache/internal/sharing"
	"github.com/transom-gateway/transom/proxy"
)

// backend is one whose answers are kept.
type backend struct {
	proxy.Backend
	part *part
}

// asked is one call on its way through the cache.
type asked struct {
	*backend
	ctx     context.Context
	r       *policy.Request
	path    string
	header  proxy.Metadata
	request proxy.Frame
	caller  sharing.Caller
	found   string               // the key of what Redis was asked for already
	wants   cachecontrol.Control // of the client, where it is obeyed
	why     sharing.Why          // it went on to the backend
}

// Call implements proxy.Backend.
func (b *backend) Call(ctx context.Context, path string, header proxy.Metadata, request proxy.Frame) (proxy.Reply, error) {
	r, p := policy.RequestOf(ctx), b.part
	if r == nil {
		return b.Backend.Call(ctx, path, header, request)
	}
	caller, ok := p.Caller(r)
	canonical, err := p.form.Append(nil, request.Bytes())
	if !ok || err != nil {
		a := asked{backend: b, ctx: ctx, r: r, path: path, header: header, request: request}
		return a.alone(sharing.PassedBy)
	}
	var scratch [256]byte
	key := p.appendKey(scratch[:0], r, header, caller, canonical)
	if !p.obeyClient {
		now := p.now()
		if e := p.store.get(key, now); e != nil && e.answers(now) {
			request.Free()
			p.tell(r, sharing.Hit, e, sharing.Why{}, now)
			return e.reply(true)
		}
	}
	a := &asked{backend: b, ctx: ctx, r: r, path: path, header: header, request: request, caller: caller}
	if p.obeyClient {
		a.wants = cachecontrol.Parse(r.HTTP.Header["Cache-Control"])
		if a.wants.Says(cachecontrol.NoStore) {
			return a.alone(sharing.PassedBy)
		}
	}
	return a.answer(bytes.Clone(key))
}

// answers reports whether the entry is the answer as it is, without a look at anything else.
func (e *entry) answers(now time.Time) bool {
	return !e.marker && !e.pass && now.Before(e.FreshUntil()) && !e.looksAgain(now)
}

// reply is the entry as an answer; again where it is not given for the first time.
func (e *entry) reply(again bool) (proxy.Reply, error) {
	frame := proxy.FrameOf(e.message)
	if again {
		frame = frame.WithForms(&e.forms)
	}
	return proxy.Reply{Message: frame, Header: e.header, Trailer: e.more.trailer}, e.more.err
}

// alone makes the call without the cache.
func (a *asked) alone(why sharing.Why) (proxy.Reply, error) {
	a.why = why
	a.tell(sharing.Bypass, nil, time.Time{})
	return a.Backend.Call(a.ctx, a.path, a.header, a.request)
}

// answer finds an answer, or calls for one.
func (a *asked) answer(primary []byte) (proxy.Reply, error) {
	p := a.part
	for range 6 { // what an answer varies by is known only when it is there
		now := p.now()
		key := primary
		a.why = sharing.Why{Forward: cachestatus.URIMiss}
		e := p.store.get(key, now)
		if e != nil && e.marker && !e.looksAgain(now) {
			a.why.Forward = cachestatus.VaryMiss
			key = appendVariant(key, e.more.vary, a.r, a.header)
			e = p.store.get(key, now)
		}
		seen := e
		if e != nil && e.looksAgain(now) && (e.marker || !e.FreshUntil().Before(e.ErrorUntil())) {
			e = nil // it is not given before Redis was asked, nor instead of an answer
		}
		switch {
		case e == nil || e.looksAgain(now):
		case e.pass:
			return a.alone(sharing.NotKept)
		case now.Before(e.FreshUntil()) && sharing.Accepts(&a.wants, e.AgeAt(now), e.FreshUntil().Sub(now)):
			a.why = sharing.Why{}
			a.request.Free()
			return a.give(sharing.Hit, e, now)
		case !now.Before(e.FreshUntil()) && now.Before(e.RevalidateUntil()) && a.wants.Has == 0:
			p.store.refresh(a, string(primary), string(key), e)
			a.why = sharing.Why{}
			a.request.Free()
			return a.give(sharing.Stale, e, now)
		case now.Before(e.FreshUntil()):
			a.why.Forward = cachestatus.Request
		default:
			a.why.Forward = cachestatus.Stale
		}
		if a.wants.Says(cachecontrol.OnlyIfCached) {
			if p.store.look(a, string(primary), string(key)) {
				continue
			}
			a.why = sharing.Why{}
			a.request.Free()
			a.tell(sharing.Miss, nil, now)
			return proxy.Reply{}, a.r.Refuse(p, sharing.NotCached)
		}
		reply, again, err := a.fetch(string(primary), string(key), e, seen)
		if !again {
			return reply, err
		}
	}
	return a.alone(sharing.PassedBy)
}

// give answers with an entry, which stays the store's.
func (a *asked) give(result string, e *entry, now time.Time) (proxy.Reply, error) {
	a.tell(result, e, now)
	return e.reply(result == sharing.Hit || result == sharing.Stale)
}

// tell notes what the cache did.
func (a *asked) tell(result string, e *entry, now time.Time) {
	a.part.tell(a.r, result, e, a.why, now)
}

func (p *part) tell(r *policy.Request, result string, e *entry, why sharing.Why, now time.Time) {
	var kept *sharing.Answer
	if e != nil {
		kept = &sharing.Answer{Public: e.public, Age: e.AgeAt(now), Left: e.FreshUntil().Sub(now), Vary: e.more.told}
		if result == sharing.Hit || result == sharing.Stale {
			kept.Fields = &e.fields // it may be given again, as it was now
		}
	}
	r.Cache = sharing.Use(result, kept, why)
	p.count(result)
}

// fetch calls the backend, once for all who ask for the same at the time. seen is what was
// kept under the key, and old is seen where it may stand in for an answer. again reports that
// the answer of another call is not one to this, or that there is one by now.
func (a *asked) fetch(primary, key string, old, seen *entry) (_ proxy.Reply, again bool, _ error) {
	w, again := a.part.store.join(a, primary, key, old, seen)
	switch {
	case again:
		return proxy.Reply{}, true, nil
	case w == nil: // the process ends
		reply, err := a.alone(sharing.PassedBy)
		return reply, false, err
	}
	var out outcome
	select {
	case out = <-w.out:
	case <-a.ctx.Done():
		a.part.store.leave(w)
		out.err = status.FromContextError(a.ctx.Err()).Err()
	}
	now := a.part.now()
	switch {
	case out.again:
		a.found = key
		return proxy.Reply{}, true, nil
	case out.alone:
		reply, err := a.alone(sharing.NotKept)
		return reply, false, err
	case out.entry != nil && !w.led && len(out.entry.more.vary) > 0 && string(appendVariant([]byte(primary), out.entry.more.vary, a.r, a.header)) != out.entry.Key:
		return proxy.Reply{}, true, nil
	}
	a.request.Free()
	if old == nil && out.err != nil && a.part.inRedis {
		if old = a.part.store.peek(key); old != nil && (old.marker || old.pass || old.looksAgain(now)) {
			old = nil
		}
	}
	result := sharing.Miss
	if !w.led {
		result = sharing.Collapsed
	}
	switch {
	case out.entry != nil:
		reply, err := a.give(result, out.entry, now)
		a.r.Cache.Stored = out.stored
		reply.Tries = out.reply.Tries
		return reply, false, err
	case out.err != nil && sharing.MayBeStale(out.err) && old != nil && now.Before(old.ErrorUntil()) && a.part.store.holds(old):
		reply, err := a.give(sharing.Stale, old, now)
		reply.Tries = out.reply.Tries
		return reply, false, err
	}
	a.tell(result, nil, now)
	return out.reply, false, out.err
}
