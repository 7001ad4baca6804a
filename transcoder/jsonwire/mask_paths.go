package jsonwire

// MaskPaths returns the paths, in proto names, that the keys of a JSON object
// name: what an update mask holds that covers just what the body sets. It stops at
// lists, maps and messages with a JSON form of their own, and at empty objects. Unknown
// keys are left out: AppendWire is what refuses them.
//
// Each path repeats the names above it, so that the paths of a deep object may be
// much larger than the object. They are bounded by maskAllowance and maskFactor.
func (p *Plan) MaskPaths(json []byte) ([]string, error) {
	d := newDecoder(p.plans, nil, json, Input{})
	w := maskWalk{decoder: d, left: maskAllowance + maskFactor*len(json)}
	err := w.object(p)
	if err == nil {
		err = d.end()
	}
	d.free()
	if err != nil {
		return nil, err
	}
	return w.paths, nil
}

// Bounds of the paths of one object together: so many bytes, and so many times its
// own size.
const (
	maskAllowance = 64 << 10
	maskFactor    = 8
)

// maskWalk collects the paths of an object.
type maskWalk struct {
	*decoder
	path  []byte // to the object at hand
	paths []string
	left  int // bytes of paths that may still come
}

func (w *maskWalk) object(p *Plan) error {
	if w.space() != '{' {
		return w.expected("an object of " + string(p.desc.FullName()))
	}
	if err := w.open(); err != nil {
		return err
	}
	if w.space() == '}' {
		if len(w.path) > 0 {
			if err := w.add(); err != nil {
				return err
			}
		}
		_, err := w.more('}')
		return err
	}
	for more := true; more; {
		name, err := w.name()
		if err != nil {
			return err
		}
		if f, _ := p.names.find(name); f != nil {
			err = w.field(f)
		} else {
			w.space()
			err = w.skip()
		}
		if err != nil {
			return err
		}
		if more, err = w.more('}'); err != nil {
			return err
		}
	}
	return nil
}

// field takes the paths of the value at the position.
func (w *maskWalk) field(f *fieldPlan) error {
	parent := len(w.path)
	if parent > 0 {
		w.path = append(w.path, '.')
	}
	w.path = append(w.path, f.desc.Name()...)
	defer func() { w.path = w.path[:parent] }()
	if c := w.space(); c == '{' && f.card == single && (f.op == opMessage || f.op == opGroup) && f.message().kind == plain {
		return below(w.object(f.message()), f.desc.JSONName())
	}
	if err := w.skip(); err != nil {
		return below(err, f.desc.JSONName())
	}
	return w.add()
}

// add notes the path at hand.
func (w *maskWalk) add() error {
	if w.left -= len(w.path); w.left < 0 {
		return w.fail("the field mask of these keys would be larger than %d bytes and %d times the body; send a mask of your own", maskAllowance, maskFactor)
	}
	w.paths = append(w.paths, string(w.path))
	return nil
}
