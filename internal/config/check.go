package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/httprule"
	"github.com/transom-gateway/transom/internal/nearest"
	"github.com/transom-gateway/transom/internal/regularfile"
	"github.com/transom-gateway/transom/internal/span"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// checker finds what is wrong with a configuration beyond its form. What the
// policies within it say is checked where they are compiled.
type checker struct {
	file     *File
	problems Problems
	// broken are the paths that could not be read; nothing more is said of them.
	broken []string
}

// fail notes a problem of the value at path, unless it could not be read.
func (c *checker) fail(path, format string, args ...any) {
	if len(c.problems) >= maxProblems {
		return
	}
	for _, b := range c.broken {
		if within(b, path) || within(path, b) {
			return
		}
	}
	c.problems = append(c.problems, c.file.problem(path, format, args...))
}

// within reports whether path is outer or leads through it.
func within(path, outer string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && (rest == "" || outer == "" || rest[0] == '.' || rest[0] == '[')
}

func (c *checker) config(config *transomv1.Config) {
	c.listeners(config)
	c.schemas(config)
	c.upstreams(config)
	c.httpRules(config.HttpRules)
	c.policies(config.Policies)
	c.routes(config)
	c.maintenance(config)
	c.errorPages(config.ErrorPages)
	c.auth(config.Auth)
	c.stores(config.Stores)
	c.events(config.Events)
	c.memory("cache.max_bytes", config.Cache.GetMaxBytes())
	c.memory("idempotency.max_bytes", config.Idempotency.GetMaxBytes())
	c.overload(config.Overload)
	c.openAPI(config.Openapi)
	c.docs(config.Docs)
	c.telemetry(config.Telemetry)
	c.headerNames("metadata.request_headers", config.Metadata.GetRequestHeaders(), true)
	c.headerNames("metadata.response_headers", config.Metadata.GetResponseHeaders(), false)
	c.headerPrefix("metadata.response_prefix", config.Metadata.GetResponsePrefix())
	c.headerPrefix("metadata.trailer_prefix", config.Metadata.GetTrailerPrefix())
	c.headerPrefix("metadata.permanent_prefix", config.Metadata.GetPermanentPrefix())
	c.peers("trusted_proxies", config.TrustedProxies)
	c.clientIP(config)
	c.notNegative("shutdown_timeout", config.ShutdownTimeout)
}

// peers checks where connections may come from.
func (c *checker) peers(path string, peers []string) {
	for i, text := range peers {
		if _, err := netip.ParsePrefix(text); err != nil && text != "unix" {
			c.fail(join(path, i), "found %q, expected an address range such as %q, or \"unix\"%s", text, "10.0.0.0/8", asRange(text))
		}
	}
}

// maxHops is the most proxies in front that make sense.
const maxHops = 16

// clientIP checks by what clients are known.
func (c *checker) clientIP(config *transomv1.Config) {
	header, hops := config.GetClientIp().GetHeader(), config.GetClientIp().GetTrustedHops()
	if header != "" && !isHeaderName(strings.ToLower(header)) {
		c.fail("client_ip.header", "found %q, expected the name of a header, such as x-forwarded-for, forwarded or cf-connecting-ip", header)
	}
	if hops > maxHops {
		c.fail("client_ip.trusted_hops", "found %d, expected at most %d", hops, maxHops)
	}
	switch several := strings.EqualFold(header, "x-forwarded-for") || strings.EqualFold(header, "forwarded"); {
	case hops > 0 && len(config.GetTrustedProxies()) > 0:
		c.fail("client_ip.trusted_hops", "found it beside trusted_proxies, expected one of them: proxies are counted or known by their addresses")
	case hops > 0 && header != "" && !several:
		c.fail("client_ip.trusted_hops", "found it beside the header %q, which has one address: name the proxies in trusted_proxies", header)
	case hops == 0 && header != "" && len(config.GetTrustedProxies()) == 0:
		c.fail("client_ip.header", "found %q, but nobody is believed: name the proxies in trusted_proxies, or count them by trusted_hops", header)
	}
}

// asRange suggests the range of a single address.
func asRange(text string) string {
	if a, err := netip.ParseAddr(text); err == nil {
		return fmt.Sprintf("; did you mean %q?", netip.PrefixFrom(a, a.BitLen()))
	}
	return ""
}

// servesEvents reports whether there is something to serve without any API: events of pages and apps, or
// topics that clients listen to.
func servesEvents(e *transomv1.Events) bool {
	return e.GetBehaviour() != nil || len(e.GetStreams()) > 0
}

