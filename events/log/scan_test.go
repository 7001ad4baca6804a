package log

import (
	"math/rand/v2"
	"path"
	"testing"
)

// TestSkipZeros: the way over zeros ends where one goes that looks at every place.
func TestSkipZeros(t *testing.T) {
	fs, segments := damagedLog(t, 50)
	s := segmentNamed(path.Base(segments[0]))
	whole := fs.names[segments[0]].data
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 300 {
		data := append([]byte(nil), whole...)
		data = data[:len(data)-random.IntN(2*recordAlign)]
		zeros := data[headerPage+random.IntN(300):]
		clear(zeros[:min(len(zeros), random.IntN(6000))])
		at := func() *scanner {
			node := &inode{data: data, dirty: map[int64]bool{}}
			sc := s.scan(&memoryFile{newMemory(), node, "x"}, int64(len(data)))
			for body, ok := sc.record(); ok; body, ok = sc.record() {
				sc.advance(len(body))
			}
			return sc
		}
		got, want := at(), at()
		found, complete := got.skip(0)
		wanted := false
		for pos := want.pos + recordAlign; !wanted && pos+recordHeader <= want.end; pos += recordAlign {
			if _, ok := want.recordAt(pos, want.next, want.next+uint64(pos-want.pos)/recordHeader, nil); ok {
				wanted, want.pos = true, pos
			}
		}
		if found != wanted || !complete || got.pos != want.pos {
			t.Errorf("round %d: %t, %t at %d, want %t at %d", round, found, complete, got.pos, wanted, want.pos)
		}
	}
}
