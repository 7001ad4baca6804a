package jsonwire_test

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/transom-gateway/transom/transcoder/jsonwire"
	"github.com/transom-gateway/transom/transcoder/jsonwire/internal/testpb"
)

// smallBook is about 0.3 KB of JSON, bigBook about 1 KB, a list about 50 KB.
func smallBook(i int) *testpb.Book {
	return &testpb.Book{
		Name:      fmt.Sprintf("shelves/%d/books/%d", i%7, 1000+i),
		Title:     "The Left Hand of Darkness",
		Author:    "Ursula K. Le Guin",
		Isbn:      9780441478125 + int64(i),
		Pages:     304,
		Price:     12.99,
		InStock:   i%3 != 0,
		Genre:     testpb.Genre_GENRE_SCIENCE,
		Tags:      []string{"science-fiction", "classic"},
		CreatedAt: &timestamppb.Timestamp{Seconds: 1700000000 + int64(i)*86400, Nanos: 123000000},
	}
}

func bigBook(i int) *testpb.Book {
	b := smallBook(i)
	b.Labels = map[string]string{"format": "paperback", "language": "en-GB", "region": "eu-west-1"}
	b.Ratings = []int32{5, 4, 5, 3, 5, 1}
	b.Publisher = &testpb.Publisher{DisplayName: "Ace Books", CountryCode: "US", Founded: 1952}
	b.Description = "A lone human emissary is sent to Winter, an alien world without sexual prejudice, where the inhabitants can choose their gender."
	b.Edition = proto.Int32(3)
	b.Reviews = []*testpb.Review{
		{User: "users/17", Stars: 5, Text: "Reads as if it had been written this year.", PostedAt: &timestamppb.Timestamp{Seconds: 1690000000}},
		{User: "users/23", Stars: 4, Text: "Slow at first, then impossible to put down.", PostedAt: &timestamppb.Timestamp{Seconds: 1695000000}},
	}
	return b
}

func benchMessages() []struct {
	name    string
	message proto.Message
} {
	list := &testpb.ListBooksResponse{NextPageToken: "CAISBHBhZ2U", TotalSize: 1234}
	for i := range 50 {
		list.Books = append(list.Books, bigBook(i))
	}
	return []struct {
		name    string
		message proto.Message
	}{
		{"0.3KB", smallBook(1)},
		{"1KB", bigBook(1)},
		{"50KB", list},
	}
}

// BenchmarkWireToJSON compares with protojson, from the same bytes to the same
// JSON.
func BenchmarkWireToJSON(b *testing.B) {
	plans := jsonwire.NewPlans(jsonwire.TypeResolver{Types: protoregistry.GlobalTypes})
	for _, c := range benchMessages() {
		wire, err := proto.Marshal(c.message)
		if err != nil {
			b.Fatal(err)
		}
		d := c.message.ProtoReflect().Descriptor()
		options := protojson.MarshalOptions{EmitDefaultValues: true}
		b.Run(c.name+"/jsonwire", func(b *testing.B) {
			plan := plans.Message(d)
			var out []byte
			b.ReportAllocs()
			for b.Loop() {
				if out, err = plan.AppendJSON(out[:0], wire, jsonwire.Output{}); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(out)))
		})
		b.Run(c.name+"/protojson-generated", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m := c.message.ProtoReflect().New().Interface()
				if err := proto.Unmarshal(wire, m); err != nil {
					b.Fatal(err)
				}
				if _, err := options.Marshal(m); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(c.name+"/protojson-dynamic", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m := dynamicpb.NewMessage(d)
				if err := proto.Unmarshal(wire, m); err != nil {
					b.Fatal(err)
				}
				if _, err := options.Marshal(m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkJSONToWire compares with protojson, from the same JSON to the same
// message on the wire.
func BenchmarkJSONToWire(b *testing.B) {
	plans := jsonwire.NewPlans(jsonwire.TypeResolver{Types: protoregistry.GlobalTypes})
	for _, c := range benchMessages() {
		d := c.message.ProtoReflect().Descriptor()
		wire, err := proto.Marshal(c.message)
		if err != nil {
			b.Fatal(err)
		}
		in, err := plans.Message(d).AppendJSON(nil, wire, jsonwire.Output{})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.name+"/jsonwire", func(b *testing.B) {
			plan := plans.Message(d)
			var out []byte
			b.ReportAllocs()
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				if out, err = plan.AppendWire(out[:0], in, jsonwire.Input{}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(c.name+"/protojson-generated", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m := c.message.ProtoReflect().New().Interface()
				if err := protojson.Unmarshal(in, m); err != nil {
					b.Fatal(err)
				}
				if _, err := proto.Marshal(m); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(c.name+"/protojson-dynamic", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m := dynamicpb.NewMessage(d)
				if err := protojson.Unmarshal(in, m); err != nil {
					b.Fatal(err)
				}
				if _, err := proto.Marshal(m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
