package bookstore

import (
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
)

// backlog is how many changes may wait for a watcher that does not keep up.
const backlog = 256

// watcher is one WatchBooks call.
type watcher struct {
	parent  string
	changes chan *pb.WatchBooksResponse
	lagging bool // A change found no room. Guarded by the server's lock.
}

// WatchBooks sends the books of a shelf, then changes and ticks: as many as
// asked for, or until the caller leaves. A watcher that does not keep up is
// sent away with Aborted.
func (s *Server) WatchBooks(r *pb.WatchBooksRequest, stream grpc.ServerStreamingServer[pb.WatchBooksResponse]) error {
	interval, err := tickInterval(r)
	if err != nil {
		return err
	}
	books, w, err := s.watch(r.GetParent())
	if err != nil {
		return err
	}
	defer s.unwatch(w)
	sender := numberer{stream: stream}
	for _, book := range books {
		if err := sender.send(&pb.WatchBooksResponse{Kind: pb.WatchBooksResponse_EXISTING, Book: book}); err != nil {
			return err
		}
	}
	ticks, stop := clock(interval)
	defer stop()
	for sent := uint32(0); r.GetCount() == 0 || sent < r.GetCount(); sent++ {
		event := &pb.WatchBooksResponse{Kind: pb.WatchBooksResponse_TICK}
		select {
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		case change, ok := <-w.changes:
			if !ok {
				return status.Errorf(codes.Aborted, "more than %d changes waited for the watcher; watch again", backlog)
			}
			event = change
		case <-ticks:
		}
		if err := sender.send(event); err != nil {
			return err
		}
	}
	if r.GetFailCode() != 0 {
		return status.Error(codes.Code(r.GetFailCode()), "the watch was told to fail") // Any number is wanted.
	}
	return nil
}

// tickInterval returns the time between ticks: zero for none at all.
func tickInterval(r *pb.WatchBooksRequest) (time.Duration, error) {
	if r.GetInterval() == nil {
		return time.Second, nil
	}
	if err := r.GetInterval().CheckValid(); err != nil || r.GetInterval().AsDuration() < 0 {
		return 0, status.Errorf(codes.InvalidArgument, "interval is %v, expected 0 s or more", r.GetInterval())
	}
	return r.GetInterval().AsDuration(), nil
}

// clock returns a channel that has a value at every interval, always where the
// interval is zero, and what stops it.
func clock(interval time.Duration) (<-chan time.Time, func()) {
	if interval == 0 {
		always := make(chan time.Time)
		close(always)
		return always, func() {}
	}
	t := time.NewTicker(interval)
	return t.C, t.Stop
}

// numberer numbers and dates the messages of one stream.
type numberer struct {
	stream grpc.ServerStreamingServer[pb.WatchBooksResponse]
	last   uint64
}

// send sends a copy of the event: the event itself may be going to others too.
func (n *numberer) send(event *pb.WatchBooksResponse) error {
	n.last++
	return n.stream.Send(&pb.WatchBooksResponse{
		Sequence: n.last,
		Kind:     event.GetKind(),
		Book:     event.GetBook(),
		Time:     timestamppb.Now(),
	})
}

// watch returns the books of a shelf in order, and a watcher of all that
// happens to them from then on.
func (s *Server) watch(parent string) ([]*pb.Book, *watcher, error) {
	if err := checkShelfName("parent", parent); err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sh, err := s.shelf(parent)
	if err != nil {
		return nil, nil, err
	}
	w := &watcher{parent: parent, changes: make(chan *pb.WatchBooksResponse, backlog)}
	s.watchers[w] = struct{}{}
	var books []*pb.Book
	for _, book := range sh.books {
		books = append(books, book.book)
	}
	slices.SortFunc(books, func(a, b *pb.Book) int { return compareNames(a.GetName(), b.GetName()) })
	return books, w, nil
}

func (s *Server) unwatch(w *watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.watchers, w)
}

// tell gives a change to the watchers of a shelf. It never waits: the channel
// of a watcher without room is closed. The caller holds the lock.
func (s *Server) tell(parent string, kind pb.WatchBooksResponse_Kind, book *pb.Book) {
	for w := range s.watchers {
		if w.parent != parent || w.lagging {
			continue
		}
		select {
		case w.changes <- &pb.WatchBooksResponse{Kind: kind, Book: book}:
		default:
			w.lagging = true
			close(w.changes)
		}
	}
}
