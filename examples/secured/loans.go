package secured

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/transom-gateway/transom/examples/secured/protos/lending/v1"
)

const day = 24 * time.Hour

// BorrowTool lends a tool to the caller. A tool that somebody has is
// FAILED_PRECONDITION, which the proto makes 409.
func (d *Desk) BorrowTool(ctx context.Context, r *pb.BorrowToolRequest) (*pb.Loan, error) {
	c, err := callerOf(ctx)
	if err != nil {
		return nil, err
	}
	loan, err := d.lend(c, r)
	if err != nil {
		return nil, err
	}
	return loan, answerHTTP(ctx, "201", "location", "/v1/"+loan.GetName())
}

func (d *Desk) lend(c caller, r *pb.BorrowToolRequest) (*pb.Loan, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	tool := d.find(r.GetTool())
	switch {
	case tool == nil:
		return nil, notFound(r.GetTool())
	case !tool.GetAvailable():
		return nil, status.Errorf(codes.FailedPrecondition, "somebody has %s already", r.GetTool())
	}
	tool.Available = false
	loan := &pb.Loan{
		Name:    fmt.Sprintf("loans/%d", len(d.loans)+1),
		Tool:    r.GetTool(),
		Member:  "members/" + c.id,
		Due:     timestamppb.New(time.Now().Add(time.Duration(r.GetDays()) * day).Truncate(time.Second)),
		Address: c.address,
	}
	d.loans = append(d.loans, loan)
	d.tell(tool)
	return proto.CloneOf(loan), nil
}

// ReturnTool takes a tool back from the one who borrowed it.
func (d *Desk) ReturnTool(ctx context.Context, r *pb.ReturnToolRequest) (*pb.Loan, error) {
	c, err := callerOf(ctx)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.IndexFunc(d.loans, func(l *pb.Loan) bool { return l.GetName() == r.GetName() })
	// Somebody else's loan is as good as none: names shall not be probed.
	if i < 0 || d.loans[i].GetMember() != "members/"+c.id {
		return nil, notFound(r.GetName())
	}
	loan := d.loans[i]
	if !loan.GetReturned() {
		loan.Returned = true
		tool := d.find(loan.GetTool())
		tool.Available = true
		d.tell(tool)
	}
	return proto.CloneOf(loan), nil
}

// ListLoans lists a member's loans; that the caller may see them the gateway
// has found out.
func (d *Desk) ListLoans(_ context.Context, r *pb.ListLoansRequest) (*pb.ListLoansResponse, error) {
	if _, known := d.members[strings.TrimPrefix(r.GetParent(), "members/")]; !known {
		return nil, notFound(r.GetParent())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	list := &pb.ListLoansResponse{}
	for _, l := range d.loans {
		if l.GetMember() == r.GetParent() {
			list.Loans = append(list.Loans, proto.CloneOf(l))
		}
	}
	return list, nil
}
