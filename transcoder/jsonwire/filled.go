package jsonwire

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// Filled remembers which fields of one message its sources have set, so that none
// replaces in silence what another has set: a singular field is set once, a oneof
// has one member, a key of a map has one value. The zero value remembers nothing.
//
// Each field on the way to one that was set is a node below that of its message:
// nothing is named by its path, and the cost grows with the number of nodes.
type Filled struct {
	nodes []filledNode
	index map[filledKey]int32 // of nodes, once they are many
}

// filledNode is a field, a oneof or a key of a map.
type filledNode struct {
	key    filledKey
	member *fieldPlan // of a oneof: the one that is set
	whole  bool       // the field was set itself
	below  bool       // a field below it was set
}

// filledKey says where a node is: below another one, 0 for the root's fields. The
// place is the field's or oneof's among the bits of its message, or the bits of a
// map's key.
type filledKey struct {
	parent int32
	place  uint64
}

// fewNodes is how many nodes are compared one by one.
const fewNodes = 16

// Reset forgets everything and keeps some memory.
func (s *Filled) Reset() {
	if cap(s.nodes) > maxKept/64 {
		s.nodes = nil
	}
	clear(s.nodes)
	s.nodes, s.index = s.nodes[:0], nil
}

// Empty reports whether no field was set.
func (s *Filled) Empty() bool { return len(s.nodes) == 0 }

// find returns the node at a key, nil if there is none. It is valid until the next
// is added.
func (s *Filled) find(key filledKey) (int32, *filledNode) {
	if s.index != nil {
		n := s.index[key]
		if n == 0 {
			return 0, nil
		}
		return n, &s.nodes[n-1]
	}
	for i := range s.nodes {
		if s.nodes[i].key == key {
			return int32(i) + 1, &s.nodes[i] //nolint:gosec // i < fewNodes
		}
	}
	return 0, nil
}

// enter returns the node at a key and its number, and adds it if need be.
func (s *Filled) enter(key filledKey) (int32, *filledNode) {
	if n, node := s.find(key); node != nil {
		return n, node
	}
	s.nodes = append(s.nodes, filledNode{key: key})
	n := int32(len(s.nodes)) //nolint:gosec // far fewer than the bytes of a request
	if s.index == nil && n > fewNodes {
		s.index = make(map[filledKey]int32, 2*fewNodes)
		for i := range s.nodes {
			s.index[s.nodes[i].key] = int32(i) + 1 //nolint:gosec // i < n
		}
	} else if s.index != nil {
		s.index[key] = n
	}
	return n, &s.nodes[n-1]
}

// Set notes that a field is set and says why it must not be, "" if it may.
func (s *Filled) Set(f *Field) string {
	at, reason := s.path(f)
	if reason != "" || f.leaf.card != single {
		return reason
	}
	_, node := s.enter(filledKey{at, uint64(f.leaf.bit)})
	switch {
	case node.whole:
		return "given twice, and it is not a repeated field"
	case node.below:
		return "given as a whole, and by a field below it"
	}
	node.whole = true
	return ""
}

// Claim notes which members of oneofs a field sets, and says why it must not,
// "" if it may. The field itself may be set by others too: it has the last word.
func (s *Filled) Claim(f *Field) string {
	_, reason := s.path(f)
	return reason
}

// SetKeys notes the keys of a map that a message in wire format sets, which holds
// only the map. It returns false for one that was set already.
func (s *Filled) SetKeys(f *Field, wire []byte) bool {
	at, _ := s.path(f)
	n, node := s.enter(filledKey{at, uint64(f.leaf.bit)})
	node.below = true
	p := f.root
	for _, parent := range f.parents {
		var err error
		if wire, err = contents(wire, p, parent); err != nil {
			return true // the decoder wrote it: there is no such error
		}
		p = parent.message()
	}
	fresh := true
	_ = each(wire, p, func(g *fieldPlan, value []byte) { // likewise
		if g != f.leaf {
			return
		}
		_, key := s.enter(filledKey{n, entryKey(g, value)})
		fresh = fresh && !key.whole
		key.whole = true
	})
	return fresh
}

