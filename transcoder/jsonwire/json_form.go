package jsonwire

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
)

// jsonForm is how a field is written in JSON.
type jsonForm struct {
	// null: null is a value of the field (google.protobuf.Value, NullValue).
	null bool
	// keys are the quoted names with a colon: JSON's and proto's. opened are the
	// same with what every value of the field begins with: a quote, a bracket.
	keys   [2]string
	opened [2]fixedText
	// head and tail are the first and the last eight bytes of the JSON key, as
	// little-endian words; of a shorter key head is all, and mask covers it.
	head, mask, tail uint64
	// unset is the field as the settings write it when it is not set, with its key
	// and comma, nil for not at all: [omit, defaults, nulls][JSON, proto].
	unset [3][2]*fixedText
}

// setKeys sets the names.
func (f *fieldPlan) setKeys() {
	f.keys = [2]string{quoteKey(f.desc.JSONName()), quoteKey(f.desc.TextName())}
	var word [8]byte
	copy(word[:], f.keys[0])
	f.head, f.mask = binary.LittleEndian.Uint64(word[:]), math.MaxUint64
	if n := len(f.keys[0]); n < 8 {
		f.mask = 1<<(8*n) - 1
	} else {
		f.tail = binary.LittleEndian.Uint64([]byte(f.keys[0][n-8:]))
	}
	for i, key := range f.keys {
		f.opened[i] = *newFixedText(key + f.opening())
	}
}

// opening is what every value of the field begins with.
func (f *fieldPlan) opening() string {
	switch {
	case f.card == list:
		return "["
	case f.card == mapping:
		return "{"
	case f.op == opString:
		return `"`
	}
	return ""
}

// setUnset sets what stands for a field that is not set.
func (f *fieldPlan) setUnset() {
	zero := f.zeroText()
	for i, key := range f.keys {
		if i > 0 && key == f.keys[0] {
			f.unset[unsetZero][i], f.unset[unsetNull][i] = f.unset[unsetZero][0], f.unset[unsetNull][0]
			continue
		}
		if f.desc.HasPresence() {
			f.unset[unsetNull][i] = newFixedText(key + "null,")
			continue
		}
		text := newFixedText(key + zero + ",")
		f.unset[unsetZero][i], f.unset[unsetNull][i] = text, text
	}
}

// zeroText is the JSON of the field's zero, with names of enums and quoted
// 64-bit integers.
func (f *fieldPlan) zeroText() string {
	switch f.card {
	case list:
		return "[]"
	case mapping:
		return "{}"
	}
	switch f.op {
	case opBool:
		return "false"
	case opString, opBytes:
		return `""`
	case opEnum:
		return f.enum.text(int32(f.desc.Default().Enum()))
	case opNull:
		return "null"
	case opInt64, opSint64, opUint64, opSfixed64, opFixed64:
		return `"0"`
	case opMessage, opGroup:
		return "null"
	}
	return "0"
}

// defaultText is the JSON of what the field holds while it is not set.
func (f *fieldPlan) defaultText() string {
	if !f.desc.HasDefault() || f.card != single {
		return f.zeroText()
	}
	v := f.desc.Default()
	switch f.op {
	case opBool:
		return strconv.FormatBool(v.Bool())
	case opString:
		quoted, _ := appendString(nil, []byte(v.String()))
		return string(quoted)
	case opBytes:
		return `"` + base64.StdEncoding.EncodeToString(v.Bytes()) + `"`
	case opEnum:
		return f.enum.text(int32(v.Enum()))
	case opFloat:
		return string(appendFloat(nil, v.Float(), 32))
	case opDouble:
		return string(appendFloat(nil, v.Float(), 64))
	case opInt64, opSint64, opUint64, opSfixed64, opFixed64:
		return `"` + v.String() + `"`
	}
	return v.String()
}

func quoteKey(name string) string {
	quoted, _ := appendString(nil, []byte(name)) // names of descriptors are UTF-8
	return string(quoted) + ":"
}
