//go:build !race

package canonical

import (
	"bytes"
	"runtime"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"
)

// TestMemory: Traffic 113: what the form takes is in proportion to the message, and small, however
// a client has written it: 4 MB of empty map entries once took 243.
//
//transom:norace
func TestMemory(t *testing.T) {
	const size, most = 1 << 20, 16
	object, value, list := New((&structpb.Struct{}).ProtoReflect().Descriptor()), New((&structpb.Value{}).ProtoReflect().Descriptor()), New((&structpb.ListValue{}).ProtoReflect().Descriptor())
	for name, test := range map[string]struct {
		form    *Form
		message []byte
	}{
		"empty map entries":           {object, bytes.Repeat([]byte{0x0a, 0x00}, size/2)},
		"map entries with one key":    {object, bytes.Repeat([]byte{0x0a, 0x03, 0x0a, 0x01, 'a'}, size/5)},
		"members of a oneof":          {value, bytes.Repeat([]byte{0x08, 0x00, 0x20, 0x01}, size/4)},
		"pieces of a message":         {value, bytes.Repeat([]byte{0x32, 0x00}, size/2)},
		"empty elements":              {list, append(bytes.Repeat([]byte{0x0a, 0x00}, size/2), 0x0a, 0x04, 0x20, 0x01, 0x08, 0x00)},
		"unknown fields":              {list, append(bytes.Repeat([]byte{0x10, 0x00}, size/2), 0x0a, 0x00)},
		"unknown fields and elements": {list, bytes.Repeat([]byte{0x10, 0x00, 0x0a, 0x00}, size/4)},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := test.form.Append(nil, test.message)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; err != nil || took > most*size {
			t.Errorf("%s: %d bytes for a message of %d, want %d times as many at most; %v", name, took, len(test.message), most, err)
		}
	}
}
