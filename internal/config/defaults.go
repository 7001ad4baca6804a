package config

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

const (
	// DefaultListen is where the gateway listens if nothing is said.
	DefaultListen = ":8080"
	// DefaultAdmin is where the admin listener is if nothing is said.
	DefaultAdmin = "127.0.0.1:9901"
	// NoAdmin switches the admin listener off.
	NoAdmin = "-"
	// FlagUpstream is the name of the upstream that ForFlags makes.
	FlagUpstream = "default"

	defaultShutdown = 30 * time.Second
	defaultPoll     = 30 * time.Second
)

// ForFlags makes the configuration for a command line without one: folders of
// protos and descriptor sets, reflection if asked for, one upstream for all
// services unless it is "". listen and admin may be "" for the defaults. It is
// not checked yet: see File.Check.
//
// What it leaves out, like what transom.yaml leaves out, is filled in:
// listeners, admin.address, shutdown_timeout, reflection.poll,
// grpc.connections, and "*" as the services of an only gRPC upstream. Other defaults
// are those of the packages that use them.
func ForFlags(dirs, descriptorSets []string, reflect bool, upstream, listen, admin string) *File {
	c := &transomv1.Config{}
	f := &File{Config: c, flags: map[string]string{}}
	for _, dir := range dirs {
		f.flags[join(join("schemas", len(c.Schemas)), "directory")] = ""
		c.Schemas = append(c.Schemas, &transomv1.SchemaSource{Source: &transomv1.SchemaSource_Directory{Directory: dir}})
	}
	for _, set := range descriptorSets {
		f.flags[join(join("schemas", len(c.Schemas)), "descriptor_set")] = "--descriptor-set"
		c.Schemas = append(c.Schemas, &transomv1.SchemaSource{Source: &transomv1.SchemaSource_DescriptorSet{DescriptorSet: set}})
	}
	if reflect {
		c.Schemas = append(c.Schemas, &transomv1.SchemaSource{Source: &transomv1.SchemaSource_Reflection{
			Reflection: &transomv1.Reflection{Upstream: FlagUpstream},
		}})
	}
	if upstream != "" {
		f.flags["upstreams."+FlagUpstream+".grpc.target"] = "--upstream"
		c.Upstreams = map[string]*transomv1.Upstream{FlagUpstream: {Kind: &transomv1.Upstream_Grpc{
			Grpc: &transomv1.GrpcUpstream{Target: upstream},
		}}}
	}
	f.Listen(listen, admin)
	fillDefaults(c)
	return f
}

// UpstreamTLS has the upstream of ForFlags speak TLS. Its certificate is checked
// with a PEM file of authorities; with those of the system where that is "".
func (f *File) UpstreamTLS(ca string) {
	u := f.Config.GetUpstreams()[FlagUpstream].GetGrpc()
	if u == nil {
		return
	}
	f.flags["upstreams."+FlagUpstream+".grpc.tls.ca"] = "--upstream-ca"
	u.Tls = &transomv1.ClientTls{Ca: ca}
}

// Listen has the command line's addresses stand in place of the listeners and of the
// admin listener's; "" leaves what there is. Who may operate stays as the configuration says:
// another address must not let others in.
func (f *File) Listen(listen, admin string) {
	if f.flags == nil {
		f.flags = map[string]string{}
	}
	if listen != "" {
		f.flags["listeners[0].address"] = "--listen"
		f.Config.Listeners = []*transomv1.Listener{{Address: listen}}
	}
	if admin != "" {
		f.flags["admin.address"] = "--admin"
		if f.Config.Admin == nil || admin == NoAdmin {
			f.Config.Admin = &transomv1.Admin{}
		}
		f.Config.Admin.Address = admin
	}
}

// fillDefaults fills in what ForFlags documents.
func fillDefaults(c *transomv1.Config) {
	if len(c.Listeners) == 0 {
		c.Listeners = []*transomv1.Listener{{Address: DefaultListen}}
	}
	if c.Admin == nil {
		c.Admin = &transomv1.Admin{}
	}
	if c.Admin.Address == "" {
		c.Admin.Address = DefaultAdmin
	}
	if c.ShutdownTimeout == nil {
		c.ShutdownTimeout = durationpb.New(defaultShutdown)
	}
	for _, s := range c.Schemas {
		if r := s.GetReflection(); r != nil && r.Poll == nil {
			r.Poll = durationpb.New(defaultPoll)
		}
	}
	var servers []*transomv1.Upstream
	for _, u := range c.Upstreams {
		if g := u.GetGrpc(); g != nil {
			servers = append(servers, u)
			g.Connections = max(1, g.Connections)
		}
	}
	if len(servers) == 1 && len(servers[0].Services) == 0 {
		servers[0].Services = []string{"*"}
	}
}
