package httpcache

import (
	"net/http"
	"strconv"
	"time"

	"github.com/transom-gateway/transom/internal/cachecontrol"
	"github.com/transom-gateway/transom/policy/cache/internal/memory"
	"github.com/transom-gateway/transom/policy/cache/internal/rfc9111"
	"github.com/transom-gateway/transom/policy/cache/internal/sharing"
)

// answer is one that is kept, or what is known of answers that are not. It is immutable.
type answer struct {
	memory.Entry // its Value is the answer itself
	*rfc9111.Kept
	of        *group
	principal string
	public    bool

	body   []byte
	length []string // Content-Length; nil for none
	fields cachecontrol.Fields

	marker bool // it is no answer: they vary by Vary
	pass   bool // it is no answer: they are not kept
}

var _ memory.Value = (*answer)(nil)

// Matches implements memory.Value.
func (a *answer) Matches(p memory.Purge) bool {
	return (p.RPC == "" || a.of.rpc == p.RPC) && (p.Principal == "" || a.principal == p.Principal)
}

// withBody completes an answer that has its key.
func (a *answer) withBody(body []byte) {
	if a.body = body; a.Status != http.StatusNoContent {
		a.length = []string{strconv.Itoa(len(body))}
	}
	a.Size, a.Value = a.size(), a
}

// note is what is known of answers, for a time.
func note(from time.Time, lasts time.Duration) *answer {
	return &answer{Kept: &rfc9111.Kept{Life: sharing.Life{Came: from, Fresh: lasts}}}
}

// entryBytes is what an answer takes beside what it has of variable length: itself and its head, the header's
// table, its place in the map and among the ghosts, and what the allocator rounds up. All but the last two are
// pointers, by which a large heap grows further between two collections: they count twice.
const entryBytes = 1200

// size is the memory of an answer, not too small.
func (a *answer) size() int64 {
	return int64(entryBytes + 2*len(a.Key) + len(a.body) + len(a.principal) + a.Bytes() + memory.TagsSize(a.Tags))
}
