package bookstore

import (
	_ "embed"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
)

// cover is a picture of 8 × 12 pixels, PNG.
//
//go:embed cover.png
var cover []byte

// opening is the text of the first book, some kilobytes.
//
//go:embed opening.txt
var opening []byte

// openTime is when the first shelves went up: fixed, so that what is seeded is
// the same at every start.
var openTime = time.Date(2026, time.January, 5, 9, 0, 0, 0, time.UTC)

// seed puts up the first shelves: 1 with fiction, 2 with science, 3 empty.
func (s *Server) seed() {
	for _, sh := range []struct{ name, theme string }{
		{"shelves/1", "Fiction"},
		{"shelves/2", "Science"},
		{"shelves/3", "New arrivals"},
	} {
		s.putUp(sh.name, sh.theme, openTime)
	}
	for name, books := range map[string][]*pb.Book{"shelves/1": fiction(), "shelves/2": science()} {
		for _, book := range books {
			book.Name = name + "/books/" + book.GetName()
			book.CreateTime = timestamppb.New(openTime)
			stamp(book, openTime)
			s.shelves[name].books[book.GetName()] = &stock{book: book}
		}
	}
	first := s.shelves["shelves/1"].books["shelves/1/books/1"]
	first.cover = blob{contentType: "image/png", data: cover}
	first.content = blob{contentType: "text/plain; charset=utf-8", data: opening}
	s.lastID = 100 // So that new ids are told from the first ones at a glance.
}

func fiction() []*pb.Book {
	return []*pb.Book{
		{
			Name:        "1",
			Title:       "The Lighthouse Ledger",
			Authors:     []*pb.Author{{DisplayName: "Ada Marsh", BirthYear: proto.Int32(1961)}},
			Genre:       pb.Genre_FICTION,
			Isbn:        "978-0-00-000001-1",
			Pages:       312,
			Sold:        9007199254740993, // One more than a double can hold.
			Rating:      4.5,
			Weight:      0.42,
			InStock:     true,
			Tags:        []string{"sea", "mystery", "letters"},
			Labels:      map[string]string{"window": "yes", "edition": "second"},
			Reviews:     map[string]*pb.Review{"june": {Stars: 5, Text: "Read it in one night."}},
			PublishTime: timestamppb.New(time.Date(1998, time.March, 14, 0, 0, 0, 0, time.UTC)),
			ReadingTime: durationpb.New(9*time.Hour + 30*time.Minute),
			Price:       &pb.Money{Currency: "EUR", Units: 12, Nanos: 500_000_000},
			Format: &pb.Book_Paper{Paper: &pb.Paper{
				Binding: pb.Paper_HARDCOVER, Height: 210, Width: 135,
			}},
			OriginalLanguage: wrapperspb.String("en"),
			Subtitle:         proto.String("A Novel in Entries"),
			Extra: &structpb.Struct{Fields: map[string]*structpb.Value{
				"printings":   structpb.NewNumberValue(4),
				"illustrated": structpb.NewBoolValue(false),
			}},
		},
		{
			Name:        "2",
			Title:       "Ein Winter ohne Uhren",
			Authors:     []*pb.Author{{DisplayName: "Jörg Weiß"}, {DisplayName: "Mei Tanaka"}},
			Genre:       pb.Genre_FICTION,
			Isbn:        "978-0-00-000002-8",
			Pages:       198,
			Sold:        1204,
			Rating:      3.75,
			Tags:        []string{"winter"},
			PublishTime: timestamppb.New(time.Date(2011, time.November, 2, 0, 0, 0, 0, time.UTC)),
			Price:       &pb.Money{Currency: "EUR", Units: 9, Nanos: 990_000_000},
			Format: &pb.Book_Audio{Audio: &pb.Audio{
				Narrator: "Lena Brandt", Length: durationpb.New(6*time.Hour + 12*time.Minute),
			}},
			OriginalLanguage: wrapperspb.String("de"),
		},
	}
}

func science() []*pb.Book {
	return []*pb.Book{
		{
			Name:        "1",
			Title:       "Tides, Explained",
			Authors:     []*pb.Author{{DisplayName: "Samuel Okoro", BirthYear: proto.Int32(1974)}},
			Genre:       pb.Genre_SCIENCE,
			Isbn:        "978-0-00-000003-5",
			Pages:       256,
			Sold:        48210,
			Rating:      4.25,
			Weight:      0.55,
			InStock:     true,
			Tags:        []string{"sea", "physics"},
			Labels:      map[string]string{"window": "no"},
			PublishTime: timestamppb.New(time.Date(2019, time.June, 1, 0, 0, 0, 0, time.UTC)),
			Price:       &pb.Money{Currency: "EUR", Units: 24},
			Format:      &pb.Book_DownloadUri{DownloadUri: "https://books.example/tides.epub"},
		},
	}
}
