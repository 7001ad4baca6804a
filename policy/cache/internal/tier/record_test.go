package tier

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"
)

func sample() *Record {
	return &Record{
		Header: metadata.Pairs("cache-control", "max-age=60", "x-raw-bin", "\x00\xff"), Trailer: metadata.Pairs("a", "b", "a", "c"),
		Message: []byte("message"), Vary: []string{"Accept-Language"}, Age: time.Second, Fresh: time.Minute, WhileRevalidate: time.Minute, IfError: time.Hour,
		written: time.UnixMilli(1_700_000_000_000), life: time.Hour,
		stamps: []stamp{{All, newGeneration(0)}, {Tag("shelf:1"), newGeneration(7)}},
	}
}

// TestRecord: Traffic 129: what is written is read again.
func TestRecord(t *testing.T) {
	for _, r := range []*Record{sample(), {Marker: true, Vary: []string{"A"}, life: time.Second, Message: []byte{}, written: time.UnixMilli(0)},
		{NotFound: true, Text: "no such shelf", life: time.Second, Message: []byte{}, written: time.UnixMilli(0)}} {
		got, err := unmarshal(Key{}, r.marshal(Key{}))
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%+v, %v, want %+v", got, err, r)
		}
	}
}

// TestRefusedRecords: Traffic 129: bytes of others are refused.
func TestRefusedRecords(t *testing.T) {
	whole := sample().marshal(Key{})
	for n := range len(whole) - len("message") {
		if _, err := unmarshal(Key{}, whole[:n]); err == nil {
			t.Errorf("the first %d bytes are taken", n)
		}
	}
	other := bytes.Clone(whole)
	other[0]++
	if _, err := unmarshal(Key{}, other); err == nil {
		t.Error("another version is taken")
	}
	for what, edit := range map[string]func(r *Record){
		"a cookie":            func(r *Record) { r.Header = metadata.MD{"set-cookie": {"a=b"}} },
		"the protocol's":      func(r *Record) { r.Trailer = metadata.MD{"grpc-status": {"0"}} },
		"a line end":          func(r *Record) { r.Header = metadata.MD{"a": {"b\r\nc: d"}} },
		"no name":             func(r *Record) { r.Header = metadata.MD{"": {"b"}} },
		"upper case":          func(r *Record) { r.Header = metadata.MD{"A": {"b"}} },
		"a name with a colon": func(r *Record) { r.Vary = []string{"a:"} },
		"too many names":      func(r *Record) { r.Vary = strings.Split(strings.Repeat("a ", maxVary)+"a", " ") },
		"too long a life":     func(r *Record) { r.life = MaxLife + time.Second },
		"no life":             func(r *Record) { r.life = 0 },
		"an age below zero":   func(r *Record) { r.Age = -time.Second },
		"a time of centuries": func(r *Record) { r.Fresh = 10 * maxTime },
		"a stamp twice":       func(r *Record) { r.stamps = append(r.stamps, r.stamps[0]) },
		"an empty marker":     func(r *Record) { *r = Record{Marker: true, life: time.Second} },
	} {
		r := sample()
		if edit(r); true {
			if _, err := unmarshal(Key{}, r.marshal(Key{})); err == nil {
				t.Errorf("%s is taken", what)
			}
		}
	}
}

// TestAge: Traffic 129: neither a clock that is wrong makes an answer younger, nor a Redis
// that was stopped.
func TestAge(t *testing.T) {
	for _, test := range []struct {
		name        string
		left, later time.Duration
		over        time.Duration
	}{
		{"as it should be", 50 * time.Minute, 10 * time.Minute, 10 * time.Minute},
		{"a clock behind", 50 * time.Minute, -time.Hour, 10 * time.Minute},
		{"a clock ahead", 50 * time.Minute, 20 * time.Minute, 20 * time.Minute},
		{"Redis was stopped", time.Hour, 20 * time.Minute, 20 * time.Minute},
		{"more is left than there was", 2 * time.Hour, 0, 0},
	} {
		t.Run("Traffic 129: "+test.name, func(t *testing.T) {
			r, was := sample(), sample()
			if !r.age(test.left, r.written.Add(test.later)) || r.Age != was.Age+test.over || r.Fresh != was.Fresh-test.over || r.IfError != was.IfError-test.over {
				t.Errorf("age %v, fresh %v, if error %v", r.Age, r.Fresh, r.IfError)
			}
		})
	}
	for _, left := range []time.Duration{0, -1, -time.Second} {
		if r := sample(); r.age(left, r.written) {
			t.Errorf("%v is left, and it is of use", left)
		}
	}
	if r := sample(); r.age(time.Hour, r.written.Add(2*time.Hour)) {
		t.Error("it is of use after its time")
	}
}

// FuzzRecord: no bytes of a store harm the gateway, and what is read is written the same.
func FuzzRecord(f *testing.F) {
	f.Add(sample().marshal(Key{}))
	f.Add([]byte{version, flagMarker})
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := unmarshal(Key{}, raw)
		if err != nil {
			return
		}
		again, err := unmarshal(Key{}, r.marshal(Key{}))
		if err != nil || !reflect.DeepEqual(r, again) {
			t.Errorf("%+v was read, and then %+v, %v", r, again, err)
		}
	})
}

// FuzzParse: what the checksum of a record is over harms nobody either, for whoever can write
// to the store can write a right checksum; and what is read is written the same.
func FuzzParse(f *testing.F) {
	for _, r := range []*Record{sample(), {Marker: true, Vary: []string{"A"}, life: time.Second}, {NotFound: true, Text: "no such shelf", life: time.Second}} {
		f.Add(r.marshal(Key{})[bodyAt:])
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) == 0 {
			return // unmarshal refuses it
		}
		r, err := parse(raw)
		if err != nil {
			return
		}
		if r.life <= 0 || r.life > MaxLife || r.Age < 0 || len(r.stamps) > maxStamps || len(r.Vary) > maxVary || len(r.Header) > maxPairs {
			t.Errorf("%+v is taken", r)
		}
		again, err := parse(r.marshal(Key{})[bodyAt:])
		if err != nil || !reflect.DeepEqual(r, again) {
			t.Errorf("%+v was read, and then %+v, %v", r, again, err)
		}
	})
}

// FuzzMessage: messages of others are bounded, and read as they were written.
func FuzzMessage(f *testing.F) {
	tier := &Tier{self: [8]byte{1}}
	f.Add(tier.message([]Digest{All, Tag("a")}, true))
	f.Add(tier.message(nil, false))
	f.Add([]byte{messageVersion})
	f.Fuzz(func(t *testing.T, raw []byte) {
		about, wide, own, ok := tier.parse(raw)
		if !ok {
			return
		}
		if len(about) > maxTold {
			t.Errorf("%d digests", len(about))
		}
		if own && !bytes.Equal(tier.message(about, wide), raw) {
			t.Error("it is written in another way")
		}
	})
}
