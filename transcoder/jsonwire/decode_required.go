package jsonwire

import "slices"

// maxLacks bounds the objects of one body that wait to be told whether what they lack is given: no method has
// as many fields of one kind in its path.
const maxLacks = 64

// lack is a required field that an object has not, but which the path may set: where
// the object stands, and the fields from that one up to the outermost of the body.
type lack struct {
	at int
	up []*fieldPlan
}

// require refuses an object at start without a field that it needs. Where such a field is given, that of this object or
// another's, the way to the object decides, which is known at the end. No way goes through lists and maps.
func (d *decoder) require(p *Plan, start int, seen *seenBits) error {
	for _, f := range p.required {
		if seen.has(f.required) {
			continue
		}
		if d.repeated > 0 || len(d.lacks) == maxLacks || !slices.ContainsFunc(d.given, func(g *Field) bool { return g.leaf == f }) {
			return d.missing(f, start)
		}
		d.lacks = append(d.lacks, lack{start, []*fieldPlan{f}})
	}
	return nil
}

func (d *decoder) missing(f *fieldPlan, at int) error {
	return d.failAt(at, "required field %s is missing", f.desc.JSONName())
}

// lackBelow notes that all lacks but the first n stand in a field.
func (d *decoder) lackBelow(f *fieldPlan, n int) {
	for i := range d.lacks[n:] {
		d.lacks[n+i].up = append(d.lacks[n+i].up, f)
	}
}

// complete refuses an object whose lack nothing given fills. The body is that field of the request, nil where it is all of it.
func (d *decoder) complete(body *Field) error {
	for _, l := range d.lacks {
		if slices.ContainsFunc(d.given, func(g *Field) bool { return l.isOf(g, body) }) {
			continue
		}
		err := d.missing(l.up[0], l.at)
		for _, f := range l.up[1:] {
			err = f.below(err, f.desc.JSONName())
		}
		return err
	}
	return nil
}

// isOf reports whether a field of the request is the one that lacks.
func (l lack) isOf(g, body *Field) bool {
	way := slices.Clone(l.up[1:])
	if body != nil {
		way = append(way, body.leaf)
		for _, parent := range slices.Backward(body.parents) {
			way = append(way, parent)
		}
	}
	slices.Reverse(way)
	return g.leaf == l.up[0] && slices.Equal(way, g.parents)
}
