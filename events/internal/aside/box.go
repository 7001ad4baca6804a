package aside

import (
	"container/heap"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
	"sync"
	"time"
)

// Box is a folder of what was put aside, by the names of its files alone, so that one more costs no look
// at the others. Their senders share the room. The folder has the truth: other processes may change it.
type Box struct {
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

// NewBox is the box of a folder, which need not be there.
func NewBox(folder string) *Box { return &Box{folder: folder} }

// Folder is where the box is.
func (b *Box) Folder() string { return b.folder }

// Sender is who is to have a share of what is put aside: the caller whom the gateway knew, without one
// the source. Nothing that an anonymous client may choose with each event counts.
func Sender(caller, source string) string {
	who := "authid\x00" + caller
	if caller == "" {
		who = "source\x00" + source
	}
	sum := sha256.Sum256([]byte(who))
	return hex.EncodeToString(sum[:4])
}

const suffix = ".json"

// FileName is the name of the file of an ID and its sender.
func FileName(id, sender string) string {
	if sender == "" {
		return id + suffix
	}
	return id + "." + sender + suffix
}

// ParseName reads what FileName makes.
func ParseName(name string) (id, sender string, ok bool) {
	name, ok = strings.CutSuffix(name, suffix)
	id, sender, _ = strings.Cut(name, ".")
	return id, sender, ok && IsID(id)
}

// look reads the folder, if it has changed or again says so. b.mu is held.
func (b *Box) look(again bool) {
	changed := b.changed()
	if !again && b.of != nil && changed.Equal(b.read) {
		return
	}
	b.of, b.senders, b.most, b.read = map[string]*sender{}, map[string]*sender{}, nil, changed
	entries, err := os.ReadDir(b.folder) // by name, which begins with the time
	if err != nil {
		return // there are none, or writing one will say what is wrong
	}
	for _, entry := range entries {
		if id, hash, ok := ParseName(entry.Name()); ok {
			b.add(id, hash)
		}
	}
}

func (b *Box) changed() time.Time {
	info, err := os.Stat(b.folder)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// add notes one. b.mu is held.
func (b *Box) add(id, hash string) {
	if b.of[id] != nil {
		return
	}
	s := b.senders[hash]
	if s == nil {
		s = &sender{hash: hash}
		b.senders[hash] = s
		heap.Push(&b.most, s)
	}
	s.ids = append(s.ids, id)
	s.n++
	b.of[id] = s
	heap.Fix(&b.most, s.place)
}

// remove forgets one. b.mu is held.
func (b *Box) remove(id string) {
	s := b.of[id]
	if s == nil {
		return
	}
	delete(b.of, id)
	if s.n--; s.n == 0 {
		delete(b.senders, s.hash)
		heap.Remove(&b.most, s.place)
		return
	}
	for b.of[s.ids[0]] != s {
		s.ids = s.ids[1:]
	}
	heap.Fix(&b.most, s.place)
}

// Place has room made for one more, of up to most, and says which files go for that: the oldest of who has
// the most. It reports false where there is no room and, as wait says, none may go. Wrote follows.
func (b *Box) Place(id, hash string, most int, wait bool) (gone []string, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.look(false)
	if wait && len(b.of) >= most {
		return nil, false
	}
	b.add(id, hash)
	for len(b.of) > most {
		oldest := b.most[0].ids[0]
		gone = append(gone, FileName(oldest, b.most[0].hash))
		b.remove(oldest)
	}
	return gone, true
}

// Wrote notes that one is in the folder, or, if that failed, that nobody knows what it has.
func (b *Box) Wrote(id, hash string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.read = b.changed()
	switch {
	case err != nil:
		b.of = nil
	case b.of != nil:
		b.add(id, hash) // somebody may have looked before it was there
	}
}

// List are the IDs of all, the oldest first.
func (b *Box) List() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.look(true)
	ids := make([]string, 0, len(b.of))
	for _, s := range b.senders {
		for _, id := range s.ids {
			if b.of[id] == s {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// File is the name of the file of an ID; "" where there is none.
func (b *Box) File(id string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.look(false); b.of[id] == nil {
		b.look(true) // the time of a folder is not exact
	}
	if s := b.of[id]; s != nil {
		return FileName(id, s.hash)
	}
	return ""
}

// Dropped notes that the file of an ID was removed.
func (b *Box) Dropped(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.of != nil {
		b.remove(id)
	}
	b.read = b.changed()
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
