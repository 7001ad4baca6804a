package jsonwire

import (
	"strconv"

	"github.com/transom-gateway/transom/internal/nearest"
)

// quote quotes hostile text for a person.
func quote(s string) string { return strconv.Quote(clip(s)) }

// near returns the JSON name of a field that is spelled much like name, or "".
func (p *Plan) near(name string) string {
	var names []string
	for _, f := range p.fields {
		names = append(names, f.desc.JSONName(), f.desc.TextName())
	}
	near := nearest.Of(names, name)
	for _, f := range p.fields {
		if near == f.desc.TextName() {
			return f.desc.JSONName()
		}
	}
	return near
}
