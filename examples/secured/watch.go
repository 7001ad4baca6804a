package secured

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/transom-gateway/transom/examples/secured/protos/lending/v1"
)

// backlog is how many changes may wait for a watcher that does not keep up.
const backlog = 64

// watcher is one WatchDesk call.
type watcher struct {
	changes chan *pb.DeskEvent
	behind  bool // a change found no room; guarded by the desk's lock
}

// tell hands a change over; who does not keep up is told no more. The caller
// holds the desk's lock.
func (w *watcher) tell(e *pb.DeskEvent) {
	if w.behind {
		return
	}
	select {
	case w.changes <- e:
	default:
		w.behind = true
		close(w.changes)
	}
}

// WatchDesk sends where each tool is, then each change. A watcher that does
// not keep up is sent away with ABORTED.
func (d *Desk) WatchDesk(r *pb.WatchDeskRequest, stream grpc.ServerStreamingServer[pb.DeskEvent]) error {
	now, w := d.watch()
	defer d.unwatch(w)
	for sent := uint32(0); r.GetLimit() == 0 || sent < r.GetLimit(); sent++ {
		var event *pb.DeskEvent
		if len(now) > 0 {
			event, now = now[0], now[1:]
		} else {
			select {
			case change, ok := <-w.changes:
				if !ok {
					return status.Errorf(codes.Aborted, "more than %d changes waited for the watcher; watch again", backlog)
				}
				event = change
			case <-stream.Context().Done():
				return status.FromContextError(stream.Context().Err()).Err()
			}
		}
		if err := stream.Send(event); err != nil {
			return err
		}
	}
	return nil
}

// watch begins to watch: the state as it is, and whom changes are told.
func (d *Desk) watch() ([]*pb.DeskEvent, *watcher) {
	w := &watcher{changes: make(chan *pb.DeskEvent, backlog)}
	d.mu.Lock()
	defer d.mu.Unlock()
	var now []*pb.DeskEvent
	for _, t := range d.tools {
		now = append(now, eventOf(t))
	}
	d.watchers[w] = struct{}{}
	return now, w
}

func (d *Desk) unwatch(w *watcher) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.watchers, w)
}
