package jsonwire_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// BenchmarkRatio tells how many times faster than protojson with generated
// messages jsonwire is. Both run turn by turn in short batches and the fastest
// batch of each counts, so a busy machine shifts the figure little.
//
//	go test -run '^$' -bench Ratio -benchtime 1x ./transcoder/jsonwire
func BenchmarkRatio(b *testing.B) {
	plans := jsonwire.NewPlans(jsonwire.TypeResolver{Types: protoregistry.GlobalTypes})
	options := protojson.MarshalOptions{EmitDefaultValues: true}
	for _, c := range benchMessages() {
		wire, err := proto.Marshal(c.message)
		if err != nil {
			b.Fatal(err)
		}
		plan := plans.Message(c.message.ProtoReflect().Descriptor())
		in, err := plan.AppendJSON(nil, wire, jsonwire.Output{})
		if err != nil {
			b.Fatal(err)
		}
		var out []byte
		b.Run("WireToJSON/"+c.name, func(b *testing.B) {
			reportRatio(b, len(in), func() error {
				out, err = plan.AppendJSON(out[:0], wire, jsonwire.Output{})
				return err
			}, func() error {
				m := c.message.ProtoReflect().New().Interface()
				if err := proto.Unmarshal(wire, m); err != nil {
					return err
				}
				_, err := options.Marshal(m)
				return err
			})
		})
		b.Run("JSONToWire/"+c.name, func(b *testing.B) {
			reportRatio(b, len(in), func() error {
				out, err = plan.AppendWire(out[:0], in, jsonwire.Input{})
				return err
			}, func() error {
				m := c.message.ProtoReflect().New().Interface()
				if err := protojson.Unmarshal(in, m); err != nil {
					return err
				}
				_, err := proto.Marshal(m)
				return err
			})
		})
	}
}

func reportRatio(b *testing.B, size int, ours, theirs func() error) {
	const turns = 100
	calls := max(1, 20000/size)
	batch := func(f func() error, calls int) float64 {
		start := time.Now()
		for range calls {
			if err := f(); err != nil {
				b.Fatal(err)
			}
		}
		return float64(time.Since(start).Nanoseconds()) / float64(calls)
	}
	least, leastTheirs := batch(ours, calls), batch(theirs, calls)
	for b.Loop() {
		for range turns {
			least = min(least, batch(ours, 10*calls))
			leastTheirs = min(leastTheirs, batch(theirs, calls))
		}
	}
	b.ReportMetric(leastTheirs/least, "x")
	b.ReportMetric(least, "ns")
	b.ReportMetric(leastTheirs, "protojson-ns")
	b.ReportMetric(0, "ns/op")
}
