package memory

// Body is the body of an answer on its way, which takes its memory from that of the answers.
// It is not safe for concurrent use.
type Body struct {
	// Bytes are what there is of it.
	Bytes []byte

	of       *Memory
	length   int64 // -1 while it is not known
	reserved int64
	held     *Entry // that it is the body of; nil while it is reserved for
}

// firstBytes is what is reserved at first for a body whose length nobody knows.
const firstBytes = 4 << 10

// Begin makes room for a body; length is -1 where it is not known. It reports false where
// there is none.
func (b *Body) Begin(of *Memory, length int64) bool {
	b.of, b.length = of, length
	return b.grow(int(max(length, 0)))
}

// grow has room for n more bytes, and reports whether there is.
func (b *Body) grow(n int) bool {
	need := len(b.Bytes) + n
	if need <= cap(b.Bytes) {
		return true
	}
	if b.length < 0 {
		need = max(need, 2*cap(b.Bytes), firstBytes)
	}
	more := int64(need - cap(b.Bytes))
	if !b.of.Reserve(more) {
		return false
	}
	b.reserved += more
	grown := make([]byte, len(b.Bytes), need)
	copy(grown, b.Bytes)
	b.Bytes = grown
	return true
}

// Append adds a piece, and reports whether there was room.
func (b *Body) Append(piece []byte) bool {
	if !b.grow(len(piece)) {
		return false
	}
	b.Bytes = append(b.Bytes, piece...)
	return true
}

// Hold has an entry with the body count, instead of what was reserved for it.
func (b *Body) Hold(of *Memory, e *Entry) {
	of.Pin(e)
	of.Release(b.reserved)
	b.of, b.reserved, b.held = of, 0, e
}

// Forget gives back what the body takes, once nobody reads it any more.
func (b *Body) Forget() {
	if b.of == nil {
		return
	}
	b.of.Release(b.reserved)
	if b.held != nil {
		b.of.Unpin(b.held)
	}
	*b = Body{}
}
