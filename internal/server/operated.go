package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/transom-gateway/transom/internal/admin"
	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/gateway"
	"github.com/transom-gateway/transom/internal/server/security"
	"github.com/transom-gateway/transom/internal/server/sockets"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

var _ admin.Operated = administered{}

// Circuits implements admin.Operated.
func (a administered) Circuits() (list []admin.Circuit) {
	for _, c := range a.server.gateway.Circuits() {
		list = append(list, admin.Circuit{
			Upstream: c.Upstream, RPC: c.RPC, State: c.State.String(), OpenFor: admin.OpenFor(c.Left),
			Calls: c.Calls, Failures: c.Failures, InARow: c.Row,
		})
	}
	return list
}

// SetCircuit implements admin.Operated.
func (a administered) SetCircuit(upstream, rpc, state string) (int, error) {
	return a.server.gateway.SetCircuit(upstream, rpc, gateway.CircuitStates[state])
}

// SetEndpoint implements admin.Operated.
func (a administered) SetEndpoint(upstream, address string, out bool) error {
	return a.server.gateway.SetEndpoint(upstream, address, out)
}

var _ admin.Maintained = administered{}

// Maintenance implements admin.Maintained.
func (a administered) Maintenance() (list []admin.Maintenance) {
	for _, m := range a.server.gateway.Maintenance() {
		list = append(list, admin.Maintenance{Name: m.Name, On: m.On, Services: append([]string{}, m.Services...)})
	}
	return list
}

// SetMaintenance implements admin.Maintained.
func (a administered) SetMaintenance(name, state string) error {
	return a.server.gateway.SetMaintenance(name, state)
}

// LogLevel implements admin.Operated.
func (a administered) LogLevel() string { return a.server.telemetry.Level().String() }

// SetLogLevel implements admin.Operated.
func (a administered) SetLogLevel(level string) error {
	return a.server.telemetry.SetLevel(transomv1.Log_Level(transomv1.Log_Level_value[level]))
}

// accessOf is who may look and operate.
func accessOf(a *transomv1.Admin) admin.Access {
	access := admin.Access{Certificates: a.GetTls().GetClientCa() != ""}
	for _, t := range a.GetTokens() {
		role := admin.Reader
		if t.GetRole() == transomv1.AdminToken_OPERATE {
			role = admin.Operator
		}
		access.Tokens = append(access.Tokens, admin.Token{Name: t.GetName(), Secret: t.GetToken(), Role: role})
	}
	return access
}

// openAudit opens the audit log.
func (o *Options) openAudit() (*admin.Audit, error) {
	a := o.File.Config.GetAdmin().GetAudit()
	if a == nil {
		return admin.NewAudit(nil, nil, o.Telemetry.Log), nil
	}
	file, err := os.OpenFile(o.File.Resolve(a.GetFile()), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	var flush func() error
	if a.GetFsync() {
		flush = file.Sync
	}
	return admin.NewAudit(file, flush, o.Telemetry.Log), nil
}

// operatorsMode are the permissions of the operator's unix socket: for this process's user.
const operatorsMode = 0o600

// listenAdmin opens the operator's listener.
func (o *Options) listenAdmin(s *Server) (net.Listener, error) {
	a := o.File.Config.GetAdmin()
	var secure *tls.Config
	if a.GetTls() != nil {
		var err error
		if s.secured, err = adminTLS(a.GetTls(), o.File, s.fleet); err != nil {
			return nil, err
		}
		s.secured.Report(func(what, why string) { s.not.Set("admin.tls"+what, why) })
		secure = s.secured.Config("http/1.1")
	}
	l, err := o.Sockets.Listen(forOperator, a.GetAddress(), sockets.Options{Mode: operatorsMode})
	if err != nil {
		return nil, advised(err)
	}
	if secure != nil {
		l = tls.NewListener(l, secure)
	}
	return l, nil
}

// adminTLS is that of the operator's listener: probes come without a certificate.
func adminTLS(c *transomv1.ServerTls, file *config.File, fleet *security.Fleet) (*security.Security, error) {
	return security.Open(c, security.Options{Resolve: file.Resolve, Fleet: fleet, ClientAuth: transomv1.ServerTls_OPTIONAL})
}

// Reloaded writes down a reload that nobody has asked the admin listener for, and what came
// of it; before is how the one before it went, nil for none. One that changed nothing is none.
func (s *Server) Reloaded(who string, before *gateway.ReloadStatus, change gateway.Change, err error) {
	e := admin.Entry{Event: "reload", Who: who, Result: change.String()}
	if before != nil {
		e.Before, e.ConfigBefore = uint64(max(0, before.Generation)), before.ConfigSum
	}
	if last := s.gateway.Status(); last != nil {
		e.After, e.ConfigAfter = uint64(max(0, last.Generation)), last.ConfigSum
	}
	if err != nil {
		e.Result, _, _ = strings.Cut("failed: "+err.Error(), "\n")
	} else if e.After == e.Before {
		return
	}
	s.audit.Write(e)
}

// Replaced writes down a hand-over that nobody has asked the admin listener for, and what came of it.
func (s *Server) Replaced(who string, pid int, err error) {
	e := admin.Entry{Event: "upgrade", Who: who, What: fmt.Sprintf("pid=%d", pid), Result: "done"}
	if now := s.gateway.Status(); now != nil {
		e.Before, e.ConfigBefore = uint64(max(0, now.Generation)), now.ConfigSum
	}
	if err != nil {
		e.Result, _, _ = strings.Cut("failed: "+err.Error(), "\n")
	}
	s.audit.Write(e)
}

var _ admin.Caching = administered{}

// PurgeCache implements admin.Caching.
func (a administered) PurgeCache(rpc, tag, principal string) (dropped int, told bool, err error) {
	return a.server.gateway.PurgeCache(rpc, tag, principal)
}

var _ admin.Upgraded = administered{}

// errNoUpgrade is the error of a process that nobody can replace.
var errNoUpgrade = errors.New("this process cannot be replaced by another one")

// Upgrade implements admin.Upgraded.
func (a administered) Upgrade(ctx context.Context) (pid int, done func(), err error) {
	if a.server.upgrade == nil {
		return 0, nil, errNoUpgrade
	}
	return a.server.upgrade(ctx)
}
