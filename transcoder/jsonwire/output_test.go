package jsonwire_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/transom-gateway/transom/transcoder/jsonwire"
	"github.com/transom-gateway/transom/transcoder/jsonwire/internal/testpb"
)

func appendJSON(t *testing.T, m proto.Message, o jsonwire.Output) (string, error) {
	t.Helper()
	wire, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	out, err := everythingPlan().AppendJSON(nil, wire, o)
	return string(out), err
}

// TestSemantics29Int64Numbers: 64-bit integers as JSON numbers, everywhere.
func TestSemantics29Int64Numbers(t *testing.T) {
	m := &testpb.Everything{}
	in := `{"fInt64":"-5","fUint64":"18446744073709551615","fFixed64":"7","rSint64":["1","2"],"wInt64":"3","mSint64":{"4":"5"}}`
	if err := protojson.Unmarshal([]byte(in), m); err != nil {
		t.Fatal(err)
	}
	out, err := appendJSON(t, m, jsonwire.Output{OmitDefaults: true, Int64Numbers: true})
	want := `{"fInt64":-5,"fUint64":18446744073709551615,"fFixed64":7,"rSint64":[1,2],"mSint64":{"4":5},"wInt64":3}`
	if err != nil || !sameJSON([]byte(out), []byte(want)) {
		t.Errorf("got %s, %v", out, err)
	}
	out, err = appendJSON(t, &testpb.Everything{}, jsonwire.Output{Int64Numbers: true, EnumNumbers: true})
	if err != nil || !strings.Contains(out, `"fInt64":0,`) || !strings.Contains(out, `"fEnum":0,`) || !strings.Contains(out, `"fInt32":0,`) {
		t.Errorf("got %s, %v", out, err)
	}
}

// TestSemantics26LenientAny: an Any that cannot be read never loses the error
// around it.
func TestSemantics26LenientAny(t *testing.T) {
	book := mustAny(t, &testpb.Book{Name: "n"})
	broken := mustAny(t, &testpb.Book{Name: "n"})
	broken.Value = []byte{0xff}
	unknown := mustAny(t, &testpb.Book{Name: "n"})
	unknown.TypeUrl = "example.com/none.Such"
	inner := mustAny(t, &testpb.Everything{FString: "in", Any: unknown})
	m := &testpb.Everything{FString: "out", RAny: append([]*anypb.Any{book, broken, unknown, inner}, &anypb.Any{})}
	if _, err := appendJSON(t, m, jsonwire.Output{OmitDefaults: true}); err == nil {
		t.Error("an unknown type was accepted")
	}
	out, err := appendJSON(t, m, jsonwire.Output{OmitDefaults: true, LenientAny: true})
	want := `{"fString":"out","rAny":[{"@type":"type.googleapis.com/transom.jsonwire.test.Book","name":"n"},
		{"@type":"type.googleapis.com/transom.jsonwire.test.Book","value":"/w=="},
		{"@type":"example.com/none.Such","value":"CgFu"},
		{"@type":"type.googleapis.com/transom.jsonwire.test.Everything","fString":"in","any":{"@type":"example.com/none.Such","value":"CgFu"}},{}]}`
	if err != nil || !sameJSON([]byte(out), []byte(want)) {
		t.Errorf("got %s, %v", out, err)
	}
}

// TestFloats compares the text of floats with protojson's.
//
//transom:norace
func TestFloats(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 20000 {
		var f float64
		switch i % 5 {
		case 0:
			f = math.Float64frombits(r.Uint64())
		case 1:
			f = float64(r.IntN(2e9)-1e9) / 1e4
		case 2:
			f = float64(r.IntN(1e6)) / math.Pow10(r.IntN(12))
		case 3:
			f = math.Ldexp(r.Float64(), r.IntN(200)-100)
		case 4:
			f = float64(r.Int64()) / 1e3
		}
		m := &testpb.Everything{FDouble: f, FFloat: float32(f)}
		want, err := protojson.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := appendJSON(t, m, jsonwire.Output{OmitDefaults: true})
		if err != nil || strings.ReplaceAll(string(want), " ", "") != got && !sameJSON(want, []byte(got)) {
			t.Fatalf("%v: got %s, %v, want %s", f, got, err, want)
		}
		wire, err := everythingPlan().AppendWire(nil, []byte(got), jsonwire.Input{})
		if err != nil {
			t.Fatal(err)
		}
		var back testpb.Everything
		if err := proto.Unmarshal(wire, &back); err != nil || !proto.Equal(&back, m) {
			t.Fatalf("%s came back as %v, %v", got, &back, err)
		}
	}
}

// TestTimestamps compares seconds and fractions over all years with package
// time, both ways.
//
//transom:norace
func TestTimestamps(t *testing.T) {
	plan := everythingPlan()
	first, last := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).Unix(), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).Unix()
	nanos := []int32{0, 1, 500000000, 123456000, 999999999, 10000000}
	for at, i := first, 0; at <= last; at, i = at+59*86400-1, i+1 {
		n := nanos[i%len(nanos)]
		m := &testpb.Everything{Timestamp: &timestamppb.Timestamp{Seconds: at, Nanos: n}}
		wire, _ := proto.Marshal(m)
		out, err := plan.AppendJSON(nil, wire, jsonwire.Output{OmitDefaults: true})
		if err != nil {
			t.Fatal(err)
		}
		var text struct{ Timestamp string }
		if err := json.Unmarshal(out, &text); err != nil {
			t.Fatal(err)
		}
		parsed, err := time.Parse(time.RFC3339Nano, text.Timestamp)
		if err != nil || parsed.Unix() != at || parsed.Nanosecond() != int(n) {
			t.Fatalf("%d.%09d was written %s", at, n, text.Timestamp)
		}
		back, err := plan.AppendWire(nil, out, jsonwire.Input{})
		if err != nil || string(back) != string(wire) {
			t.Fatalf("%s came back as %x, %v, want %x", out, back, err, wire)
		}
	}
	for _, bad := range []*testpb.Everything{
		{Timestamp: &timestamppb.Timestamp{Seconds: last + 1}}, {Timestamp: &timestamppb.Timestamp{Seconds: first - 1}},
		{Timestamp: &timestamppb.Timestamp{Nanos: -1}}, {Timestamp: &timestamppb.Timestamp{Nanos: 1e9}},
		{Duration: &durationpb.Duration{Seconds: 1, Nanos: -1}}, {Duration: &durationpb.Duration{Seconds: 315576000001}},
	} {
		if out, err := appendJSON(t, bad, jsonwire.Output{}); err == nil {
			t.Errorf("%v was written %s", bad, out)
		}
	}
}