// entryKey is the identity of the key of a map's entry in wire format.
func entryKey(f *fieldPlan, entry []byte) uint64 {
	entry, _, _ = bytesIn(entry)
	num, typ, n := tagOf(entry)
	if num != 1 {
		return entryKeyBits(f.mapKey.op, nil)
	}
	length := protowire.ConsumeFieldValue(num, typ, entry[n:])
	if length < 0 {
		return 0
	}
	return entryKeyBits(f.mapKey.op, entry[n:n+length])
}

func entryKeyBits(o op, value []byte) uint64 {
	switch {
	case o == opString:
		text, _, _ := bytesIn(value)
		return hashKey(text)
	case len(value) == 0:
		return 0
	case o <= lastVarint:
		bits, _ := protowire.ConsumeVarint(value)
		return bits
	case o <= opFloat:
		bits, _ := protowire.ConsumeFixed32(value)
		return uint64(bits)
	}
	bits, _ := protowire.ConsumeFixed64(value)
	return bits
}

// path walks to a field. It returns the node of its message.
func (s *Filled) path(f *Field) (at int32, reason string) {
	for _, parent := range f.parents {
		if reason := s.setMember(at, parent); reason != "" {
			return 0, reason
		}
		n, node := s.enter(filledKey{at, uint64(parent.bit)})
		if node.whole {
			return 0, "given by a field below it, and as a whole"
		}
		node.below, at = true, n
	}
	return at, s.setMember(at, f.leaf)
}

// setMember notes that a field of the message at a node is set, if it is a member
// of a oneof.
func (s *Filled) setMember(at int32, f *fieldPlan) string {
	if f.oneof < 0 {
		return ""
	}
	_, node := s.enter(filledKey{at, uint64(f.oneof)})
	if node.member != nil && node.member != f {
		return "sets a second member of the oneof " + string(f.desc.ContainingOneof().Name()) + "; " +
			string(node.member.desc.Name()) + " is set already"
	}
	node.member = f
	return ""
}

// Meets says what a message in wire format sets that must not be set beside what
// is: another member of a oneof, a singular field that Set has noted, a key of a
// map. It is "" if there is nothing.
func (s *Filled) Meets(p *Plan, wire []byte) string { return s.meets(p, 0, wire) }

func (s *Filled) meets(p *Plan, at int32, wire []byte) (reason string) {
	err := each(wire, p, func(f *fieldPlan, value []byte) {
		if reason == "" {
			reason = s.meetsField(f, at, value)
		}
	})
	if err != nil {
		return "" // whoever wrote it has refused it
	}
	return reason
}

func (s *Filled) meetsField(f *fieldPlan, at int32, value []byte) string {
	if f.oneof >= 0 {
		if _, node := s.find(filledKey{at, uint64(f.oneof)}); node != nil && node.member != f {
			return string(f.desc.Name()) + " is a second member of the oneof " + string(f.desc.ContainingOneof().Name()) +
				"; the path or the query sets " + string(node.member.desc.Name())
		}
	}
	n, node := s.find(filledKey{at, uint64(f.bit)})
	switch {
	case node == nil:
		return ""
	case node.whole:
		return string(f.desc.Name()) + " is set by the query too"
	case f.card == mapping:
		if _, key := s.find(filledKey{n, entryKey(f, value)}); key != nil {
			return "a key of " + string(f.desc.Name()) + " is set by the query too"
		}
		return ""
	case f.card != single || f.op != opMessage && f.op != opGroup:
		return ""
	case f.op == opGroup:
		value, _ = protowire.ConsumeGroup(f.num, value)
	default:
		value, _, _ = bytesIn(value)
	}
	return s.meets(f.message(), n, value)
}
