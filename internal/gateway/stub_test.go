package gateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// Streams of the bookstore service.
type (
	watchStream   = grpc.ServerStreamingServer[pb.WatchBooksResponse]
	contentStream = grpc.ServerStreamingServer[httpbody.HttpBody]
	importStream  = grpc.ClientStreamingServer[pb.ImportBooksRequest, pb.ImportBooksResponse]
	uploadStream  = grpc.ClientStreamingServer[pb.WriteContentRequest, pb.WriteContentResponse]
	discussStream = grpc.BidiStreamingServer[pb.DiscussRequest, pb.DiscussResponse]
)

// stub is a real gRPC server whose methods do what the test says; one that is
// nil is UNIMPLEMENTED.
type stub struct {
	pb.UnimplementedBookstoreServiceServer
	search  func(context.Context, *pb.SearchBooksRequest) (*pb.SearchBooksResponse, error)
	watch   func(*pb.WatchBooksRequest, watchStream) error
	content func(*pb.ReadContentRequest, contentStream) error
	books   func(importStream) error
	upload  func(uploadStream) error
	discuss func(discussStream) error

	server *grpc.Server
}

var errNoMethod = status.Error(codes.Unimplemented, "the stub does not have it")

func (s *stub) SearchBooks(ctx context.Context, r *pb.SearchBooksRequest) (*pb.SearchBooksResponse, error) {
	if s.search == nil {
		return nil, errNoMethod
	}
	return s.search(ctx, r)
}

func (s *stub) WatchBooks(r *pb.WatchBooksRequest, stream watchStream) error {
	if s.watch == nil {
		return errNoMethod
	}
	return s.watch(r, stream)
}

func (s *stub) ReadContent(r *pb.ReadContentRequest, stream contentStream) error {
	if s.content == nil {
		return errNoMethod
	}
	return s.content(r, stream)
}

func (s *stub) ImportBooks(stream importStream) error {
	if s.books == nil {
		return errNoMethod
	}
	return s.books(stream)
}

func (s *stub) WriteContent(stream uploadStream) error {
	if s.upload == nil {
		return errNoMethod
	}
	return s.upload(stream)
}

func (s *stub) Discuss(stream discussStream) error {
	if s.discuss == nil {
		return errNoMethod
	}
	return s.discuss(stream)
}

// startStub starts a stub and a gateway in front of it.
func startStub(t testing.TB, s *stub, config string) *gatewaytest.Gateway {
	t.Helper()
	return startStubWith(t, s, gatewaytest.Options{Config: config})
}

// startStubWith is startStub with more to choose.
func startStubWith(t testing.TB, s *stub, o gatewaytest.Options) *gatewaytest.Gateway {
	t.Helper()
	s.server = grpc.NewServer()
	pb.RegisterBookstoreServiceServer(s.server, s)
	o.Backend = grpctest.Serve(t, s.server)
	return gatewaytest.Start(t, o)
}

// send sends watch messages of the numbers from 1 to n.
func send(stream watchStream, n int) error {
	for i := range n {
		if err := stream.Send(&pb.WatchBooksResponse{Sequence: uint64(i) + 1}); err != nil {
			return err
		}
	}
	return nil
}

// open sends a request and returns the answer, whose body is still open. The
// test closes it.
func open(t testing.TB, client *http.Client, method, url string, body io.Reader, headers ...string) *http.Response {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = response.Body.Close()
	})
	return response
}

// readLine returns the next line of a stream that is not empty.
func readLine(t testing.TB, r *bufio.Reader) string {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if line = strings.TrimSpace(line); line != "" {
			return line
		}
		if err != nil {
			t.Fatalf("the stream ended: %v", err)
		}
	}
}

// wait fails the test where the channel stays silent.
func wait[T any](t testing.TB, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(time.Minute):
		t.Fatalf("waited in vain for %s", what)
	}
	return v
}

// jsonLines splits NDJSON and checks each line.
func jsonLines(t testing.TB, text string) []string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(text) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not a line of JSON: %q", line)
		}
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	return lines
}
