package bookstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
)

// ListBooks returns the books of a shelf, or of all shelves, ordered by name.
func (s *Server) ListBooks(_ context.Context, r *pb.ListBooksRequest) (*pb.ListBooksResponse, error) {
	all, err := s.booksOf(r.GetParent())
	if err != nil {
		return nil, err
	}
	found, next, err := page(all, r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	return &pb.ListBooksResponse{Books: found, NextPageToken: next}, nil
}

// GetBook returns one book, or the fields of it that the mask names.
func (s *Server) GetBook(_ context.Context, r *pb.GetBookRequest) (*pb.Book, error) {
	book, err := s.find(r.GetName())
	if err != nil {
		return nil, err
	}
	if len(r.GetReadMask().GetPaths()) == 0 {
		return book.book, nil
	}
	picked := &pb.Book{}
	if err := copyFields(picked, book.book, r.GetReadMask(), "read_mask"); err != nil {
		return nil, err
	}
	return picked, nil
}

// CreateBook puts a book on a shelf.
func (s *Server) CreateBook(_ context.Context, r *pb.CreateBookRequest) (*pb.Book, error) {
	if err := checkShelfName("parent", r.GetParent()); err != nil {
		return nil, err
	}
	if id := r.GetBookId(); id != "" {
		if err := checkID("book_id", id); err != nil {
			return nil, err
		}
	}
	if r.GetBook().GetTitle() == "" {
		return nil, status.Error(codes.InvalidArgument, "book.title is empty, expected the title")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.add(r.GetParent(), r.GetBookId(), r.GetBook(), r.GetValidateOnly())
}

// UpdateBook changes the fields of a book that the mask names; without a mask,
// all that the caller may set.
func (s *Server) UpdateBook(_ context.Context, r *pb.UpdateBookRequest) (*pb.Book, error) {
	name := r.GetBook().GetName()
	if err := checkBookName("book.name", name); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sh, err := s.shelf(parentOf(name))
	if err != nil {
		return nil, err
	}
	old, ok := sh.books[name]
	if !ok && r.GetAllowMissing() {
		return s.add(parentOf(name), idOf(name), r.GetBook(), false)
	}
	if !ok {
		return nil, status.Errorf(codes.NotFound, "there is no %s", name)
	}
	if etag := r.GetBook().GetEtag(); etag != "" && etag != old.book.GetEtag() {
		return nil, status.Errorf(codes.Aborted, "book.etag is %q but %s has %q by now; read it again", etag, name, old.book.GetEtag())
	}
	changed := proto.CloneOf(r.GetBook())
	if len(r.GetUpdateMask().GetPaths()) > 0 {
		changed = proto.CloneOf(old.book)
		if err := copyFields(changed, r.GetBook(), r.GetUpdateMask(), "update_mask"); err != nil {
			return nil, err
		}
	}
	changed.Name, changed.CreateTime = name, old.book.GetCreateTime()
	stamp(changed, time.Now())
	sh.books[name] = &stock{book: changed, cover: old.cover, content: old.content}
	s.tell(parentOf(name), pb.WatchBooksResponse_CHANGED, changed)
	return changed, nil
}

// DeleteBook takes a book away.
func (s *Server) DeleteBook(_ context.Context, r *pb.DeleteBookRequest) (*emptypb.Empty, error) {
	if err := checkBookName("name", r.GetName()); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.take(r.GetName()); err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, nil
}

// MoveBook puts a book on another shelf under the same id.
func (s *Server) MoveBook(_ context.Context, r *pb.MoveBookRequest) (*pb.Book, error) {
	if err := checkBookName("name", r.GetName()); err != nil {
		return nil, err
	}
	if err := checkShelfName("other_shelf", r.GetOtherShelf()); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	target, err := s.shelf(r.GetOtherShelf())
	if err != nil {
		return nil, err
	}
	name := r.GetOtherShelf() + "/books/" + idOf(r.GetName())
	if _, ok := target.books[name]; ok {
		return nil, status.Errorf(codes.AlreadyExists, "%s is there already", name)
	}
	moved, err := s.take(r.GetName())
	if err != nil {
		return nil, err
	}
	book := proto.CloneOf(moved.book)
	book.Name = name
	stamp(book, time.Now())
	target.books[name] = &stock{book: book, cover: moved.cover, content: moved.content}
	s.tell(r.GetOtherShelf(), pb.WatchBooksResponse_ADDED, book)
	return book, nil
}

// ListTags returns the tags of a book.
func (s *Server) ListTags(_ context.Context, r *pb.ListTagsRequest) (*pb.ListTagsResponse, error) {
	book, err := s.find(r.GetName())
	if err != nil {
		return nil, err
	}
	return &pb.ListTagsResponse{Tags: book.book.GetTags()}, nil
}

// booksOf returns the books of a shelf, or of all where parent is empty, in no
// order.
func (s *Server) booksOf(parent string) ([]*pb.Book, error) {
	if parent != "" {
		if err := checkShelfName("parent", parent); err != nil {
			return nil, err
		}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	shelves := s.shelves
	if parent != "" {
		sh, err := s.shelf(parent)
		if err != nil {
			return nil, err
		}
		shelves = map[string]*shelf{parent: sh}
	}
	var all []*pb.Book
	for _, sh := range shelves {
		for _, book := range sh.books {
			all = append(all, book.book)
		}
	}
	return all, nil
}

// find returns a book: InvalidArgument for a name of another form, NotFound
// where there is none.
func (s *Server) find(name string) (*stock, error) {
	if err := checkBookName("name", name); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if sh, ok := s.shelves[parentOf(name)]; ok {
		if book, ok := sh.books[name]; ok {
			return book, nil
		}
	}
	return nil, status.Errorf(codes.NotFound, "there is no %s", name)
}

// add puts a copy of the book on a shelf and tells the watchers; on trial it
// only says whether it could. An empty id is given a number. The caller holds
// the lock.
func (s *Server) add(parent, id string, book *pb.Book, trial bool) (*pb.Book, error) {
	sh, err := s.shelf(parent)
	if err != nil {
		return nil, err
	}
	if s.countBooks() >= maxBooks {
		return nil, status.Errorf(codes.ResourceExhausted, "there are %d books and no room for more", maxBooks)
	}
	if id == "" {
		id = s.nextID()
	}
	name := parent + "/books/" + id
	if _, ok := sh.books[name]; ok {
		return nil, status.Errorf(codes.AlreadyExists, "%s is there already", name)
	}
	now := time.Now()
	added := proto.CloneOf(book)
	added.Name, added.CreateTime = name, timestamppb.New(now)
	stamp(added, now)
	if !trial {
		sh.books[name] = &stock{book: added}
		s.tell(parent, pb.WatchBooksResponse_ADDED, added)
	}
	return added, nil
}

// take removes a book, tells the watchers and returns it, or NotFound. The
// caller holds the lock.
func (s *Server) take(name string) (*stock, error) {
	if sh, ok := s.shelves[parentOf(name)]; ok {
		if book, ok := sh.books[name]; ok {
			delete(sh.books, name)
			s.tell(parentOf(name), pb.WatchBooksResponse_REMOVED, &pb.Book{Name: name})
			return book, nil
		}
	}
	return nil, status.Errorf(codes.NotFound, "there is no %s", name)
}

// stamp sets the time of the change and an etag of the new contents.
func stamp(book *pb.Book, at time.Time) {
	book.UpdateTime, book.Etag = timestamppb.New(at), ""
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(book)
	if err != nil { // Only for invalid UTF-8, which gRPC has refused already.
		return
	}
	sum := sha256.Sum256(encoded)
	book.Etag = hex.EncodeToString(sum[:8])
}
