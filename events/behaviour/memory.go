package behaviour

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"github.com/transom-gateway/transom/events/client"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// Bounds of what is remembered of events (Events 198).
const (
	// Window is how long an event is remembered.
	Window  = 10 * time.Minute
	maxSeen = 1 << 20
)

// id is a hash of what tells an event.
type id [16]byte

// Memory is what outlives a Collector: which events were there, and the salt of addresses. It is in
// memory alone. It is safe for concurrent use.
type Memory struct {
	seeds [2]maphash.Seed
	most  int // ids of one generation

	mu        sync.Mutex
	first     time.Time    // when the first event came
	begun     time.Time    // of the newer generation
	newer     map[id]int64 // when each came, in nanoseconds since first
	older     map[id]int64
	sharing   time.Time // since when shared counts
	shared    int       // the ids that Shared was told
	salt      [32]byte
	saltedFor int64 // a day since 1970
	salted    bool
}

// NewMemory makes an empty Memory.
func NewMemory() *Memory {
	return &Memory{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, most: maxSeen / 2, newer: map[id]int64{}}
}

// Close implements io.Closer: it forgets all.
func (m *Memory) Close() error { return nil }

func (m *Memory) idOf(e *transomv1.UserEvent) (key id) {
	for i := range m.seeds {
		var h maphash.Hash
		h.SetSeed(m.seeds[i])
		_, _ = h.WriteString(e.GetAnonymousId()) // a hash takes all
		_ = h.WriteByte(0)
		_, _ = h.WriteString(e.GetMessageId())
		sum := h.Sum64()
		for k := range 8 {
			key[8*i+k] = byte(sum >> (8 * k))
		}
	}
	return key
}

// seen notes an event, and reports whether it was there already within ten minutes. Events without
// an id are all new.
func (m *Memory) seen(e *transomv1.UserEvent, now time.Time) (key id, again bool) {
	if e.GetMessageId() == "" {
		return key, false
	}
	key = m.idOf(e)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.first.IsZero() {
		m.first = now
	}
	since := int64(now.Sub(m.first)) // which no step of the machine's clock changes
	if now.Sub(m.begun) >= Window || len(m.newer) >= m.most {
		m.older, m.newer, m.begun = m.newer, map[id]int64{}, now
	}
	at, ok := m.newer[key]
	if !ok {
		at, ok = m.older[key]
	}
	if ok && since-at < int64(Window) {
		return key, true
	}
	m.newer[key] = since
	return key, false
}

// forget has an event be a new one, should it come again.
func (m *Memory) forget(key id) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.newer, key)
	delete(m.older, key)
}

// addressOf is an address as events tell it (Events 195).
func (c *Collector) addressOf(a netip.Addr, now time.Time) string {
	if !a.IsValid() {
		return ""
	}
	a = a.Unmap().WithZone("")
	switch c.Config.GetAddress() {
	case transomv1.Behaviour_NONE:
		return ""
	case transomv1.Behaviour_FULL:
		return a.String()
	case transomv1.Behaviour_HASH:
		return c.Memory.hash(a, now)
	}
	return client.Truncate(a)
}

// hash tells addresses of one day apart without telling them.
func (m *Memory) hash(a netip.Addr, now time.Time) string {
	day := now.UTC().Unix() / (24 * 60 * 60)
	m.mu.Lock()
	if !m.salted || m.saltedFor != day {
		_, _ = rand.Read(m.salt[:]) // it does not fail
		m.saltedFor, m.salted = day, true
	}
	salt := m.salt
	m.mu.Unlock()
	h := hmac.New(sha256.New, salt[:])
	_, _ = h.Write(a.AsSlice()) // a hash takes all
	return hex.EncodeToString(h.Sum(nil)[:16])
}
