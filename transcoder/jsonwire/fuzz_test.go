package jsonwire_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// FuzzAppendJSON compares wire → JSON with protojson on any bytes.
func FuzzAppendJSON(f *testing.F) {
	ref, find := compiled(f)
	for _, c := range everythingJSON()[:40] {
		wire, err := ref.plans.Message(find("transom.jsonwire.test.Everything")).AppendWire(nil, []byte(c), jsonwire.Input{})
		if err == nil {
			f.Add(uint8(0), wire)
		}
	}
	f.Add(uint8(2), []byte("\x08\x01\x32\x00\x33\x0a\x01x\x34\xa0\x06\x05"))
	f.Add(uint8(3), []byte("\x18\x01\x23\x18\x02\x24\x23\x08\x01\x24"))
	f.Fuzz(func(t *testing.T, which uint8, wire []byte) {
		if nestedMore(wire, 900) {
			return // a deliberate difference: depth
		}
		name := differentialNames[int(which)%len(differentialNames)]
		if err := ref.compareJSON(find(name), wire); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})
}

// nestedMore reports whether so many groups could be open at once.
func nestedMore(wire []byte, depth int) bool {
	groups := 0
	for _, c := range wire {
		if protowire.Type(c&7) == protowire.StartGroupType || c == 2 {
			groups++
		}
	}
	return groups > depth || len(wire) > 1<<13
}

// FuzzAppendWire compares JSON → wire with protojson on any text.
func FuzzAppendWire(f *testing.F) {
	ref, find := compiled(f)
	for i, c := range everythingJSON() {
		if i < 80 || i%17 == 0 {
			f.Add(uint8(0), c)
		}
	}
	f.Add(uint8(2), `{"id":1,"name":"x","part":{"text":"a"},"[two.extra]":5,"[two.Holder.held]":"CRIMSON"}`)
	f.Add(uint8(3), `{"needed":1,"child":{"needed":2},"closed":"TWO","time":"2020-02-29T12:34:56Z"}`)
	f.Fuzz(func(t *testing.T, which uint8, in string) {
		if strings.Count(in, "{")+strings.Count(in, "[") > 100 || oddNumber(in) {
			return // deliberate differences: depth, and 1e
		}
		name := differentialNames[int(which)%len(differentialNames)]
		for _, ignore := range []bool{false, true} {
			if err := ref.compareWire(find(name), []byte(in), ignore); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// oddNumber reports whether the text may hold a number whose exponent has no digits.
func oddNumber(in string) bool {
	for i := 1; i < len(in); i++ {
		if in[i]|0x20 != 'e' || in[i-1] < '0' || in[i-1] > '9' {
			continue
		}
		rest := strings.TrimLeft(in[i+1:], "+-")
		if rest == "" || rest[0] < '0' || rest[0] > '9' {
			return true
		}
	}
	return false
}
