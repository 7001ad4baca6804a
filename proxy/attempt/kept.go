package attempt

import "sync"

// pieceSize is that of the pieces in which bodies are kept.
const pieceSize = 8 << 10

var pieces = sync.Pool{New: func() any { return new([pieceSize]byte) }}

// Kept is what was read of a request's body, for another attempt (Traffic 66). All that
// requests and streams keep is bounded. It is not safe for concurrent use.
type Kept struct {
	limit  int
	pieces []*[pieceSize]byte
	n      int
}

// NewKept keeps so many bytes at most.
func NewKept(limit int) *Kept { return &Kept{limit: limit} }

// Len is how many bytes are kept.
func (k *Kept) Len() int { return k.n }

// Held is how much memory that takes, in bytes.
func (k *Kept) Held() int64 { return pieceSize * int64(len(k.pieces)) }

// Add keeps a copy of p and reports whether there was room for it. Where there was none it
// keeps nothing any more.
func (k *Kept) Add(p []byte) bool {
	if k.n+len(p) > k.limit {
		k.Free()
		return false
	}
	for len(p) > 0 {
		at := k.n % pieceSize
		if at == 0 && !k.grow() {
			k.Free()
			return false
		}
		n := copy(k.pieces[len(k.pieces)-1][at:], p)
		k.n += n
		p = p[n:]
	}
	return true
}

// grow adds a piece, if all that is kept leaves room for it.
func (k *Kept) grow() bool {
	if keptInAll.Add(pieceSize) > maxKeptInAll {
		keptInAll.Add(-pieceSize)
		return false
	}
	piece, ok := pieces.Get().(*[pieceSize]byte)
	if !ok {
		piece = new([pieceSize]byte) // the pool holds nothing else
	}
	k.pieces = append(k.pieces, piece)
	return true
}

// From is a part of what is kept that begins at an offset; it is empty at the end alone.
func (k *Kept) From(offset int) []byte {
	if offset >= k.n {
		return nil
	}
	i, at := offset/pieceSize, offset%pieceSize
	return k.pieces[i][at:min(pieceSize, at+k.n-offset)]
}

// Free gives up what is kept.
func (k *Kept) Free() {
	for _, piece := range k.pieces {
		pieces.Put(piece)
	}
	keptInAll.Add(-pieceSize * int64(len(k.pieces)))
	k.pieces, k.n, k.limit = nil, 0, 0
}
