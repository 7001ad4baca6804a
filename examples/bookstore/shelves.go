package bookstore

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
)

// maxShelves and maxBooks bound what callers can make the server keep.
const (
	maxShelves = 10_000
	maxBooks   = 100_000
)

// ListShelves returns the shelves, ordered by name.
func (s *Server) ListShelves(_ context.Context, r *pb.ListShelvesRequest) (*pb.ListShelvesResponse, error) {
	s.mu.RLock()
	all := make([]*pb.Shelf, 0, len(s.shelves))
	for _, sh := range s.shelves {
		all = append(all, sh.withCount())
	}
	s.mu.RUnlock()
	found, next, err := page(all, r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	return &pb.ListShelvesResponse{Shelves: found, NextPageToken: next}, nil
}

// GetShelf returns one shelf.
func (s *Server) GetShelf(_ context.Context, r *pb.GetShelfRequest) (*pb.Shelf, error) {
	if err := checkShelfName("name", r.GetName()); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	sh, err := s.shelf(r.GetName())
	if err != nil {
		return nil, err
	}
	return sh.withCount(), nil
}

// CreateShelf puts up a shelf.
func (s *Server) CreateShelf(_ context.Context, r *pb.CreateShelfRequest) (*pb.Shelf, error) {
	if r.GetShelf().GetTheme() == "" {
		return nil, status.Error(codes.InvalidArgument, "shelf.theme is empty, expected what the shelf is about")
	}
	if id := r.GetShelfId(); id != "" {
		if err := checkID("shelf_id", id); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.shelves) >= maxShelves {
		return nil, status.Errorf(codes.ResourceExhausted, "there are %d shelves and no room for more", maxShelves)
	}
	id := r.GetShelfId()
	if id == "" {
		id = s.nextID()
	}
	name := "shelves/" + id
	if _, ok := s.shelves[name]; ok {
		return nil, status.Errorf(codes.AlreadyExists, "%s is there already", name)
	}
	sh := s.putUp(name, r.GetShelf().GetTheme(), time.Now())
	return sh.withCount(), nil
}

// DeleteShelf takes a shelf down.
func (s *Server) DeleteShelf(_ context.Context, r *pb.DeleteShelfRequest) (*emptypb.Empty, error) {
	if err := checkShelfName("name", r.GetName()); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sh, err := s.shelf(r.GetName())
	if err != nil {
		return nil, err
	}
	if n := len(sh.books); n > 0 && !r.GetForce() {
		return nil, status.Errorf(codes.FailedPrecondition, "%s still holds %d books; move them or set force", r.GetName(), n)
	}
	for name := range sh.books {
		s.tell(r.GetName(), pb.WatchBooksResponse_REMOVED, &pb.Book{Name: name})
	}
	delete(s.shelves, r.GetName())
	return &emptypb.Empty{}, nil
}

// GetStatistics counts shelves and books.
func (s *Server) GetStatistics(context.Context, *pb.GetStatisticsRequest) (*pb.GetStatisticsResponse, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return &pb.GetStatisticsResponse{
		Shelves: int32(len(s.shelves)),
		Books:   int32(s.countBooks()),
		Uptime:  durationpb.New(time.Since(s.started)),
	}, nil
}

// putUp adds a shelf. The caller holds the lock.
func (s *Server) putUp(name, theme string, at time.Time) *shelf {
	sh := &shelf{
		message: &pb.Shelf{Name: name, Theme: theme, CreateTime: timestamppb.New(at)},
		books:   map[string]*stock{},
	}
	s.shelves[name] = sh
	return sh
}

// shelf returns the shelf of a name or NotFound. The caller holds the lock.
func (s *Server) shelf(name string) (*shelf, error) {
	sh, ok := s.shelves[name]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "there is no %s", name)
	}
	return sh, nil
}

// countBooks counts the books of all shelves. The caller holds the lock.
func (s *Server) countBooks() int {
	n := 0
	for _, sh := range s.shelves {
		n += len(sh.books)
	}
	return n
}

// withCount returns the shelf's message with how many books it holds. The
// caller holds the lock.
func (sh *shelf) withCount() *pb.Shelf {
	m := proto.CloneOf(sh.message)
	m.BookCount = int32(len(sh.books))
	return m
}
