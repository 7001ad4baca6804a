package bookstore_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
)

func TestLifeOfABook(t *testing.T) {
	client, ctx := dial(t), deadline(t)
	created, err := client.CreateBook(ctx, &pb.CreateBookRequest{
		Parent: "shelves/3", BookId: "mine", Book: &pb.Book{Title: "Mine", Tags: []string{"new"}, Pages: 10},
	})
	if err != nil {
		t.Fatal(err)
	}
	if created.GetName() != "shelves/3/books/mine" || created.GetEtag() == "" {
		t.Fatalf("created %v", created)
	}
	updated, err := client.UpdateBook(ctx, &pb.UpdateBookRequest{
		Book:       &pb.Book{Name: created.GetName(), Title: "Yours", Price: &pb.Money{Currency: "EUR"}},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"title", "price.currency", "tags"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := &pb.Book{
		Name: "shelves/3/books/mine", Title: "Yours", Pages: 10, Price: &pb.Money{Currency: "EUR"},
		CreateTime: created.GetCreateTime(),
	}
	if d := cmp.Diff(want, updated, protocmp.Transform(), protocmp.IgnoreFields(want, "etag", "update_time")); d != "" {
		t.Errorf("updated (-want +got):\n%s", d)
	}
	if updated.GetEtag() == created.GetEtag() {
		t.Error("the etag is the old one")
	}
	moved, err := client.MoveBook(ctx, &pb.MoveBookRequest{Name: updated.GetName(), OtherShelf: "shelves/2"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.GetBook(ctx, &pb.GetBookRequest{Name: "shelves/2/books/mine"})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(moved, got, protocmp.Transform()); d != "" {
		t.Errorf("moved (-want +got):\n%s", d)
	}
	if _, err := client.DeleteBook(ctx, &pb.DeleteBookRequest{Name: moved.GetName()}); err != nil {
		t.Fatal(err)
	}
	_, err = client.GetBook(ctx, &pb.GetBookRequest{Name: moved.GetName()})
	wantCode(t, err, codes.NotFound)
}

func TestPages(t *testing.T) {
	client, ctx := dial(t), deadline(t)
	for range 10 {
		if _, err := client.CreateBook(ctx, &pb.CreateBookRequest{Parent: "shelves/3", Book: &pb.Book{Title: "T"}}); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	for token, pages := "", 0; ; pages++ {
		got, err := client.ListBooks(ctx, &pb.ListBooksRequest{PageSize: 4, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, book := range got.GetBooks() {
			names = append(names, book.GetName())
		}
		if token = got.GetNextPageToken(); token == "" {
			break
		}
		if pages > 5 {
			t.Fatal("the pages do not end")
		}
	}
	want := []string{"shelves/1/books/1", "shelves/1/books/2", "shelves/2/books/1"}
	for _, id := range []string{"101", "102", "103", "104", "105", "106", "107", "108", "109", "110"} {
		want = append(want, "shelves/3/books/"+id)
	}
	if d := cmp.Diff(want, names); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
}

func TestSearch(t *testing.T) {
	client, ctx := dial(t), deadline(t)
	for name, tc := range map[string]struct {
		request *pb.SearchBooksRequest
		want    []string
	}{
		"everything":   {&pb.SearchBooksRequest{}, []string{"shelves/1/books/1", "shelves/1/books/2", "shelves/2/books/1"}},
		"a tag":        {&pb.SearchBooksRequest{Query: "SEA"}, []string{"shelves/1/books/1", "shelves/2/books/1"}},
		"two words":    {&pb.SearchBooksRequest{Query: "sea okoro"}, []string{"shelves/2/books/1"}},
		"a genre":      {&pb.SearchBooksRequest{Genres: []pb.Genre{pb.Genre_SCIENCE}}, []string{"shelves/2/books/1"}},
		"a label":      {&pb.SearchBooksRequest{Labels: map[string]string{"window": "yes"}}, []string{"shelves/1/books/1"}},
		"out of stock": {&pb.SearchBooksRequest{InStock: proto.Bool(false)}, []string{"shelves/1/books/2"}},
		"cheap":        {&pb.SearchBooksRequest{MaxPrice: &pb.Money{Currency: "EUR", Units: 10}}, []string{"shelves/1/books/2"}},
		"late":         {&pb.SearchBooksRequest{PublishedAfter: &timestamppb.Timestamp{Seconds: 1500000000}}, []string{"shelves/2/books/1"}},
		"nothing":      {&pb.SearchBooksRequest{Query: "no such word"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := client.SearchBooks(ctx, tc.request)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, book := range got.GetBooks() {
				names = append(names, book.GetName())
			}
			if d := cmp.Diff(tc.want, names); d != "" {
				t.Errorf("names (-want +got):\n%s", d)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	client, ctx := dial(t), deadline(t)
	for name, tc := range map[string]struct {
		call func(context.Context) error
		want codes.Code
	}{
		"book name of another form": {func(ctx context.Context) error {
			_, err := client.GetBook(ctx, &pb.GetBookRequest{Name: "books/1"})
			return err
		}, codes.InvalidArgument},
		"no such shelf": {func(ctx context.Context) error {
			_, err := client.GetShelf(ctx, &pb.GetShelfRequest{Name: "shelves/none"})
			return err
		}, codes.NotFound},
		"shelf not empty": {func(ctx context.Context) error {
			_, err := client.DeleteShelf(ctx, &pb.DeleteShelfRequest{Name: "shelves/1"})
			return err
		}, codes.FailedPrecondition},
		"id taken": {func(ctx context.Context) error {
			_, err := client.CreateBook(ctx, &pb.CreateBookRequest{Parent: "shelves/1", BookId: "1", Book: &pb.Book{Title: "T"}})
			return err
		}, codes.AlreadyExists},
		"no title": {func(ctx context.Context) error {
			_, err := client.CreateBook(ctx, &pb.CreateBookRequest{Parent: "shelves/1"})
			return err
		}, codes.InvalidArgument},
		"old etag": {func(ctx context.Context) error {
			_, err := client.UpdateBook(ctx, &pb.UpdateBookRequest{Book: &pb.Book{Name: "shelves/1/books/1", Title: "T", Etag: "old"}})
			return err
		}, codes.Aborted},
		"mask of no field": {func(ctx context.Context) error {
			_, err := client.GetBook(ctx, &pb.GetBookRequest{
				Name: "shelves/1/books/1", ReadMask: &fieldmaskpb.FieldMask{Paths: []string{"price.nothing"}},
			})
			return err
		}, codes.InvalidArgument},
		"token of nobody": {func(ctx context.Context) error {
			_, err := client.ListBooks(ctx, &pb.ListBooksRequest{PageToken: "!"})
			return err
		}, codes.InvalidArgument},
		"no cover": {func(ctx context.Context) error {
			_, err := client.GetCover(ctx, &pb.GetCoverRequest{Name: "shelves/2/books/1"})
			return err
		}, codes.NotFound},
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, tc.call(ctx), tc.want) })
	}
}

func TestFailTellsDetails(t *testing.T) {
	client, ctx := dial(t), deadline(t)
	_, err := client.Fail(ctx, &pb.FailRequest{Code: 5002, Message: "odd", Rich: true})
	st := status.Convert(err)
	if uint32(st.Code()) != 5002 || st.Message() != "odd" || len(st.Details()) != 3 {
		t.Errorf("got %v with %d details", st, len(st.Details()))
	}
	_, err = client.Fail(ctx, &pb.FailRequest{})
	wantCode(t, err, codes.Internal)
}

func TestEcho(t *testing.T) {
	client, ctx := dial(t), deadline(t)
	want := &pb.Specimen{Int64Value: -1, OptionalString: proto.String(""), EnumMap: map[int32]pb.Genre{7: pb.Genre_HISTORY}}
	got, err := client.Echo(ctx, &pb.EchoRequest{Specimen: want})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got.GetSpecimen(), protocmp.Transform()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
