package upstream

import (
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/transom-gateway/transom/proxy/transport"
)

// TestReason says to clients what happened, and no more than is known.
func TestReason(t *testing.T) {
	reset := fmt.Errorf("%w: %w", transport.ErrPreface, &net.OpError{Op: "read", Err: syscall.ECONNRESET})
	for name, test := range map[string]struct {
		err    error
		want   string
		advice bool
	}{
		"a reset while the preface is read": {reset, "ended before the backend said anything", true},
		"the same of one that spoke before": {known(reset), "ended before the backend said anything", false},
		"an end of one that spoke before":   {known(fmt.Errorf("%w: %w", transport.ErrPreface, io.EOF)), "ended before the backend said anything", false},
		"another protocol":                  {fmt.Errorf("%w: a frame of type PING, want SETTINGS", transport.ErrPreface), "does not speak HTTP/2", false},
		"another protocol, spoken before":   {known(fmt.Errorf("%w: a frame of type PING, want SETTINGS", transport.ErrPreface)), "does not speak HTTP/2", false},
		"no socket":                         {&net.OpError{Op: "dial", Net: "unix", Err: syscall.ENOENT}, "its socket does not exist", false},
		"no token of a pod, no list":        {fmt.Errorf("open: %w", fs.ErrNotExist), "its addresses are not known", false},
	} {
		if got := Reason(test.err); !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
		if got := TLSAdvice(test.err); (got != "") != test.advice {
			t.Errorf("%s: the advice is %q", name, got)
		}
	}
}
