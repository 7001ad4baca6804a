package jsonwire

// MaskPaths returns the paths, in proto names, that the keys of a JSON object
// name: what an update mask holds that covers just what the body sets. It stops at
// lists, maps and messages with a JSON form of their own, and at empty objects. Unknown
// keys are left out: AppendWire is what refuses them.
func (p *Plan) MaskPaths(json []byte) ([]string, error) {
	d := newDecoder(p.plans, nil, json, Input{})
	paths, err := d.maskPaths(p, "", nil)
	if err == nil {
		err = d.end()
	}
	d.free()
	if err != nil {
		return nil, err
	}
	return paths, nil
}

func (d *decoder) maskPaths(p *Plan, parent string, paths []string) ([]string, error) {
	if d.space() != '{' {
		return paths, d.expected("an object of " + string(p.desc.FullName()))
	}
	if err := d.open(); err != nil {
		return paths, err
	}
	more := d.space() != '}'
	var err error
	if !more {
		_, err = d.more('}')
		if parent != "" {
			paths = append(paths, parent)
		}
	}
	for more {
		name, err := d.name()
		if err != nil {
			return paths, err
		}
		f, _ := p.names.find(name)
		if f == nil {
			d.space()
			if err := d.skip(); err != nil {
				return paths, err
			}
			if more, err = d.more('}'); err != nil {
				return paths, err
			}
			continue
		}
		path := string(f.desc.Name())
		if parent != "" {
			path = parent + "." + path
		}
		if c := d.space(); c == '{' && f.card == single && (f.op == opMessage || f.op == opGroup) && f.message().kind == plain {
			if paths, err = d.maskPaths(f.message(), path, paths); err != nil {
				return paths, below(err, f.desc.JSONName())
			}
		} else {
			if err := d.skip(); err != nil {
				return paths, below(err, f.desc.JSONName())
			}
			paths = append(paths, path)
		}
		if more, err = d.more('}'); err != nil {
			return paths, err
		}
	}
	return paths, err
}
