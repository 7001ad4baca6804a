package jsonwire

import (
	"slices"
)

// Where the type of an Any may stand, besides an offset.
const (
	noType    = -2 // this is no Any; "@type" is a key like any other
	typeTaken = -1 // the type was read; another is one too many
)

const (
	tagTypeURL  = 1<<3 | 2
	tagAnyValue = 2<<3 | 2
)

// any writes an Any.
func (d *decoder) any() error {
	if d.pos >= len(d.in) || d.in[d.pos] != '{' {
		return d.expected(`an object with "@type"`)
	}
	start := d.pos
	if err := d.open(); err != nil {
		return err
	}
	if d.space() == '}' {
		_, err := d.more('}')
		return err
	}
	typeAt, err := d.typeFirst()
	if err != nil {
		return err
	}
	body := d.pos
	if typeAt == 0 {
		d.depth--
		if typeAt, err = d.findType(start); err != nil {
			return err
		}
		if typeAt == 0 {
			if d.ignore {
				d.pos = start
				return d.skip()
			}
			return d.failAt(start, `an Any has no "@type" key`)
		}
		d.depth++
	}
	d.pos = typeAt
	p, err := d.typeURL()
	if err != nil {
		return err
	}
	if body > typeAt {
		typeAt = typeTaken
	}
	d.pos = body
	return d.anyValue(p, typeAt)
}

// typeFirst returns where the value of "@type" stands if that is the first key,
// with the position after it; else 0 with the position at the first key.
func (d *decoder) typeFirst() (int, error) {
	const key = `"@type"`
	if end := d.pos + len(key); end > len(d.in) || string(d.in[d.pos:end]) != key {
		return 0, nil
	}
	if _, err := d.name(); err != nil {
		return 0, err
	}
	d.space()
	at := d.pos
	if err := d.skip(); err != nil {
		return 0, err
	}
	return at, nil
}

// findType returns where the value of "@type" stands in the object that begins at
// start; 0 for nowhere. Objects below it are marked on the way, so that the work
// is done once however deeply Any messages nest.
func (d *decoder) findType(start int) (int, error) {
	if start >= d.marked {
		d.pos, d.marking = start, true
		err := d.skip()
		d.marking = false
		if err != nil {
			return 0, err
		}
		d.marked = d.pos
	}
	i, _ := slices.BinarySearchFunc(d.marks, start, func(m typeMark, at int) int { return int(m.start) - at })
	if d.marks[i].twice {
		return 0, d.failAt(start, `an Any has two "@type" keys`)
	}
	return int(d.marks[i].at), nil
}

// typeURL writes the type URL at the position and returns the plan of its message.
func (d *decoder) typeURL() (*Plan, error) {
	start := d.pos
	if d.in[d.pos] != '"' {
		return nil, d.expected(`a string as "@type"`)
	}
	url, err := d.string()
	if err != nil {
		return nil, err
	}
	if len(url) == 0 {
		return nil, d.failAt(start, `"@type" is empty`)
	}
	p, err := d.plans.byURL(url)
	if err != nil {
		return nil, d.failAt(start, `"@type" is %s: %v`, quote(string(url)), err)
	}
	d.out = append(d.out, tagTypeURL)
	d.out = appendUvarint(d.out, uint64(len(url)))
	d.out = append(d.out, url...)
	return p, nil
}

// anyValue writes the message in an Any. The position is at the first key, or
// after the type where it came first.
func (d *decoder) anyValue(p *Plan, typeAt int) error {
	partial, keep := d.partial, d.keep
	d.partial, d.keep = true, false
	mark := len(d.out)
	d.out = openLength(append(d.out, tagAnyValue))
	at := len(d.out)
	more, err := true, error(nil)
	if typeAt == typeTaken {
		more, err = d.more('}')
	}
	switch {
	case err != nil:
	case p.kind != plain:
		err = d.knownInAny(p, typeAt, more)
	case more:
		err = d.fields(p, typeAt)
	}
	if err != nil {
		return err
	}
	d.partial, d.keep = partial, keep
	if len(d.out) == at {
		d.out = d.out[:mark]
		return nil
	}
	d.out = closeLength(d.out, at)
	return nil
}

// knownInAny writes a message with a JSON form of its own, which stands under
// "value".
func (d *decoder) knownInAny(p *Plan, typeAt int, more bool) error {
	found := false
	var err error
	for more {
		at := d.pos
		name, err := d.name()
		if err != nil {
			return err
		}
		switch {
		case string(name) == "@type":
			err = d.skipType(at, typeAt)
		case string(name) == "value":
			if found {
				return d.failAt(at, "duplicate field value")
			}
			found = true
			d.space()
			err = below(d.message(p), "value")
		case d.ignore:
			d.space()
			err = d.skip()
		default:
			err = d.failAt(at, "unknown field %s; a %s in an Any stands under \"value\"", quote(string(name)), p.desc.FullName())
		}
		if err != nil {
			return err
		}
		if more, err = d.more('}'); err != nil {
			return err
		}
	}
	if !found && p.kind != specialEmpty {
		return d.fail(`an Any with a %s has no "value"`, p.desc.FullName())
	}
	return err
}

// skipType moves past the value of "@type", whose key is at the offset at.
func (d *decoder) skipType(at, typeAt int) error {
	d.space()
	if d.pos != typeAt {
		return d.failAt(at, `an Any has two "@type" keys`)
	}
	return d.skip()
}
