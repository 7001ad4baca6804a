package keys

import (
	"context"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/transom-gateway/transom/internal/keptkey"
)

var _ keptkey.Store = (*memory)(nil)

// KeysUsage is how full the memory is.
func (m *memory) KeysUsage() keptkey.Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire()
	return keptkey.Usage{Bytes: m.used, Max: m.max, Keys: len(m.all)}
}

// ListKeys implements keptkey.Store.
func (m *memory) ListKeys(_ context.Context, f keptkey.Filter, after string, limit int) (list []keptkey.Key, next string, err error) {
	f = reading(f)
	m.mu.Lock()
	m.expire()
	for _, e := range m.all {
		if k := e.shown(); k.ID > after && f.Lists(&k) {
			list = append(list, k)
		}
	}
	m.mu.Unlock()
	slices.SortFunc(list, func(a, b keptkey.Key) int { return strings.Compare(a.ID, b.ID) })
	if len(list) > limit {
		list = list[:limit]
		next = list[limit-1].ID
	}
	return list, next, nil
}

// shown is the entry as operators see it. The memory's mu is held.
func (e *entry) shown() keptkey.Key {
	return keptkey.Key{
		ID: hex.EncodeToString(e.id[:]), Key: e.about.Key, Principal: e.about.Principal, RPC: e.about.RPC,
		State: e.record.State.shown(), Begun: e.begun, Ends: e.due,
	}
}

// shown is the state as operators see it.
func (s State) shown() string {
	switch s {
	case Running:
		return keptkey.InFlight
	case Uncertain:
		return keptkey.Unknown
	}
	return keptkey.Answered
}

// find returns the entry of an ID. m.mu is held.
func (m *memory) find(id string) (*entry, error) {
	m.expire()
	raw, err := hex.DecodeString(id)
	if err != nil || len(raw) != len(Digest{}) {
		return nil, keptkey.ErrNone
	}
	if e := m.all[Digest(raw)]; e != nil {
		return e, nil
	}
	return nil, keptkey.ErrNone
}

// LookUpKey implements keptkey.Store.
func (m *memory) LookUpKey(_ context.Context, id string) (keptkey.Key, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, err := m.find(id)
	if err != nil {
		return keptkey.Key{}, err
	}
	return e.shown(), nil
}

// ReleaseKey implements keptkey.Store.
func (m *memory) ReleaseKey(_ context.Context, id string, force bool) (keptkey.Key, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, err := m.find(id)
	if err != nil {
		return keptkey.Key{}, err
	}
	k := e.shown()
	if k.State != keptkey.Unknown && !force {
		return k, keptkey.ErrHeld
	}
	m.drop(e)
	if e.record.State == Running {
		close(e.ended) // who waits takes the key
	} else {
		m.due.remove(e)
	}
	return k, nil
}
