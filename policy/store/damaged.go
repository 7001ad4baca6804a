package store

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// maxDamages bounds of how many things the log tells within storeReminder that they are damaged.
const maxDamages = 100

// damages say in the log what somebody else has changed in a Redis: of each thing once in storeReminder.
type damages struct {
	log *slog.Logger
	now func() time.Time

	mu   sync.Mutex
	told map[string]time.Time
}

// Damaged says in the log that something else stands in Redis than was written there. The text says of what, and what becomes
// of it; args are as those of slog, and tell one thing from another. However many are damaged and asked for, the log stays
// short.
func (s *Redis) Damaged(text string, args ...any) {
	d := s.damages
	if d == nil || !d.isNew(text+fmt.Sprint(args...)) {
		return
	}
	d.log.Warn("Redis has something else than was written there: "+text, args...)
}

// isNew reports whether the log has not told of a thing for a while.
func (d *damages) isNew(thing string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	if at, ok := d.told[thing]; ok && now.Sub(at) < storeReminder {
		return false
	}
	if len(d.told) >= maxDamages {
		for old, at := range d.told {
			if now.Sub(at) >= storeReminder {
				delete(d.told, old)
			}
		}
		if len(d.told) >= maxDamages {
			return false
		}
	}
	if d.told == nil {
		d.told = map[string]time.Time{}
	}
	d.told[thing] = now
	return true
}

// IsDamage reports whether an error is that of a key which somebody else has written: Redis answers, and can be used.
func IsDamage(err error) bool {
	// Scripts of Redis 6 have their own words before it.
	return redis.HasErrorPrefix(err, "WRONGTYPE") || err != nil && strings.Contains(err.Error(), "WRONGTYPE Operation against a key")
}
