package httpcache

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/policy/cache/internal/memory"
)

// TestFailuresOfMany: Traffic 124: where each request fails without an answer, one of those who
// wait asks next, however many have failed: never do all of them ask at once.
func TestFailuresOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPart(t, nil)
		fails := make(chan struct{})
		o := &origin{serve: func(context.Context, http.ResponseWriter, *http.Request) error {
			<-fails
			return status.Error(codes.Unavailable, "the connection broke")
		}}
		const n = 50
		all, done := askers(t.Context(), p, o, n)
		for i := range n {
			if asked := o.asked.Load(); asked != int64(i+1) {
				t.Fatalf("after %d failures the server was asked %d times, want %d", i, asked, i+1)
			}
			fails <- struct{}{}
			synctest.Wait()
		}
		done.Wait()
		for _, c := range all {
			if status.Code(c.result.Err) != codes.Unavailable {
				t.Errorf("%+v, want the failure", c.result)
			}
		}
	})
}

// TestUnreadBody: Traffic 131: where the client has an answer that is too large to be kept, it
// gets 304, and nothing more is read of the server's answer, whether its length was known or
// not.
func TestUnreadBody(t *testing.T) {
	for name, header := range map[string][]string{
		"a length":  {"Cache-Control", "max-age=60", "Etag", `"a"`, "Content-Length", "1000000000"},
		"no length": {"Cache-Control", "max-age=60", "Etag", `"a"`},
	} {
		t.Run("Traffic 131: "+name, func(t *testing.T) {
			p, read := newPart(t, nil), 0
			o := &origin{serve: func(_ context.Context, w http.ResponseWriter, _ *http.Request) error {
				begin(w, 200, header...)
				piece := make([]byte, 64<<10)
				for read < 100*memory.MaxEntry {
					if _, err := w.Write(piece); err != nil {
						return status.FromContextError(context.Canceled).Err()
					}
					read += len(piece)
				}
				return errors.New("all was read")
			}}
			c := get(p, o, "/a", "If-None-Match", `"a"`)
			c.expect(t, miss, 304, "")
			if c.result.Aborted {
				t.Error("the answer counts as broken off")
			}
			if read > memory.MaxEntry {
				t.Errorf("%d bytes were read of what nobody gets", read)
			}
		})
	}
}
