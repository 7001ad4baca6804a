// Package secured is the example of a service that not everybody may call: the
// lending desk of a workshop. The desk itself knows tools, loans and passwords.
// It knows nothing of cookies, tokens, roles that are demanded, limits or CORS:
// that stands in its protos and is the gateway's work. Whom it serves it learns
// from the metadata that the gateway sends, so nobody else may reach it.
//
//	desk := secured.NewDesk()
//	desk.Register(grpcServer)
package secured

import (
	"slices"
	"sync"

	"google.golang.org/grpc"

	pb "github.com/transom-gateway/transom/examples/secured/protos/lending/v1"
)

// Desk is the lending desk. It is safe for concurrent use, and keeps
// everything in memory.
type Desk struct {
	pb.UnimplementedAccessServiceServer
	pb.UnimplementedLendingServiceServer

	members map[string]*member // by id; never changed

	mu       sync.Mutex
	tools    []*pb.Tool // in the order of their names
	loans    []*pb.Loan // "loans/1" is the first
	watchers map[*watcher]struct{}
}

var (
	_ pb.AccessServiceServer  = (*Desk)(nil)
	_ pb.LendingServiceServer = (*Desk)(nil)
)

// NewDesk opens a desk with its members and five tools on the shelf.
func NewDesk() *Desk {
	d := &Desk{members: seedMembers(), watchers: map[*watcher]struct{}{}}
	for _, t := range seedTools {
		d.tools = append(d.tools, &pb.Tool{Name: t.name, Title: t.title, DepositCents: t.deposit, Available: true})
	}
	slices.SortFunc(d.tools, byName)
	return d
}

// Register adds both services to a server.
func (d *Desk) Register(r grpc.ServiceRegistrar) {
	pb.RegisterAccessServiceServer(r, d)
	pb.RegisterLendingServiceServer(r, d)
}

// find returns a tool, or nil. The caller holds the lock.
func (d *Desk) find(name string) *pb.Tool {
	for _, t := range d.tools {
		if t.GetName() == name {
			return t
		}
	}
	return nil
}
