package unwell

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	benchv1 "github.com/transom-gateway/transom/bench/proto/bench/v1"
)

// drainTime is how long a server that ends gracefully waits for its calls.
const drainTime = 5 * time.Second

// Script is what a server does with a call before it answers: an error is the
// answer. n is how often the call's key has arrived at any server, from 1.
type Script func(ctx context.Context, s *Server, n int) error

// Server is a gRPC server that counts the calls it gets and fails as it is told.
// Its methods may be called by several goroutines, but those that start and end
// it by one at a time.
type Server struct {
	benchv1.UnimplementedItemServiceServer

	address  string
	book     *Book
	options  []grpc.ServerOption
	arrivals atomic.Int64
	script   atomic.Pointer[Script]
	server   *grpc.Server // nil while it is down
	ended    chan struct{}

	mu       sync.Mutex
	conns    map[*conn]struct{}
	accepted int           // connections since Start
	hole     chan struct{} // not nil: nothing is written until it is closed
}

// newServer makes a server that is down.
func newServer(address string, book *Book, options ...grpc.ServerOption) *Server {
	return &Server{address: address, book: book, options: options, conns: map[*conn]struct{}{}}
}

// Start listens at the server's address.
func (s *Server) Start(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.address)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.accepted = 0
	s.mu.Unlock()
	server, ended := grpc.NewServer(s.options...), make(chan struct{})
	benchv1.RegisterItemServiceServer(server, s)
	s.server, s.ended = server, ended
	go func() {
		defer close(ended)
		_ = server.Serve(&watched{Listener: listener, server: s}) // It says that it was stopped.
	}()
	return nil
}

// Kill ends the server as a process that is killed: its connections are reset
// whatever is under way, and nobody listens at its address any more.
func (s *Server) Kill() {
	if s.server == nil {
		return
	}
	s.Cut()
	s.Heal()
	s.server.Stop()
	<-s.ended
	s.server = nil
}

// Drain ends the server as good ones end: it says GOAWAY, takes no new
// connections and answers the calls it has.
func (s *Server) Drain() {
	timer := time.AfterFunc(drainTime, s.server.Stop)
	s.server.GracefulStop()
	timer.Stop()
	<-s.ended
	s.server = nil
}

// Cut resets all connections.
func (s *Server) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.reset()
	}
}

// Swallow makes the server a black hole: it takes connections and calls, and
// nothing comes back.
func (s *Server) Swallow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hole == nil {
		s.hole = make(chan struct{})
	}
}

// Heal ends Swallow: what was held back is sent.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hole != nil {
		close(s.hole)
		s.hole = nil
	}
}

// Follow sets what the server does with calls from now on; nil: it answers.
func (s *Server) Follow(script Script) {
	if script == nil {
		s.script.Store(nil)
		return
	}
	s.script.Store(&script)
}

// Arrivals is how many calls have arrived at this server.
func (s *Server) Arrivals() int { return int(s.arrivals.Load()) }

// Accepted is how many connections were made since Start.
func (s *Server) Accepted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// Connected reports whether the server has a connection.
func (s *Server) Connected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns) > 0
}

// arrive counts a call and follows the script. Calls without a key warm a
// gateway up: they are not counted.
func (s *Server) arrive(ctx context.Context, key string) error {
	if key == "" {
		return nil
	}
	n := s.book.Arrive(key)
	s.arrivals.Add(1)
	if script := s.script.Load(); script != nil {
		return (*script)(ctx, s, n)
	}
	return nil
}

// GetItem answers with the key.
func (s *Server) GetItem(ctx context.Context, r *benchv1.GetItemRequest) (*benchv1.Item, error) {
	if err := s.arrive(ctx, r.GetId()); err != nil {
		return nil, err
	}
	return &benchv1.Item{Id: r.GetId()}, nil
}

// CreateItem does, too.
func (s *Server) CreateItem(ctx context.Context, item *benchv1.Item) (*benchv1.Item, error) {
	if err := s.arrive(ctx, item.GetId()); err != nil {
		return nil, err
	}
	return &benchv1.Item{Id: item.GetId()}, nil
}

// Chat returns each message until the caller has no more.
func (s *Server) Chat(stream grpc.BidiStreamingServer[benchv1.Tick, benchv1.Tick]) error {
	for {
		tick, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(tick); err != nil {
			return err
		}
	}
}

// watched is a listener whose connections its server can reset and hold back.
type watched struct {
	net.Listener

	server *Server
}

// Accept implements net.Listener.
func (w *watched) Accept() (net.Conn, error) {
	accepted, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: accepted, server: w.server, closed: make(chan struct{})}
	w.server.mu.Lock()
	defer w.server.mu.Unlock()
	w.server.conns[c] = struct{}{}
	w.server.accepted++
	return c, nil
}

// conn is one connection of a server.
type conn struct {
	net.Conn

	server *Server
	closed chan struct{}
	once   sync.Once
}

// Write waits while the server is a black hole.
func (c *conn) Write(b []byte) (int, error) {
	c.server.mu.Lock()
	hole := c.server.hole
	c.server.mu.Unlock()
	if hole != nil {
		select {
		case <-hole:
		case <-c.closed:
			return 0, net.ErrClosed
		}
	}
	return c.Conn.Write(b)
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	c.server.mu.Lock()
	delete(c.server.conns, c)
	c.server.mu.Unlock()
	return c.Conn.Close()
}

// reset closes the connection by a TCP reset; the server's lock is held. What
// the server's library does with it later is Close.
func (c *conn) reset() {
	c.once.Do(func() { close(c.closed) })
	delete(c.server.conns, c)
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // It only decides how Close looks to the peer.
	}
	_ = c.Conn.Close() // It is to break.
}
