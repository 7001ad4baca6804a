package store

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// What a Redis may answer. go-redis takes the memory that a reply announces before any of
// it has come, and reads replies within replies by recursion.
const (
	maxBulk     = 8 << 20  // bytes of one string
	maxElements = 1 << 16  // of one list
	maxNested   = 16       // lists within lists
	maxReply    = 16 << 20 // bytes in all
	maxLine     = 64 << 10 // bytes of what stands before a string or is one line
)

// errReply is the error of a connection whose server answers what no Redis does.
var errReply = errors.New("the server answers what no Redis does, or more than it may")

// replies reads the outlines of replies in RESP, as they come.
type replies struct {
	line  []byte // the beginning of the line that is being read
	long  int    // the length of that line
	bulk  int64  // bytes left of a string, its line end included
	size  int    // of the reply so far
	lists []list // that the reply is in, the outermost first
}

// list is one that is being read.
type list struct {
	left      int64
	attribute bool // which stands before a value and is none
}

// Write looks at the next bytes of a connection.
func (r *replies) Write(data []byte) (int, error) {
	for rest := data; len(rest) > 0; {
		var n int
		if r.bulk > 0 {
			n = int(min(r.bulk, int64(len(rest))))
			if r.bulk -= int64(n); r.bulk == 0 {
				r.ended()
			}
		} else {
			end := bytes.IndexByte(rest, '\n')
			n = end + 1
			if end < 0 {
				n = len(rest)
			}
			r.long += n
			r.line = append(r.line, rest[:min(n, 32-len(r.line))]...)
			if end >= 0 {
				if err := r.header(); err != nil {
					return 0, err
				}
			}
		}
		if r.size += n; r.size > maxReply || r.long > maxLine {
			return 0, errReply
		}
		if len(r.lists) == 0 && r.bulk == 0 && r.long == 0 {
			r.size = 0
		}
		rest = rest[n:]
	}
	return len(data), nil
}

// header judges a whole line.
func (r *replies) header() error {
	line := bytes.TrimRight(r.line, "\r\n")
	r.line, r.long = r.line[:0], 0
	if len(line) == 0 {
		return errReply
	}
	switch line[0] {
	case '$', '=', '!':
		n, err := strconv.ParseInt(string(line[1:]), 10, 64)
		if err != nil || n < -1 || n > maxBulk {
			return errReply
		}
		if n >= 0 {
			r.bulk = n + 2
			return nil
		}
	case '*', '~', '>', '%', '|':
		n, err := strconv.ParseInt(string(line[1:]), 10, 64)
		if err != nil || n < -1 || n > maxElements || len(r.lists) == maxNested {
			return errReply
		}
		if line[0] == '%' || line[0] == '|' {
			n *= 2
		}
		if n > 0 {
			r.lists = append(r.lists, list{n, line[0] == '|'})
			return nil
		}
		if line[0] == '|' {
			return nil
		}
	}
	r.ended()
	return nil
}

// ended notes that a value has come, and the lists that it is the last of.
func (r *replies) ended() {
	for n := len(r.lists); n > 0; n-- {
		last := &r.lists[n-1]
		if last.left--; last.left > 0 {
			return
		}
		attribute := last.attribute
		r.lists = r.lists[:n-1]
		if attribute {
			return
		}
	}
}

// boundedConn is a connection to a Redis that breaks where a reply has no bounds.
type boundedConn struct {
	net.Conn
	replies replies
}

// Read implements net.Conn. A reply without bounds is given to nobody.
func (c *boundedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if _, wrong := c.replies.Write(b[:n]); wrong != nil {
		_ = c.Close() // it cannot be used any more
		return 0, wrong
	}
	if err != nil && c.replies.size > 0 && isLate(err) {
		_ = c.Close()
		return n, errStalled
	}
	return n, err
}

// isLate reports whether an error is that of a time that is over.
func isLate(err error) bool {
	var late net.Error
	return errors.As(err, &late) && late.Timeout()
}

// errStalled is the error of a connection whose server stops in the middle of a reply. go-redis forgets
// what it has read of one when the time is over, and who listens to a channel goes on after
// that: the rest would be taken for something else, and the message be lost without a word. Hence it is no net.Error.
var errStalled error = stalled{}

type stalled struct{}

func (stalled) Error() string { return "the server stops in the middle of an answer" }

// Is reports whether target is the error of a time that is over.
func (stalled) Is(target error) bool { return target == os.ErrDeadlineExceeded }

// systemConn is one of which go-redis can ask the system whether it is still open.
type systemConn struct {
	*boundedConn
	syscall.Conn
}

// bounded has the connections of a client bounded in what their servers may answer.
func bounded(o *redis.Options) {
	dial := redis.NewDialer(o)
	o.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		b := &boundedConn{Conn: conn}
		if system, ok := conn.(syscall.Conn); ok {
			return systemConn{b, system}, nil
		}
		return b, nil
	}
}

// newBoundedNode is a client of a cluster's node.
func newBoundedNode(o *redis.Options) *redis.Client {
	bounded(o)
	return redis.NewClient(o)
}
