package gateway

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/transom-gateway/transom/internal/keptkey"
	"github.com/transom-gateway/transom/policy"
)

// keyKeeper is a part of a method or route that keeps answers to keys of clients.
type keyKeeper interface {
	KeyStore() (name string, s keptkey.Store)
}

// KeyFilter says which keys are meant.
type KeyFilter = keptkey.Filter

// Errors of LookUpKey and ReleaseKey.
var (
	ErrNoKey   = keptkey.ErrNone
	ErrKeyHeld = keptkey.ErrHeld
)

// keyStore is a place where keys are kept.
type keyStore struct {
	name string
	keptkey.Store
}

// KeptKey is a key, and the name of the place where it is kept.
type KeptKey struct {
	keptkey.Key
	Store string
}

// addKeys notes where the keys of a method or route are.
func (b *builder) addKeys(g *guard) {
	known := false
	for _, set := range g.sets() {
		part, ok := policy.Find[keyKeeper](set)
		if !ok {
			continue
		}
		known = true
		name, s := part.KeyStore()
		if !slices.ContainsFunc(b.snapshot.keyStores, func(known keyStore) bool { return known.name == name }) {
			b.snapshot.keyStores = append(b.snapshot.keyStores, keyStore{name, s})
		}
	}
	if known {
		b.snapshot.keyNames = append(b.snapshot.keyNames, g.name)
	}
}

// unkeyed is an ErrNoKey that says what has no keys.
type unkeyed string

// Error implements error.
func (u unkeyed) Error() string { return string(u) }

// Is reports whether the error is another one, for errors.Is.
func (unkeyed) Is(other error) bool { return other == ErrNoKey }

// keys calls a function with the places where keys are kept. rpc is the method or route whose keys
// they are to be; "" for all.
func (g *Gateway) keys(rpc string, use func([]keyStore) error) error {
	s := g.acquire()
	if s == nil {
		return errors.New("no configuration has been loaded yet")
	}
	defer s.release()
	if len(s.keyStores) == 0 {
		return unkeyed("neither a method nor a route has the policy idempotency_key")
	}
	if rpc != "" && !slices.Contains(s.keyNames, rpc) {
		return unkeyed(unnamed(s.keyNames, rpc, "idempotency_key"))
	}
	return use(s.keyStores)
}

// ListKeys lists the keys in flight and those whose outcome is unknown, and those that have the
// filter's Key in any state, about limit at a time. after is the next of the page before, "" for the first; next is "" behind the last one.
// The error is an ErrNoKey where nothing of the filter's RPC has keys.
func (g *Gateway) ListKeys(ctx context.Context, f KeyFilter, after string, limit int) (list []KeptKey, next string, err error) {
	err = g.keys(f.RPC, func(stores []keyStore) error {
		name, within, _ := strings.Cut(after, ":")
		at := max(0, slices.IndexFunc(stores, func(s keyStore) bool { return s.name == name }))
		page, more, err := stores[at].ListKeys(ctx, f, within, limit)
		if err != nil {
			return err
		}
		for _, k := range page {
			list = append(list, KeptKey{k, stores[at].name})
		}
		switch {
		case more != "":
			next = stores[at].name + ":" + more
		case at+1 < len(stores):
			next = stores[at+1].name + ":"
		}
		return nil
	})
	return list, next, err
}

// LookUpKey returns the key of an ID.
func (g *Gateway) LookUpKey(ctx context.Context, id string) (KeptKey, error) {
	return g.findKey(func(s keyStore) (keptkey.Key, error) { return s.LookUpKey(ctx, id) })
}

// ReleaseKey forgets a key, so that the next call under it is made.
func (g *Gateway) ReleaseKey(ctx context.Context, id string, force bool) (KeptKey, error) {
	return g.findKey(func(s keyStore) (keptkey.Key, error) { return s.ReleaseKey(ctx, id, force) })
}

// observeKeys tells the metrics how full the memory of keys is; ok is false where the configuration
// in service keeps none in memory.
func (g *Gateway) observeKeys() (u keptkey.Usage, ok bool) {
	_ = g.keys("", func(stores []keyStore) error { // without keys there is nothing to tell
		for _, s := range stores {
			if m, isMemory := s.Store.(interface{ KeysUsage() keptkey.Usage }); isMemory {
				u, ok = m.KeysUsage(), true
			}
		}
		return nil
	})
	return u, ok
}

// findKey asks one place after the other for a key.
func (g *Gateway) findKey(ask func(keyStore) (keptkey.Key, error)) (found KeptKey, err error) {
	err = g.keys("", func(stores []keyStore) error {
		for _, s := range stores {
			if found.Key, err = ask(s); !errors.Is(err, keptkey.ErrNone) {
				found.Store = s.name
				return err
			}
		}
		return keptkey.ErrNone
	})
	return found, err
}
