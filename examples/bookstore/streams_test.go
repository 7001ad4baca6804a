package bookstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
)

func TestWatchSendsWhatIsThereThenTicks(t *testing.T) {
	client, ctx := dial(t), deadline(t)
	stream, err := client.WatchBooks(ctx, &pb.WatchBooksRequest{Parent: "shelves/1", Count: 100, Interval: &durationpb.Duration{}})
	if err != nil {
		t.Fatal(err)
	}
	all, err := receiveAll(t, stream)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 102 {
		t.Fatalf("got %d messages, want 2 books and 100 ticks", len(all))
	}
	for i, m := range all {
		want := pb.WatchBooksResponse_TICK
		if i < 2 {
			want = pb.WatchBooksResponse_EXISTING
		}
		if m.GetKind() != want || m.GetSequence() != uint64(i+1) {
			t.Fatalf("message %d is %v", i, m)
		}
	}
}

func TestWatchSeesChanges(t *testing.T) {
	client, ctx := dial(t), deadline(t)
	stream, err := client.WatchBooks(ctx, &pb.WatchBooksRequest{
		Parent: "shelves/2", Count: 3, Interval: &durationpb.Duration{Seconds: 3600}, FailCode: int32(codes.DataLoss),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil { // The watch is set once this is here.
		t.Fatal(err)
	}
	book, err := client.CreateBook(ctx, &pb.CreateBookRequest{Parent: "shelves/2", Book: &pb.Book{Title: "T"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.UpdateBook(ctx, &pb.UpdateBookRequest{Book: &pb.Book{Name: book.GetName(), Title: "U"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.DeleteShelf(ctx, &pb.DeleteShelfRequest{Name: "shelves/1", Force: true}); err != nil {
		t.Fatal(err) // Another shelf: not seen.
	}
	if _, err := client.DeleteBook(ctx, &pb.DeleteBookRequest{Name: book.GetName()}); err != nil {
		t.Fatal(err)
	}
	all, err := receiveAll(t, stream)
	wantCode(t, err, codes.DataLoss)
	want := []pb.WatchBooksResponse_Kind{
		pb.WatchBooksResponse_ADDED, pb.WatchBooksResponse_CHANGED, pb.WatchBooksResponse_REMOVED,
	}
	if len(all) != len(want) {
		t.Fatalf("got %v", all)
	}
	for i, m := range all {
		if m.GetKind() != want[i] || m.GetBook().GetName() != book.GetName() {
			t.Errorf("message %d is %v, want %v of %s", i, m, want[i], book.GetName())
		}
	}
}

func TestWatchEndsWithItsCaller(t *testing.T) {
	client := dial(t)
	ctx, cancel := context.WithCancel(deadline(t))
	stream, err := client.WatchBooks(ctx, &pb.WatchBooksRequest{Parent: "shelves/1", Interval: &durationpb.Duration{Seconds: 3600}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	cancel()
	_, err = receiveAll(t, stream)
	wantCode(t, err, codes.Canceled)
}

func TestImport(t *testing.T) {
	client, ctx := dial(t), deadline(t)
	stream, err := client.ImportBooks(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		r := &pb.ImportBooksRequest{Book: &pb.Book{Title: "T"}}
		if i == 0 {
			r.Parent = "shelves/3"
		}
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
	}
	got, err := stream.CloseAndRecv()
	if err != nil {
		t.Fatal(err)
	}
	if got.GetCount() != 5 || got.GetNames()[4] != "shelves/3/books/105" {
		t.Errorf("got %v", got)
	}
}

func TestImportStopsAtABadBook(t *testing.T) {
	client, ctx := dial(t), deadline(t)
	stream, err := client.ImportBooks(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&pb.ImportBooksRequest{Parent: "shelves/3"}); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	_, err = stream.CloseAndRecv()
	wantCode(t, err, codes.InvalidArgument)
}

func TestDiscuss(t *testing.T) {
	client, ctx := dial(t), deadline(t)
	stream, err := client.Discuss(ctx)
	if err != nil {
		t.Fatal(err)
	}
	say := func(r *pb.DiscussRequest) {
		t.Helper()
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
	}
	say(&pb.DiscussRequest{Remark: &pb.DiscussRequest_Text{Text: "hello"}})
	if got, err := stream.Recv(); err != nil || got.GetText() != "You said: hello" {
		t.Fatalf("got %v, %v", got, err)
	}
	say(&pb.DiscussRequest{Remark: &pb.DiscussRequest_Monologue{Monologue: 3}})
	for i := range 3 {
		if got, err := stream.Recv(); err != nil || got.GetSequence() != uint64(i+2) {
			t.Fatalf("got %v, %v", got, err)
		}
	}
	say(&pb.DiscussRequest{Remark: &pb.DiscussRequest_Failure{Failure: &pb.FailRequest{Code: int32(codes.OutOfRange)}}})
	_, err = stream.Recv()
	wantCode(t, err, codes.OutOfRange)
}

func TestContentComesBackAsItWent(t *testing.T) {
	client, ctx := dial(t), deadline(t)
	up, err := client.WriteContent(ctx)
	if err != nil {
		t.Fatal(err)
	}
	text := bytes.Repeat([]byte("0123456789"), 1000)
	for i, rest := 0, text; len(rest) > 0; i++ {
		n := min(3333, len(rest))
		piece := &pb.WriteContentRequest{Content: &httpbody.HttpBody{Data: rest[:n]}}
		if i == 0 {
			piece.Name, piece.Content.ContentType = "shelves/2/books/1", "text/plain"
		}
		if err := up.Send(piece); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	done, err := up.CloseAndRecv()
	if err != nil {
		t.Fatal(err)
	}
	if done.GetSize() != 10000 || done.GetChunks() != 4 {
		t.Errorf("got %v", done)
	}
	down, err := client.ReadContent(ctx, &pb.ReadContentRequest{Name: "shelves/2/books/1", ChunkSize: 4096})
	if err != nil {
		t.Fatal(err)
	}
	pieces, err := receiveAll(t, down)
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	for _, piece := range pieces {
		got = append(got, piece.GetData()...)
	}
	if !bytes.Equal(got, text) || pieces[0].GetContentType() != "text/plain" || len(pieces) != 3 {
		t.Errorf("got %d bytes in %d pieces of %q", len(got), len(pieces), pieces[0].GetContentType())
	}
}

func TestCoverComesBackAsItWent(t *testing.T) {
	client, ctx := dial(t), deadline(t)
	picture := []byte{0xff, 0xd8, 0, 1, 2}
	if _, err := client.SetCover(ctx, &pb.SetCoverRequest{
		Name: "shelves/1/books/2", Cover: &httpbody.HttpBody{ContentType: "image/jpeg", Data: picture},
	}); err != nil {
		t.Fatal(err)
	}
	got, err := client.GetCover(ctx, &pb.GetCoverRequest{Name: "shelves/1/books/2"})
	if err != nil {
		t.Fatal(err)
	}
	if got.GetContentType() != "image/jpeg" || !bytes.Equal(got.GetData(), picture) {
		t.Errorf("got %v", got)
	}
}
