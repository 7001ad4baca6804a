package subscription

import (
	"container/heap"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/internal/aside"
)

// letters are the dead letters of one subscription by their names alone, so that one more costs no look
// at the others. The folder has the truth: other processes may change it.
type letters struct {
	folder string

	mu      sync.Mutex
	read    time.Time // when the folder had changed last, as far as this knows
	of      map[string]*sender
	senders map[string]*sender
	most    bySize
}

// sender is who sent some events, as a hash that stands in the names of the files.
type sender struct {
	hash  string
	ids   []string // in their order; some at the front may be gone
	n     int      // those that are not
	place int      // in the heap
}

// senderOf is who is to have a share of what is put aside: the caller whom the gateway knew, without one
// the source. Nothing that an anonymous client may choose with each event counts.
func senderOf(e *events.Event) string {
	who := "authid\x00" + e.Extension("authid")
	if e.Extension("authid") == "" {
		who = "source\x00" + e.Source
	}
	sum := sha256.Sum256([]byte(who))
	return hex.EncodeToString(sum[:4])
}

// fileName is the name of a dead letter's file.
func fileName(id, hash string) string {
	if hash == "" {
		return id + deadSuffix
	}
	return id + "." + hash + deadSuffix
}

// parseName reads what fileName makes.
func parseName(name string) (id, hash string, ok bool) {
	name, ok = strings.CutSuffix(name, deadSuffix)
	id, hash, _ = strings.Cut(name, ".")
	return id, hash, ok && aside.IsID(id)
}

// look reads the folder, if it has changed or again says so. l.mu is held.
func (l *letters) look(again bool) {
	changed := l.changed()
	if !again && l.of != nil && changed.Equal(l.read) {
		return
	}
	l.of, l.senders, l.most, l.read = map[string]*sender{}, map[string]*sender{}, nil, changed
	entries, err := os.ReadDir(l.folder) // by name, which begins with the time
	if err != nil {
		return // there are none, or writing one will say what is wrong
	}
	for _, entry := range entries {
		if id, hash, ok := parseName(entry.Name()); ok {
			l.add(id, hash)
		}
	}
}

func (l *letters) changed() time.Time {
	info, err := os.Stat(l.folder)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// add notes a dead letter. l.mu is held.
func (l *letters) add(id, hash string) {
	if l.of[id] != nil {
		return
	}
	s := l.senders[hash]
	if s == nil {
		s = &sender{hash: hash}
		l.senders[hash] = s
		heap.Push(&l.most, s)
	}
	s.ids = append(s.ids, id)
	s.n++
	l.of[id] = s
	heap.Fix(&l.most, s.place)
}

// remove forgets a dead letter. l.mu is held.
func (l *letters) remove(id string) {
	s := l.of[id]
	if s == nil {
		return
	}
	delete(l.of, id)
	if s.n--; s.n == 0 {
		delete(l.senders, s.hash)
		heap.Remove(&l.most, s.place)
		return
	}
	for l.of[s.ids[0]] != s {
		s.ids = s.ids[1:]
	}
	heap.Fix(&l.most, s.place)
}

// place has room made for a dead letter, and says which go for that: the oldest of who has the most.
// It reports false where there is no room and none may go.
func (l *letters) place(id, hash string, b Bound) (gone []string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.look(false)
	if b.Wait && len(l.of) >= b.Limit() {
		return nil, false
	}
	l.add(id, hash)
	for len(l.of) > b.Limit() {
		oldest := l.most[0].ids[0]
		gone = append(gone, fileName(oldest, l.most[0].hash))
		l.remove(oldest)
	}
	return gone, true
}

// wrote notes that a dead letter is in the folder, or, if that failed, that nobody knows what it has.
func (l *letters) wrote(id, hash string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.read = l.changed()
	switch {
	case err != nil:
		l.of = nil
	case l.of != nil:
		l.add(id, hash) // somebody may have looked before it was there
	}
}

// list are the IDs of all, the oldest first.
func (l *letters) list() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.look(true)
	ids := make([]string, 0, len(l.of))
	for _, s := range l.senders {
		for _, id := range s.ids {
			if l.of[id] == s {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// file is the name of the file of a dead letter; "" where there is none.
func (l *letters) file(id string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.look(false); l.of[id] == nil {
		l.look(true) // the time of a folder is not exact
	}
	if s := l.of[id]; s != nil {
		return fileName(id, s.hash)
	}
	return ""
}

// dropped notes that a dead letter was removed.
func (l *letters) dropped(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of != nil {
		l.remove(id)
	}
	l.read = l.changed()
}

// bySize is a heap of senders, who has the most at its top; of several the one with the oldest.
type bySize []*sender

// Len implements heap.Interface.
func (b bySize) Len() int { return len(b) }

// Less implements heap.Interface.
func (b bySize) Less(i, j int) bool {
	return b[i].n > b[j].n || b[i].n == b[j].n && b[i].n > 0 && b[i].ids[0] < b[j].ids[0]
}

// Swap implements heap.Interface.
func (b bySize) Swap(i, j int) {
	b[i], b[j] = b[j], b[i]
	b[i].place, b[j].place = i, j
}

// Push implements heap.Interface.
func (b *bySize) Push(one any) {
	if s, ok := one.(*sender); ok {
		s.place = len(*b)
		*b = append(*b, s)
	}
}

// Pop implements heap.Interface.
func (b *bySize) Pop() any {
	all := *b
	last := all[len(all)-1]
	*b = all[:len(all)-1]
	return last
}
