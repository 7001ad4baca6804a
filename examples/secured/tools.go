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

	pb "github.com/transom-gateway/transom/examples/secured/protos/lending/v1"
)

const (
	// maxTools bounds the shelf.
	maxTools = 1000
	// patience is what it takes to look at every tool twice.
	patience = time.Hour
)

func byName(a, b *pb.Tool) int { return strings.Compare(a.GetName(), b.GetName()) }

// ListTools lists all tools by name.
func (d *Desk) ListTools(context.Context, *pb.ListToolsRequest) (*pb.ListToolsResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := &pb.ListToolsResponse{}
	for _, t := range d.tools {
		r.Tools = append(r.Tools, proto.CloneOf(t))
	}
	return r, nil
}

// CreateTool puts a tool on the shelf. The gateway lets keepers call only, and
// has checked the tool; the name alone is left to look at.
func (d *Desk) CreateTool(ctx context.Context, r *pb.CreateToolRequest) (*pb.Tool, error) {
	tool := proto.CloneOf(r.GetTool())
	if tool.GetName() == "" {
		if tool.Name = "tools/" + slug(tool.GetTitle()); tool.GetName() == "tools/" {
			return nil, status.Error(codes.InvalidArgument, "no name can be made of the title; expected a name, or a title with a letter in it")
		}
	}
	tool.Available = true
	if err := d.add(tool); err != nil {
		return nil, err
	}
	return tool, answerHTTP(ctx, "201", "location", "/v1/"+tool.GetName())
}

func (d *Desk) add(tool *pb.Tool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, found := slices.BinarySearchFunc(d.tools, tool, byName)
	switch {
	case found:
		return status.Errorf(codes.AlreadyExists, "there is a %s already", tool.GetName())
	case len(d.tools) >= maxTools:
		return status.Errorf(codes.ResourceExhausted, "the shelf is full: it holds %d tools", maxTools)
	}
	d.tools = slices.Insert(d.tools, at, proto.CloneOf(tool))
	d.tell(tool)
	return nil
}

// slug makes a name of a title: "Orbital sander" is orbital-sander.
func slug(title string) string {
	words := strings.FieldsFunc(strings.ToLower(title), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	return strings.Join(words, "-")
}

// CountTools counts. A thorough count takes until the caller has had enough.
func (d *Desk) CountTools(ctx context.Context, r *pb.CountToolsRequest) (*pb.CountToolsResponse, error) {
	if r.GetThorough() {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	count := &pb.CountToolsResponse{}
	for _, t := range d.tools {
		if t.GetAvailable() {
			count.OnShelf++
		} else {
			count.Lent++
		}
	}
	return count, nil
}

// tell sends a tool's place to all who watch. The caller holds the lock.
func (d *Desk) tell(tool *pb.Tool) {
	for w := range d.watchers {
		w.tell(eventOf(tool))
	}
}

// eventOf is the place of a tool, as an event.
func eventOf(tool *pb.Tool) *pb.DeskEvent {
	e := &pb.DeskEvent{Kind: pb.DeskEvent_LENT, Tool: tool.GetName()}
	if tool.GetAvailable() {
		e.Kind = pb.DeskEvent_ON_SHELF
	}
	return e
}

// notFound says that there is no such thing.
func notFound(name string) error {
	return status.Error(codes.NotFound, fmt.Sprintf("there is no %q", name))
}
