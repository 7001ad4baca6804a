package secured

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	pb "github.com/transom-gateway/transom/examples/secured/protos/lending/v1"
)

// errWrongPassword does not tell which of the two is wrong.
var errWrongPassword = status.Error(codes.Unauthenticated, "the user or the password is wrong")

// Login checks a password. That the answer opens a session stands in the proto.
func (d *Desk) Login(_ context.Context, r *pb.LoginRequest) (*pb.LoginResponse, error) {
	m := d.authenticate(r.GetUser(), r.GetPassword())
	if m == nil {
		return nil, errWrongPassword
	}
	return &pb.LoginResponse{Member: m}, nil
}

// IssueToken checks a password. The gateway writes the token into the answer.
func (d *Desk) IssueToken(_ context.Context, r *pb.LoginRequest) (*pb.IssueTokenResponse, error) {
	m := d.authenticate(r.GetUser(), r.GetPassword())
	if m == nil {
		return nil, errWrongPassword
	}
	return &pb.IssueTokenResponse{Member: m}, nil
}

// Logout agrees; the gateway ends the session or the token.
func (*Desk) Logout(ctx context.Context, _ *emptypb.Empty) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, answerHTTP(ctx, "204")
}

// LogoutEverywhere agrees; the gateway ends all sessions and tokens.
func (*Desk) LogoutEverywhere(ctx context.Context, _ *emptypb.Empty) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, answerHTTP(ctx, "204")
}

// WhoAmI repeats what the gateway says of the caller.
func (*Desk) WhoAmI(ctx context.Context, _ *emptypb.Empty) (*pb.Member, error) {
	c, err := callerOf(ctx)
	if err != nil {
		return nil, err
	}
	return &pb.Member{Id: c.id, DisplayName: c.name, Roles: c.roles}, nil
}

// answerHTTP says in the metadata what the answer's HTTP status shall be, and
// its headers, as name, value pairs. A gateway that was not told to listen
// ignores it.
func answerHTTP(ctx context.Context, code string, headers ...string) error {
	return grpc.SetHeader(ctx, metadata.Pairs(append([]string{"x-http-code", code}, headers...)...))
}
