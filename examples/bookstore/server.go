// Package bookstore is the example backend: a gRPC server with shelves and
// books in memory. It shows what a service behind the gateway looks like, and
// the tests of the gateway call it. It knows nothing of the gateway: no HTTP,
// no JSON, no policies.
//
//	err := bookstore.Serve(ctx, "localhost:50051")
package bookstore

import (
	"sync"
	"time"

	"google.golang.org/grpc"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
)

// Server implements bookstore.v1.BookstoreService. It keeps everything in
// memory and is safe for concurrent use. Make one with NewServer.
type Server struct {
	pb.UnimplementedBookstoreServiceServer

	started time.Time

	mu       sync.RWMutex
	shelves  map[string]*shelf // by name
	lastID   int64             // the last number given to a shelf or a book
	watchers map[*watcher]struct{}
}

// Interface guard.
var _ pb.BookstoreServiceServer = (*Server)(nil)

// shelf is one shelf and what stands on it. The messages in it are never
// changed once they are there: a change puts another message in their place,
// so that what a call returned may be encoded without a lock.
type shelf struct {
	message *pb.Shelf
	books   map[string]*stock // by name
}

// stock is a book with its raw parts.
type stock struct {
	book    *pb.Book
	cover   blob
	content blob
}

// blob is bytes of a media type. The bytes are never changed.
type blob struct {
	contentType string
	data        []byte
}

// NewServer returns a server that already holds a few shelves and books.
func NewServer() *Server {
	s := &Server{
		started:  time.Now(),
		shelves:  map[string]*shelf{},
		watchers: map[*watcher]struct{}{},
	}
	s.seed()
	return s
}

// Register makes the server answer on r, which is usually a *grpc.Server.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	pb.RegisterBookstoreServiceServer(r, s)
}