func (c *checker) schemas(config *transomv1.Config) {
	meant := func(path string) bool { return within(path, "routes") || within(path, "events") } // that are there, under a wrong name
	if len(config.Schemas) == 0 && len(config.Routes) == 0 && !servesEvents(config.Events) && !slices.ContainsFunc(c.broken, meant) {
		c.fail("schemas", "found none, expected at least one of directory, descriptor_set, reflection, or routes to plain HTTP upstreams, or events.behaviour or events.streams")
	}
	for i, s := range config.Schemas {
		path := join("schemas", i)
		switch source := s.Source.(type) {
		case *transomv1.SchemaSource_Directory:
			c.directory(join(path, "directory"), source.Directory)
		case *transomv1.SchemaSource_DescriptorSet:
			c.regular(join(path, "descriptor_set"), source.DescriptorSet)
		case *transomv1.SchemaSource_Reflection:
			c.reflection(join(path, "reflection"), source.Reflection, config)
		default:
			c.fail(path, "found no source, expected one of directory, descriptor_set, reflection")
		}
	}
}

func (c *checker) reflection(path string, r *transomv1.Reflection, config *transomv1.Config) {
	c.positive(join(path, "poll"), r.Poll)
	c.knownUpstream(join(path, "upstream"), r.Upstream, config)
}

// knownUpstream holds that name is an upstream.
func (c *checker) knownUpstream(path, name string, config *transomv1.Config) {
	if _, ok := config.Upstreams[name]; ok {
		return
	}
	if len(config.Upstreams) == 0 {
		c.fail(path, "found %q, expected the name of an upstream; there are none", name)
		return
	}
	known := upstreamNames(config)
	hint := ""
	if near := nearest.Of(known, name); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	c.fail(path, "found %q, expected the name of an upstream: %s%s", name, strings.Join(known, ", "), hint)
}

func upstreamNames(config *transomv1.Config) []string {
	var known []string
	for name := range config.Upstreams {
		known = append(known, name)
	}
	slices.Sort(known)
	return known
}

func (c *checker) policies(rules []*transomv1.PolicyRule) {
	for i, rule := range rules {
		path := join("policies", i)
		c.selector(join(path, "selector"), rule.Selector)
		if rule.Policy == nil {
			c.fail(join(path, "policy"), "found none, expected what holds for the selector's methods")
		}
	}
}

// selector holds that a selector is one.
func (c *checker) selector(path, text string) bool {
	if text == "" {
		c.fail(path, `found none, expected a full name, "package.*" or "*"`)
		return false
	}
	if _, err := httprule.ParseSelector(text); err != nil {
		c.fail(path, "%v%s", err, dotted(text))
		return false
	}
	return true
}

// dotted suggests the selector of a method that is written with a slash, as it is called.
func dotted(text string) string {
	near := strings.ReplaceAll(strings.TrimPrefix(text, "/"), "/", ".")
	if _, err := httprule.ParseSelector(near); err != nil {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", near)
}

// directory holds that a folder is there.
func (c *checker) directory(path, name string) {
	c.there(path, name, "folder", fs.FileInfo.IsDir, "is a file, expected a folder")
}

// regular holds that a file is there.
func (c *checker) regular(path, name string) {
	isFile := func(info fs.FileInfo) bool { return !info.IsDir() }
	c.there(path, name, "file", isFile, "is a folder, expected a file")
}

// there holds that something of that kind is there.
func (c *checker) there(path, name, kind string, is func(fs.FileInfo) bool, otherwise string) {
	if name == "" {
		c.fail(path, "found no name, expected a %s", kind)
		return
	}
	resolved := c.file.Resolve(name)
	switch info, err := regularfile.Stat(resolved); {
	case errors.Is(err, fs.ErrNotExist):
		c.fail(path, "%s: there is no such %s", resolved, kind)
	case err != nil:
		c.fail(path, "%v", err)
	case !is(info):
		c.fail(path, "%s %s", resolved, otherwise)
	}
}

// positive holds that a duration, if it is set, is more than zero.
func (c *checker) positive(path string, d *durationpb.Duration) {
	if d != nil && d.AsDuration() <= 0 {
		c.fail(path, "found %s, expected more than 0s", span.Text(d.AsDuration()))
	}
}

func (c *checker) notNegative(path string, d *durationpb.Duration) {
	if d.AsDuration() < 0 {
		c.fail(path, "found %s, expected at least 0s", span.Text(d.AsDuration()))
	}
}
