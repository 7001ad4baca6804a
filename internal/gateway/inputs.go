package gateway

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/transom-gateway/transom/internal/config"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// Files lists the Inputs of the snapshot in service.
func (g *Gateway) Files() []string {
	s := g.acquire()
	if s == nil {
		return nil
	}
	defer s.release()
	return Inputs(s.Config)
}

// Config is the configuration of the snapshot in service; nil before the first.
func (g *Gateway) Config() *config.File {
	s := g.acquire()
	if s == nil {
		return nil
	}
	defer s.release()
	return s.Config
}

// Inputs lists the files and folders that a gateway of this configuration is
// built from, the configuration's own included, to be watched. They are sorted.
func Inputs(c *config.File) []string {
	var files []string
	if c.Path != "" {
		files = append(files, c.Path)
	}
	files = append(files, c.References...)
	for _, source := range c.Config.GetSchemas() {
		switch source := source.GetSource().(type) {
		case *transomv1.SchemaSource_Directory:
			files = append(files, c.Resolve(source.Directory))
		case *transomv1.SchemaSource_DescriptorSet:
			files = append(files, c.Resolve(source.DescriptorSet))
		}
	}
	for _, issuer := range c.Config.GetAuth().GetJwt() {
		if jwks := issuer.GetJwksFile(); jwks != "" {
			files = append(files, c.Resolve(jwks))
		}
	}
	for _, l := range c.Config.GetListeners() {
		files = append(files, serverFiles(c, l.GetTls())...)
	}
	files = append(files, serverFiles(c, c.Config.GetAdmin().GetTls())...)
	if name, ok := strings.CutPrefix(c.Config.GetFleetSecret(), "file:"); ok {
		files = append(files, c.Resolve(name))
	}
	for _, u := range c.Config.GetUpstreams() {
		for _, t := range []*transomv1.ClientTls{u.GetGrpc().GetTls(), u.GetHttp().GetTls()} {
			for _, name := range []string{t.GetCa(), t.GetCertificate(), t.GetKey()} {
				if name != "" {
					files = append(files, c.Resolve(name))
				}
			}
		}
	}
	for _, page := range c.Config.GetErrorPages() {
		files = append(files, c.Resolve(page))
	}
	for _, m := range c.Config.GetMaintenance() {
		if m.GetPage() != "" {
			files = append(files, c.Resolve(m.GetPage()))
		}
	}
	for _, route := range c.Config.GetRoutes() {
		if file := route.GetRespond().GetFile(); file != "" {
			files = append(files, c.Resolve(file))
		}
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// serverFiles are those that TLS of a listener is made of.
func serverFiles(c *config.File, t *transomv1.ServerTls) (files []string) {
	names := []string{t.GetCertificate(), t.GetKey(), t.GetClientCa(), t.GetCrl(), strings.TrimPrefix(t.GetTicketKeys(), "file:")}
	for _, pair := range t.GetCertificates() {
		names = append(names, pair.GetCertificate(), pair.GetKey())
	}
	for _, name := range names {
		if name != "" {
			files = append(files, c.Resolve(name))
		}
	}
	return files
}

// AwaitServers has the gateway start without the servers whose reflection it is to
// ask and that are away, silent or answer nonsense: their methods are served once PollReflection has found
// them. Call it before the first Reload.
func (g *Gateway) AwaitServers() { g.sources.patience = reflectionPatience }

// reflectionPatience is how long a start or a reload waits for a server that is
// silent. All are asked at once.
const reflectionPatience = 3 * time.Second

// reflectionLook is how long at most it takes to see that a server came back.
const reflectionLook = time.Second

// PollReflection asks the upstreams' reflection services for changes until the
// returned function is called, and calls changed when there is one. It asks as
// often as the configuration says, and besides while a server has yet to answer
// and after one came back.
func (g *Gateway) PollReflection(ctx context.Context, changed func()) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var quiet time.Duration // since the last question
		for {
			interval := g.pollInterval()
			look := min(reflectionLook, interval)
			returned := g.sources.returned(ctx, look)
			if ctx.Err() != nil {
				return
			}
			quiet += look
			if !returned && quiet < interval && !g.sources.away() {
				continue
			}
			quiet = 0
			if g.sources.changed(ctx) {
				changed()
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// pollInterval is the shortest of the configuration's.
func (g *Gateway) pollInterval() time.Duration {
	interval := 30 * time.Second
	s := g.acquire()
	if s == nil {
		return interval
	}
	defer s.release()
	for _, source := range s.Config.Config.GetSchemas() {
		if p := source.GetReflection().GetPoll().AsDuration(); p > 0 {
			interval = min(interval, p)
		}
	}
	return interval
}
