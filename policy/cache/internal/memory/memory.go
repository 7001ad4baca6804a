// Package memory is the one memory that a gateway keeps answers in, those of RPCs and those
// of plain HTTP routes, within cache.max_bytes (Traffic 120).
package memory

import (
	"io"

	"github.com/transom-gateway/transom/internal/s3fifo"
	"github.com/transom-gateway/transom/policy"
)

const (
	// DefaultBytes bounds the memory of all answers where cache.max_bytes is not written.
	DefaultBytes = 64 << 20
	// MaxEntry bounds that of one, in bytes: what is larger is not kept.
	MaxEntry = 1 << 20
)

// Value is an answer, or what is known of answers that are not kept.
type Value interface {
	// Matches reports whether a purge by hand is about the answer. Tags are looked at by
	// whoever holds them: those of the entry.
	Matches(p Purge) bool
}

// Purge says what is dropped by hand: what all fields that are set say, everything where
// none is.
type Purge struct{ RPC, Tag, Principal string }

// Memory keeps the answers.
type Memory struct {
	*s3fifo.Cache[Value]

	overload interface{ Saving() bool } // nil for none
}

// Entry is an answer with what it is found and dropped by.
type Entry = s3fifo.Entry[Value]

// key is that of the Memory in the State.
type key struct{}

var _ io.Closer = (*Memory)(nil)

// Of returns the Memory of the process, with the bound that the configuration says. It
// refuses what it is asked for in the scope, and returns nil then.
func Of(s *policy.Scope) *Memory {
	most := int64(DefaultBytes)
	if n := s.Config.GetCache().GetMaxBytes(); n > 0 && n <= 1<<40 {
		most = int64(n)
	}
	m, err := policy.Lease(s.Generation, key{}, func() (*Memory, error) {
		m := New(most)
		if s.State.Overload != nil {
			m.overload = s.State.Overload
		}
		return m, nil
	})
	if err != nil {
		s.Refuse("cache", "%v", err)
		return nil
	}
	m.Resize(most)
	return m
}

// New returns an empty Memory of a size in bytes.
func New(maxBytes int64) *Memory {
	return &Memory{Cache: s3fifo.New[Value](maxBytes)}
}

// Put keeps an entry in place of the one with its key, and reports whether it does. While
// the process is short of memory nothing is added.
func (m *Memory) Put(e *Entry) bool { return !m.saving() && m.Cache.Put(e) }

// Get finds what is kept under a key, where that is of type V, and counts a use of it.
func Get[V Value](m *Memory, key []byte) (V, bool) { return valueOf[V](m.Get(key)) }

// Peek is Get without counting a use.
func Peek[V Value](m *Memory, key string) (V, bool) { return valueOf[V](m.Peek(key)) }

func valueOf[V Value](e *Entry) (v V, ok bool) {
	if e != nil {
		v, ok = e.Value.(V)
	}
	return v, ok
}

// Reserve takes n bytes for an answer that comes, and reports false where such answers, and
// those that were dropped and are read still, would have more than a quarter of the memory.
func (m *Memory) Reserve(n int64) bool {
	return !m.saving() && m.Cache.Reserve(n, max(m.Max()/4, MaxEntry))
}

func (m *Memory) saving() bool { return m.overload != nil && m.overload.Saving() }

// Close implements io.Closer: it drops everything.
func (m *Memory) Close() error {
	m.DropFunc(func(*Entry) bool { return true })
	return nil
}
