package jsonwire

// seenBits remembers which fields of one message came.
type seenBits struct {
	first uint64   // of the places 0 to 63
	more  []uint64 // of the places from 64 on
}

// takeWords takes zeroed words for the places from 64 on off a stack.
func takeWords(stack []uint64, places int) (words, rest []uint64) {
	at := len(stack)
	for range max(1, (places-1)/64) {
		stack = append(stack, 0)
	}
	return stack[at:len(stack):len(stack)], stack
}

// see notes a place from 64 on. It returns false the second time.
func (s *seenBits) see(place int) bool {
	word, bit := place>>6-1, uint64(1)<<(place&63)
	for word >= len(s.more) {
		s.more = append(s.more, 0) // an extension met since
	}
	if s.more[word]&bit != 0 {
		return false
	}
	s.more[word] |= bit
	return true
}

// has reports whether a place was noted.
func (s *seenBits) has(place int) bool {
	if place < 64 {
		return s.first&(1<<place) != 0
	}
	word := place>>6 - 1
	return word < len(s.more) && s.more[word]&(1<<(place&63)) != 0
}
