package jsonwire

import "google.golang.org/protobuf/encoding/protowire"

// presence is how it is noted that a field is there, and where it belongs among the
// fields of its message.
type presence struct {
	// implicit: zero is the same as unset.
	implicit bool
	// bit is the field's place among the seen fields of its message, in the order
	// of declaration; slot the same for the data on the wire, in the order of
	// numbers, where the members of a oneof share one after all fields.
	bit, slot int
	// place is where the field belongs in the order of numbers: the members of a
	// oneof share the lowest of theirs, as most serialisers write them there.
	place protowire.Number
	// mark is the bit of the slot. before are the near slots of the fields that
	// belong before this one. Of a loose field they are all: where it stands says
	// little.
	mark, before uint64
	// loose: serialisers may write the field at another place than its number's.
	// Some write the member of a oneof where its first member belongs or after all
	// other fields, and extensions before these.
	loose bool
	// oneof is the place of the field's real oneof among the seen ones, or -1.
	oneof int
	// required is the place where JSON input notes that a required field is set, 0
	// for other fields.
	required int
}

// setSlot sets the slot of a field and its mark. The slot after the near ones is
// left out, as its bit stands for all that follow.
func (p *presence) setSlot(slot int) {
	if slot >= nearSlots {
		slot++
	}
	p.slot, p.mark = slot, 1<<min(slot, nearSlots)
}
