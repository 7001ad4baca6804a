package coalesce

import (
	"errors"
	"io"
	"net"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// first is what net/http's buffer sends when a longer answer fills it.
var first = strings.Repeat("f", fullBuffer)

func TestHTTP1FirstPart(t *testing.T) {
	for name, test := range map[string]struct{ writes, want []string }{
		"the rest follows":   {[]string{first, "rest", "more"}, []string{first, "rest", "more"}},
		"the rest is as big": {[]string{first, first, "end"}, []string{first, first, "end"}},
		"nothing follows":    {[]string{first}, []string{first}},
		"short alone":        {[]string{"a", "b"}, []string{"a", "b"}},
		"two answers":        {[]string{first, "rest", first, "rest"}, []string{first, "rest", first, "rest"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, r := begin(t, "GET / HTTP/1.1\r\n")
				for _, s := range test.writes {
					write(t, c, s)
				}
				synctest.Wait()
				if got := strings.Join(r.writes, ""); got != strings.Join(test.want, "") {
					t.Errorf("%d bytes arrived, in writes that begin %q", len(got), r.writes)
				}
			})
		})
	}
}

// What is held when the rest comes leaves with it, and nothing is left to release.
func TestHTTP1FirstPartLeavesWithTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := begin(t, "GET / HTTP/1.1\r\n")
		c.mu.Lock()
		c.keep([]byte(first)) // no goroutine is quicker than the rest
		c.mu.Unlock()
		write(t, c, "rest")
		if c.held != nil || c.releasing || len(r.writes) != 2 || r.writes[1] != "rest" {
			t.Errorf("held %v, releasing %v, %d writes", c.held != nil, c.releasing, len(r.writes))
		}
	})
}

// around is a connection around another one, which takes several buffers at once.
type around struct {
	net.Conn
	sizes [][]int
}

func (a *around) WriteBuffers(b *net.Buffers) (int64, error) {
	var sizes []int
	for _, part := range *b {
		sizes = append(sizes, len(part))
	}
	a.sizes = append(a.sizes, sizes)
	return b.WriteTo(a.Conn)
}

// What is held and what follows go to the connection beneath at once, whatever is around that.
func TestHTTP1PartsLeaveAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := begin(t, "GET / HTTP/1.1\r\n")
		beneath := &around{Conn: c.Conn}
		c.Conn = beneath
		c.mu.Lock()
		c.keep([]byte(first)) // no goroutine is quicker than the rest
		c.mu.Unlock()
		write(t, c, "rest")
		if want := [][]int{{fullBuffer, 4}}; !reflect.DeepEqual(beneath.sizes, want) || strings.Join(r.writes, "") != first+"rest" {
			t.Errorf("buffers of %v, want %v", beneath.sizes, want)
		}
	})
}

// A client that does not read must not keep Close from closing.
func TestHTTP1CloseDoesNotWaitForAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := begin(t, "GET / HTTP/1.1\r\n")
		r.gate = make(chan struct{})
		written := make(chan error, 1)
		go func() {
			_, err := c.Write([]byte("to nobody"))
			written <- err
		}()
		synctest.Wait()
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		close(r.gate)
		if err := <-written; err != nil {
			t.Errorf("Write: %v", err)
		}
	})
}

func TestHTTP1CloseSendsTheFirstPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := begin(t, "GET / HTTP/1.1\r\n")
		write(t, c, first)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if len(r.writes) != 1 || r.writes[0] != first || !r.closed {
			t.Errorf("%d writes, closed: %v", len(r.writes), r.closed)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write after Close: %v", err)
		}
	})
}

func TestHTTP1ErrorsReachTheNextWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := begin(t, "GET / HTTP/1.1\r\n")
		r.fails = io.ErrClosedPipe
		write(t, c, first)
		synctest.Wait()
		if _, err := c.Write([]byte("y")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("got %v", err)
		}
		if _, err := c.ReadFrom(strings.NewReader("z")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("got %v", err)
		}
	})
}

// Of what was held and of what came with it, Write counts its own alone.
func TestHTTP1Count(t *testing.T) {
	client, server := net.Pipe()
	defer func() { _, _ = client.Close(), server.Close() }()
	go func() {
		_, _ = io.ReadFull(client, make([]byte, fullBuffer+3))
		_ = client.Close()
	}()
	c := newConn(server)
	write(t, c, first)
	if n, err := c.Write([]byte("abcdef")); n != 3 || err == nil {
		// Where the goroutine was first, the second write is alone and tells the same.
		t.Errorf("got %d, %v", n, err)
	}
}

// A client that reads nothing must not keep a connection for ever.
func TestHTTP1UnreadAnswer(t *testing.T) {
	for name, test := range map[string]struct {
		before func(*conn)
		write  string
		want   time.Duration
	}{
		"a small answer":        {func(*conn) {}, "to nobody", patience},
		"after its user's time": {func(c *conn) { bounded(t, c, time.Hour); bounded(t, c, 0) }, "to nobody", patience},
		"within its user's":     {func(c *conn) { bounded(t, c, 2*time.Hour) }, "to nobody", 2 * time.Hour},
		"a first part":          {func(*conn) {}, first, patience},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				defer func() { _ = far.Close() }()
				c := newConn(near)
				defer func() { _ = c.Close() }()
				test.before(c)
				begun := time.Now()
				_, err := c.Write([]byte(test.write))
				if test.write == first {
					_, err = c.Write([]byte("the rest"))
				}
				if took := time.Since(begun); !errors.Is(err, os.ErrDeadlineExceeded) || took != test.want {
					t.Errorf("%v after %v, want a timeout after %v", err, took, test.want)
				}
			})
		})
	}
}

// A client that reads keeps its connection, however long it takes.
func TestHTTP1ReadAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		c := newConn(near)
		go func() {
			_, _ = io.Copy(io.Discard, far)
			_ = far.Close()
		}()
		for range 10 {
			write(t, c, "to somebody")
			time.Sleep(patience * 3 / 4) // of the bubble's clock
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

func bounded(t *testing.T, c *conn, in time.Duration) {
	t.Helper()
	at := time.Time{}
	if in > 0 {
		at = time.Now().Add(in)
	}
	if err := c.SetDeadline(at); err != nil {
		t.Error(err)
	}
}

// deadlines keeps the deadlines of writes that it is given.
type deadlines struct {
	net.Conn
	got []time.Time
}

func (d *deadlines) Write(p []byte) (int, error) { return len(p), nil }

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.got = append(d.got, t)
	return nil
}

func (d *deadlines) SetDeadline(t time.Time) error { return d.SetWriteDeadline(t) }

// Answers share a deadline of ours, although net/http takes it away after each; what its
// user sets or takes away itself holds.
func TestHTTP1SharedDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(deadlines)
		c := newConn(d)
		none, ours, users := time.Time{}, time.Now().Add(patience), time.Now().Add(time.Hour)
		for range 3 {
			write(t, c, "an answer")
			if err := c.SetWriteDeadline(none); err != nil {
				t.Error(err)
			}
		}
		for _, at := range []time.Time{users, none} {
			if err := c.SetWriteDeadline(at); err != nil {
				t.Error(err)
			}
		}
		write(t, c, "an answer")
		bounded(t, c, 0) // as net/http does before it gives the connection away
		if want := []time.Time{ours, users, none, ours, none}; !slices.Equal(d.got, want) {
			t.Errorf("got %v, want %v", d.got, want)
		}
	})
}
