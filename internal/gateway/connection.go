package gateway

import (
	"log/slog"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/attempt"
	"github.com/transom-gateway/transom/proxy/grpcgo"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// connection is what leads to an upstream, by whichever client. It is safe for
// concurrent use.
type connection interface {
	attempt.Connection
	// Backend makes calls. maxMessage bounds one message of the backend in bytes, before
	// it is read.
	Backend(maxMessage int) proxy.Backend
	// Target is what the connection leads to.
	Target() upstream.Target
	// Failure is what is wrong, for the operator; nil for nothing.
	Failure() error
	// NotReloaded says why the files of its TLS are not in effect as they are now; "" where
	// all is well.
	NotReloaded() string
	// ListNotReloaded says the same of a file that lists the addresses.
	ListNotReloaded() string
	// Waiting counts the calls for which there is no room, those that waited and were
	// sent, and those that waited in vain.
	Waiting() (now int, served, refused uint64)
	// Endpoints lists the servers, as far as they are known.
	Endpoints() []upstream.EndpointStatus
	// CheckServices has the health of these services asked for, each by itself, where the
	// target says so.
	CheckServices(names []string)
	// Release gives the connection back.
	Release()
}

var (
	_ connection = own{}
	_ connection = (*grpcgo.Conn)(nil)
)

// own is a connection of Transom's own client.
type own struct{ *upstream.Conn }

// Backend implements connection.
func (c own) Backend(maxMessage int) proxy.Backend { return attempt.NewGRPC(c.Conn, maxMessage) }

// pool holds the connections to all upstreams; it outlives snapshots.
type pool struct {
	own    *upstream.Pool
	grpcGo *grpcgo.Pool
}

func newPool(log *slog.Logger) pool { return pool{upstream.NewPool(log), grpcgo.NewPool(log)} }

// get returns the connection to a target, made now or shared.
func (p pool) get(client transomv1.GrpcUpstream_Client, t upstream.Target) (connection, error) {
	if client == transomv1.GrpcUpstream_GRPC_GO {
		conn, err := p.grpcGo.Get(t)
		if err != nil {
			return nil, err
		}
		return conn, nil
	}
	conn, err := p.own.Get(t)
	if err != nil {
		return nil, err
	}
	return own{conn}, nil
}
