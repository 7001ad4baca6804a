package gateway

import (
	"cmp"
	"net/http"

	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/overload"
	shortage "github.com/transom-gateway/transom/policy/overload"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// freely is how much of a body is read whatever the memory, in bytes.
const freely = 64 << 10

// errShortBody is the refusal of a call whose body is being read, in the form in which readers of
// bodies pass it on.
var errShortBody = proxy.RefusedBy(proxy.RefuserOf(shortage.ErrShort),
	&rpcerror.StatusError{HTTP: http.StatusServiceUnavailable, Status: status.Convert(shortage.ErrShort)})

// guardBody has the body of a unary RPC, which comes into memory whole, refused also while it is
// read (Traffic 200).
func (c *call) guardBody(guard *overload.Guard) {
	if guard == nil || c.size.in.ReadCloser == nil {
		return
	}
	if _, ok := c.route.endpoint.method(); ok && !c.route.endpoint.streams(c.r, c.match.protocol) {
		c.size.in.guard = guard
	}
}

// setOverload has the stages hold from where the configuration says.
func (g *Gateway) setOverload(s *Snapshot) {
	c := s.Config.Config.GetOverload()
	if c.GetOff() {
		g.options.Overload.Set(nil)
		return
	}
	g.options.Overload.Set(&overload.Percents{
		Save:   cmp.Or(int(c.GetSavePercent()), overload.Default.Save),
		Shed:   cmp.Or(int(c.GetShedPercent()), overload.Default.Shed),
		Refuse: cmp.Or(int(c.GetRefusePercent()), overload.Default.Refuse),
	})
}
