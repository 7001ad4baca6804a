package secured

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	pb "github.com/transom-gateway/transom/examples/secured/protos/lending/v1"
)

// start serves a new desk and returns clients for it.
func start(t *testing.T) (pb.AccessServiceClient, pb.LendingServiceClient) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- ServeListener(ctx, listener) }()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return pb.NewAccessServiceClient(conn), pb.NewLendingServiceClient(conn)
}

// as is a call as the gateway sends it for a principal.
func as(t *testing.T, pairs ...string) context.Context {
	return metadata.AppendToOutgoingContext(t.Context(), pairs...)
}

func wantCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if status.Code(err) != want {
		t.Errorf("%v, want %v", err, want)
	}
}

func TestPasswords(t *testing.T) {
	access, _ := start(t)
	for _, test := range []struct {
		user, password string
		want           codes.Code
	}{
		{"ada", "sawdust-and-glue", codes.OK},
		{"ada", "level-and-plumb", codes.Unauthenticated},
		{"ada", "", codes.Unauthenticated},
		{"nobody", "sawdust-and-glue", codes.Unauthenticated},
		{"", "", codes.Unauthenticated},
	} {
		r := &pb.LoginRequest{User: test.user, Password: test.password}
		login, err := access.Login(t.Context(), r)
		wantCode(t, err, test.want)
		if err == nil && login.GetMember().GetId() != test.user {
			t.Errorf("%s is logged in as %v", test.user, login)
		}
		token, err := access.IssueToken(t.Context(), r)
		wantCode(t, err, test.want)
		if token.GetToken() != "" {
			t.Error("the desk made a token, which is the gateway's work")
		}
	}
}

func TestCaller(t *testing.T) {
	access, _ := start(t)
	_, err := access.WhoAmI(t.Context(), &emptypb.Empty{})
	wantCode(t, err, codes.Unauthenticated)
	me, err := access.WhoAmI(as(t, "x-transom-principal", "a%20b", "x-transom-roles", "member,of%2C the board", "x-transom-claim-name", "J%C3%BCrgen"), &emptypb.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	if me.GetId() != "a b" || me.GetDisplayName() != "Jürgen" || !slices.Equal(me.GetRoles(), []string{"member", "of, the board"}) {
		t.Errorf("%v", me)
	}
}

func TestLoans(t *testing.T) {
	_, lending := start(t)
	ada, ben := as(t, "x-transom-principal", "ada", "x-desk-address", "192.0.2.7"), as(t, "x-transom-principal", "ben")
	drill := &pb.BorrowToolRequest{Tool: "tools/drill", Days: 3}

	_, err := lending.BorrowTool(t.Context(), drill)
	wantCode(t, err, codes.Unauthenticated)
	var header metadata.MD
	loan, err := lending.BorrowTool(ada, drill, grpc.Header(&header))
	if err != nil {
		t.Fatal(err)
	}
	if loan.GetMember() != "members/ada" || loan.GetAddress() != "192.0.2.7" || !loan.GetDue().IsValid() {
		t.Errorf("%v", loan)
	}
	if code, where := header.Get("x-http-code"), header.Get("location"); !slices.Equal(code, []string{"201"}) || !slices.Equal(where, []string{"/v1/loans/1"}) {
		t.Errorf("%v %v", code, where)
	}
	_, err = lending.BorrowTool(ben, drill)
	wantCode(t, err, codes.FailedPrecondition)
	_, err = lending.BorrowTool(ben, &pb.BorrowToolRequest{Tool: "tools/anvil", Days: 1})
	wantCode(t, err, codes.NotFound)

	for range 2 { // somebody else's, then one's own, twice
		_, err = lending.ReturnTool(ben, &pb.ReturnToolRequest{Name: "loans/1"})
		wantCode(t, err, codes.NotFound)
		back, err := lending.ReturnTool(ada, &pb.ReturnToolRequest{Name: "loans/1"})
		if err != nil || !back.GetReturned() {
			t.Errorf("%v %v", back, err)
		}
	}
	list, err := lending.ListLoans(ada, &pb.ListLoansRequest{Parent: "members/ada"})
	if err != nil || len(list.GetLoans()) != 1 {
		t.Errorf("%v %v", list, err)
	}
	_, err = lending.ListLoans(ada, &pb.ListLoansRequest{Parent: "members/nobody"})
	wantCode(t, err, codes.NotFound)
}

func TestCreateTool(t *testing.T) {
	_, lending := start(t)
	for _, test := range []struct {
		tool *pb.Tool
		want codes.Code
		name string
	}{
		{&pb.Tool{Title: "Bench vice, large"}, codes.OK, "tools/bench-vice-large"},
		{&pb.Tool{Title: "bench VICE large!"}, codes.AlreadyExists, ""},
		{&pb.Tool{Name: "tools/vice", Title: "Bench vice"}, codes.OK, "tools/vice"},
		{&pb.Tool{Title: "…"}, codes.InvalidArgument, ""},
	} {
		tool, err := lending.CreateTool(t.Context(), &pb.CreateToolRequest{Tool: test.tool})
		wantCode(t, err, test.want)
		if tool.GetName() != test.name || err == nil && !tool.GetAvailable() {
			t.Errorf("%v is put up as %v", test.tool, tool)
		}
	}
	count, err := lending.CountTools(t.Context(), &pb.CountToolsRequest{})
	if err != nil || count.GetOnShelf() != int32(len(seedTools))+2 {
		t.Errorf("%v %v", count, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = lending.CountTools(ctx, &pb.CountToolsRequest{Thorough: true})
	wantCode(t, err, codes.Canceled)
}

func TestWatch(t *testing.T) {
	_, lending := start(t)
	stream, err := lending.WatchDesk(t.Context(), &pb.WatchDeskRequest{Limit: uint32(len(seedTools)) + 2})
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	receive := func() {
		t.Helper()
		e, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, e.GetKind().String()+" "+e.GetTool())
	}
	for range seedTools {
		receive()
	}
	ada := as(t, "x-transom-principal", "ada")
	if _, err := lending.BorrowTool(ada, &pb.BorrowToolRequest{Tool: "tools/drill", Days: 3}); err != nil {
		t.Fatal(err)
	}
	receive()
	if _, err := lending.ReturnTool(ada, &pb.ReturnToolRequest{Name: "loans/1"}); err != nil {
		t.Fatal(err)
	}
	receive()
	want := "ON_SHELF tools/clamps, ON_SHELF tools/drill, ON_SHELF tools/jigsaw, ON_SHELF tools/ladder, ON_SHELF tools/sander, LENT tools/drill, ON_SHELF tools/drill"
	if got := strings.Join(seen, ", "); got != want {
		t.Errorf("seen %s, want %s", got, want)
	}
}

// TestSlowWatcher sends away who does not keep up, and keeps nothing for them.
func TestSlowWatcher(t *testing.T) {
	d := NewDesk()
	_, w := d.watch()
	defer d.unwatch(w)
	tool := &pb.Tool{Name: "tools/drill"}
	for range 2 * backlog {
		d.mu.Lock()
		d.tell(tool)
		d.mu.Unlock()
	}
	n := 0
	for range w.changes {
		n++
	}
	if n != backlog {
		t.Errorf("%d changes waited, want %d", n, backlog)
	}
}
