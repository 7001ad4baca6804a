package canonical

import (
	"bytes"
	"cmp"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// writer writes messages that have not the form.
type writer struct{ root []byte }

// span is a part of root.
type span struct{ start, end uint32 }

func (w *writer) at(s span) []byte { return w.root[s.start:s.end] }

// occurrence is a value of a known field: of what has a length, what stands behind that.
type occurrence struct {
	field uint32 // its index
	span
}

func (o occurrence) index() int { return int(o.field) }

// parts are a message's, by the order of their fields, and by that of their arrival then.
type parts struct {
	known   []occurrence
	unknown []span
}

// message appends the message that its pieces are together.
func (w *writer) message(dst []byte, f *Form, pieces []span, depth int) ([]byte, error) {
	if depth > MaxDepth {
		return nil, ErrDepth
	}
	p, err := w.split(f, pieces)
	if err != nil {
		return nil, err
	}
	for known := p.known; len(known) > 0; {
		i, n := known[0].index(), 1
		for n < len(known) && known[n].index() == i {
			n++
		}
		if dst, err = w.field(dst, &f.fields[i], known[:n], depth); err != nil {
			return nil, err
		}
		known = known[n:]
	}
	for _, s := range p.unknown {
		dst = append(dst, w.at(s)...)
	}
	return dst, nil
}

// split finds the parts of a message.
func (w *writer) split(f *Form, pieces []span) (p parts, err error) {
	var members members
	known, unknown := w.count(f, pieces)
	p.known = make([]occurrence, 0, known)
	if unknown > 0 {
		p.unknown = make([]span, 0, unknown)
	}
	for _, piece := range pieces {
		for piece.start < piece.end {
			v, err := w.read(piece)
			if err != nil {
				return p, err
			}
			piece.start = v.whole.end
			i := f.find(v.number)
			if i < 0 || !f.fields[i].fits(v.wire) {
				p.addUnknown(v.whole)
				continue
			}
			if one := f.fields[i].oneof; one >= 0 {
				members.set(one, i, len(p.known))
			}
			p.known = append(p.known, occurrence{uint32(i), w.value(&v)}) //nolint:gosec // an index
		}
	}
	p.known = byField(members.drop(f, p.known), len(f.fields))
	return p, nil
}

// count counts the values of known fields, and how often unknown ones begin, as far as the pieces
// can be read, so that lists of them take no more memory than they need.
func (w *writer) count(f *Form, pieces []span) (known, unknown int) {
	for _, piece := range pieces {
		again := false // the field before is unknown, too
		for piece.start < piece.end {
			v, err := w.read(piece)
			if err != nil {
				break // split says so
			}
			piece.start = v.whole.end
			i := f.find(v.number)
			switch is := i >= 0 && f.fields[i].fits(v.wire); {
			case is:
				known, again = known+1, false
			case !again:
				unknown, again = unknown+1, true
			}
		}
	}
	return known, unknown
}

// value is a field as it stands in a message.
type value struct {
	number protowire.Number
	wire   protowire.Type
	whole  span
	bare   span // without the tag
}

// read reads the field at the beginning of a part.
func (w *writer) read(s span) (v value, err error) {
	m := w.at(s)
	number, t, n := protowire.ConsumeTag(m)
	if n < 0 {
		return v, ErrSyntax
	}
	size := protowire.ConsumeFieldValue(number, t, m[n:])
	if size < 0 {
		return v, ErrSyntax
	}
	end := s.start + uint32(n+size)                                                  //nolint:gosec // within root
	return value{number, t, span{s.start, end}, span{s.start + uint32(n), end}}, nil //nolint:gosec // as above
}

// value leaves out the length in front of a value, or the tag behind a group.
func (w *writer) value(v *value) span {
	s := v.bare
	switch v.wire {
	case protowire.BytesType:
		inner, _ := protowire.ConsumeBytes(w.at(s))
		s.start = s.end - uint32(len(inner)) //nolint:gosec // within root
	case protowire.StartGroupType:
		inner, _ := protowire.ConsumeGroup(v.number, w.at(s))
		s.end = s.start + uint32(len(inner)) //nolint:gosec // as above
	}
	return s
}

// addUnknown adds a field that is unknown, to the one before where it stands right behind that.
func (p *parts) addUnknown(whole span) {
	if last := len(p.unknown) - 1; last >= 0 && p.unknown[last].end == whole.start {
		p.unknown[last].end = whole.end
		return
	}
	p.unknown = append(p.unknown, whole)
}

// members says which member each oneof has, and from which occurrence on.
type members map[int]member

type member struct{ field, from int }

func (m *members) set(oneof, field, at int) {
	if before, ok := (*m)[oneof]; ok && before.field == field {
		return
	}
	if *m == nil {
		*m = members{}
	}
	(*m)[oneof] = member{field, at}
}

// drop leaves out what a later member has replaced.
func (m members) drop(f *Form, all []occurrence) []occurrence {
	if len(m) == 0 {
		return all
	}
	kept := all[:0]
	for at, o := range all {
		i := o.index()
		if one := f.fields[i].oneof; one >= 0 && (m[one].field != i || m[one].from > at) {
			continue
		}
		kept = append(kept, o)
	}
	return kept
}

// byField sorts what is in order of arrival by fields. It takes time and memory in
// proportion, as a client decides how many there are.
func byField(all []occurrence, fields int) []occurrence {
	if slices.IsSortedFunc(all, func(a, b occurrence) int { return cmp.Compare(a.index(), b.index()) }) {
		return all
	}
	next := make([]int, fields+1)
	for _, o := range all {
		next[o.index()+1]++
	}
	for i := range fields {
		next[i+1] += next[i]
	}
	sorted := make([]occurrence, len(all))
	for _, o := range all {
		i := o.index()
		sorted[next[i]] = o
		next[i]++
	}
	return sorted
}

// field appends a field, of which there is at least one value.
func (w *writer) field(dst []byte, one *field, all []occurrence, depth int) ([]byte, error) {
	switch {
	case one.isMap:
		return w.entries(dst, one, all, depth)
	case one.packable():
		return w.list(dst, one, all)
	case one.list:
		for i := range all {
			var err error
			if dst, err = w.single(dst, one, all[i:i+1], depth); err != nil {
				return nil, err
			}
		}
		return dst, nil
	}
	return w.single(dst, one, all, depth)
}

// single appends one value: a message that all are together, or the last one.
func (w *writer) single(dst []byte, one *field, all []occurrence, depth int) (_ []byte, err error) {
	last := all[len(all)-1].span
	tag := protowire.AppendTag
	switch one.kind {
	case text:
		if last.start == last.end && one.implicit {
			return dst, nil
		}
		return protowire.AppendBytes(tag(dst, one.number, protowire.BytesType), w.at(last)), nil
	case nested:
		dst = tag(dst, one.number, protowire.BytesType)
		begin := len(dst)
		if dst, err = w.message(append(dst, 0), one.of, spans(all), depth+1); err != nil {
			return nil, err
		}
		return setLength(dst, begin), nil
	case group:
		dst = tag(dst, one.number, protowire.StartGroupType)
		if dst, err = w.message(dst, one.of, spans(all), depth+1); err != nil {
			return nil, err
		}
		return tag(dst, one.number, protowire.EndGroupType), nil
	}
	if _, zero, _ := one.kind.scan(w.at(last)); zero && one.implicit {
		return dst, nil
	}
	return one.kind.append(tag(dst, one.number, one.wire()), w.at(last)), nil
}

// spans are where the values are.
func spans(all []occurrence) []span {
	s := make([]span, len(all))
	for i, o := range all {
		s[i] = o.span
	}
	return s
}

// append appends a scalar.
func (k kind) append(dst, value []byte) []byte {
	if k == fixed32 || k == fixed64 {
		return append(dst, value...)
	}
	v, _ := protowire.ConsumeVarint(value)
	return protowire.AppendVarint(dst, k.cut(v))
}

// setLength writes the length of what stands behind begin into the byte there, and makes
// room where one byte is not enough.
func setLength(dst []byte, begin int) []byte {
	n := len(dst) - begin - 1
	if n < 1<<7 {
		dst[begin] = byte(n)
		return dst
	}
	more := protowire.SizeVarint(uint64(n)) - 1
	dst = append(dst, make([]byte, more)...)
	copy(dst[begin+1+more:], dst[begin+1:begin+1+n])
	protowire.AppendVarint(dst[:begin], uint64(n))
	return dst
}

// list appends a list of scalars.
func (w *writer) list(dst []byte, one *field, all []occurrence) ([]byte, error) {
	begin := len(dst)
	if one.packed {
		dst = append(protowire.AppendTag(dst, one.number, protowire.BytesType), 0)
	}
	first := len(dst)
	for _, o := range all {
		for m := w.at(o.span); len(m) > 0; {
			n, _, _ := one.kind.scan(m)
			if n < 0 {
				return nil, ErrSyntax
			}
			if !one.packed {
				dst = protowire.AppendTag(dst, one.number, one.wire())
			}
			dst = one.kind.append(dst, m[:n])
			m = m[n:]
		}
	}
	switch {
	case len(dst) == first:
		return dst[:begin], nil
	case one.packed:
		return setLength(dst, first-1), nil
	}
	return dst, nil
}

// entry is an entry of a map: all of it, and its key, without a length. There may be as many as
// a client likes: they have no memory of their own.
type entry struct{ whole, key span }

// entries appends a map.
func (w *writer) entries(dst []byte, one *field, all []occurrence, depth int) (_ []byte, err error) {
	entries := make([]entry, len(all))
	for i, o := range all {
		if entries[i], err = w.entry(one.of, o.span); err != nil {
			return nil, err
		}
	}
	key := &one.of.fields[0]
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(w.compare(key, a.key, b.key), cmp.Compare(a.whole.start, b.whole.start))
	})
	for i, e := range entries {
		if i+1 < len(entries) && w.compare(key, e.key, entries[i+1].key) == 0 {
			continue // the last one of each key holds
		}
		if dst, err = w.append(dst, one, e, depth); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// append appends an entry of a map.
func (w *writer) append(dst []byte, one *field, e entry, depth int) ([]byte, error) {
	key, value := &one.of.fields[0], &one.of.fields[1]
	p, err := w.split(one.of, []span{e.whole})
	if err != nil {
		return nil, err
	}
	values := p.known
	for len(values) > 0 && values[0].index() == 0 {
		values = values[1:]
	}
	dst = protowire.AppendTag(dst, one.number, protowire.BytesType)
	begin := len(dst)
	dst = w.key(append(dst, 0), key, e.key)
	if len(values) > 0 {
		if dst, err = w.single(dst, value, values, depth); err != nil {
			return nil, err
		}
	} else {
		dst = value.zero(dst)
	}
	return setLength(dst, begin), nil
}

// entry finds the key of an entry of a map, the last one; an empty span where it has none.
func (w *writer) entry(f *Form, whole span) (entry, error) {
	e := entry{whole: whole}
	key := &f.fields[0]
	for whole.start < whole.end {
		v, err := w.read(whole)
		if err != nil {
			return e, err
		}
		if whole.start = v.whole.end; v.number == key.number && key.fits(v.wire) {
			e.key = w.value(&v)
		}
	}
	return e, nil
}

// key appends the key of an entry of a map.
func (w *writer) key(dst []byte, one *field, key span) []byte {
	switch {
	case one.kind == text:
		return protowire.AppendBytes(protowire.AppendTag(dst, one.number, protowire.BytesType), w.at(key))
	case key.start == key.end:
		return one.zero(dst)
	}
	return one.kind.append(protowire.AppendTag(dst, one.number, one.wire()), w.at(key))
}

// compare orders keys of a map as field.compare does.
func (w *writer) compare(one *field, a, b span) int {
	if one.kind == text {
		return bytes.Compare(w.at(a), w.at(b))
	}
	return cmp.Compare(one.kind.cut(one.order(w.at(a))), one.kind.cut(one.order(w.at(b)))) // 0 for none
}

// zero appends the field with its zero value. Its number is below 16.
func (one *field) zero(dst []byte) []byte {
	dst = protowire.AppendTag(dst, one.number, one.wire())
	switch one.kind {
	case fixed32:
		return append(dst, 0, 0, 0, 0)
	case fixed64:
		return append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
	case group:
		return protowire.AppendTag(dst, one.number, protowire.EndGroupType)
	}
	return append(dst, 0)
}
