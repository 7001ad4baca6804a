package config

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/transom-gateway/transom/internal/httproute"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// MaxRespond bounds the body of an answer of the gateway's own, in bytes.
const MaxRespond = 64 << 10

// MaxErrorPage bounds a page for browsers, in bytes.
const MaxErrorPage = 256 << 10

// errorPages holds that pages are for statuses of errors, and that their files are there.
func (c *checker) errorPages(pages map[string]string) {
	for _, status := range slices.Sorted(maps.Keys(pages)) {
		path := join("error_pages", status)
		n, err := strconv.Atoi(status)
		if status != "default" && status != "4xx" && status != "5xx" && (err != nil || n < 400 || n > 599) {
			c.fail(path, "found %q, expected a status from 400 to 599, 4xx, 5xx or default", status)
			continue
		}
		c.regular(path, pages[status])
	}
}

// routes checks the routes, all but their policies.
func (c *checker) routes(config *transomv1.Config) {
	matches := make([]httproute.Match, len(config.Routes))
	for i, route := range config.Routes {
		path := join("routes", i)
		c.routeAction(path, route, config)
		for n, token := range route.Upgrades {
			if !httpguts.ValidHeaderFieldName(token) {
				c.fail(join(join(path, "upgrades"), n), "found %q, expected a token of the header Upgrade", token)
			}
		}
		matches[i] = RouteMatch(route.Match)
	}
	_, problems := httproute.New(matches)
	for _, p := range problems {
		path, message := join("routes", p.Index), p.Message
		if p.Field != "" {
			path = join(path, "match."+p.Field)
		}
		if p.Other >= 0 {
			other := join("routes", p.Other)
			message += fmt.Sprintf(" %s (%s)", other, c.file.Where(other))
		}
		if p.Warning {
			continue // the gateway warns
		}
		c.fail(path, "%s", message)
	}
}

// routeAction checks what becomes of a route's requests.
func (c *checker) routeAction(path string, route *transomv1.HttpRoute, config *transomv1.Config) {
	ways := []way{
		{"upstream", route.Upstream != ""}, {"policy.split", route.GetPolicy().GetSplit() != nil && route.Upstream == ""},
		{"redirect", route.Redirect != nil}, {"respond", route.Respond != nil},
	}
	switch {
	case !c.one(path, "upstream, redirect and respond", ways):
	case route.Redirect != nil:
		c.redirect(join(path, "redirect"), route)
	case route.Respond != nil:
		c.respond(join(path, "respond"), route.Respond)
	case route.Upstream != "":
		c.routeUpstream(join(path, "upstream"), route.Upstream, config)
	}
	if route.Compression != nil && (route.Redirect != nil || route.Respond != nil) {
		c.fail(join(path, "compression"), "found it beside an answer of the gateway's own; it is for upstreams: remove it")
	}
	if route.Rewrite != nil && (route.Redirect != nil || route.Respond != nil) {
		c.fail(join(path, "rewrite"), "found it beside an answer of the gateway's own; it is for upstreams: remove it")
		return
	}
	c.rewrite(join(path, "rewrite"), route)
	c.compression(join(path, "compression"), route.Compression)
}

// maxCompressionMin bounds how much of an answer is held back, in bytes.
const maxCompressionMin = 64 << 10

// compression holds that media types are some.
func (c *checker) compression(path string, r *transomv1.HttpCompression) {
	for i, text := range r.GetTypes() {
		kind, sub, ok := strings.Cut(text, "/")
		if !ok || !httpguts.ValidHeaderFieldName(kind) || !httpguts.ValidHeaderFieldName(sub) || kind == "*" || strings.Contains(sub, "*") && sub != "*" {
			c.fail(join(join(path, "types"), i), `found %q, expected a media type without parameters, such as "application/json" or "text/*"`, text)
		}
		if strings.EqualFold(text, "text/event-stream") {
			c.fail(join(join(path, "types"), i), "found %q, whose events pass as they come: remove it", text)
		}
	}
	if n := r.GetMinBytes(); n > maxCompressionMin {
		c.fail(join(path, "min_bytes"), "found %d, expected at most %d", n, maxCompressionMin)
	}
}

// way is a field of several that exclude each other.
type way struct {
	field string
	set   bool
}

// one holds that one of several ways is taken, and says which are where it is not. known are
// all that there are.
func (c *checker) one(path, known string, ways []way) bool {
	var found []string
	last := path
	for _, w := range ways {
		if w.set {
			last = join(path, w.field)
			found = append(found, fmt.Sprintf("%s (%s)", w.field, c.file.Where(last)))
		}
	}
	switch n := len(found); n {
	case 0:
		c.fail(path, "found none of %s, expected one", known)
	case 1:
		return true
	default:
		c.fail(last, "found %s and %s, expected one of %s", strings.Join(found[:n-1], ", "), found[n-1], known)
	}
	return false
}

// routeUpstream holds that name is a plain HTTP upstream.
func (c *checker) routeUpstream(path, name string, config *transomv1.Config) {
	c.knownUpstream(path, name, config)
	if u, ok := config.Upstreams[name]; ok && u.GetHttp() == nil {
		c.fail(path, "found %q, which is a gRPC upstream; expected a plain HTTP one, of upstreams.NAME.http. Methods of gRPC services have their paths by HTTP rules", name)
	}
}

func (c *checker) rewrite(path string, route *transomv1.HttpRoute) {
	r := route.GetRewrite()
	for field, text := range map[string]string{"strip_prefix": r.GetStripPrefix(), "add_prefix": r.GetAddPrefix(), "replace_prefix": r.GetReplacePrefix(), "path": r.GetPath()} {
		c.routePath(join(path, field), text)
	}
	prefixes := r.GetStripPrefix() != "" || r.GetAddPrefix() != ""
	switch {
	case r.GetPath() != "" && (prefixes || r.GetReplacePrefix() != ""), r.GetReplacePrefix() != "" && prefixes:
		c.fail(path, "found several changes to the path; expected path, or replace_prefix, or strip_prefix and add_prefix")
	case r != nil && r.ReplacePrefix != nil && route.GetMatch().GetPathPrefix() == "":
		c.fail(join(path, "replace_prefix"), "found it without match.path_prefix, which it replaces; expected add_prefix, or path")
	}
	if h := r.GetHost(); h != "" && h != HostOfUpstream && !httpguts.ValidHostHeader(h) {
		c.fail(join(path, "host"), "found %q, expected a host, or %s for the server's own", h, HostOfUpstream)
	}
}

// HostOfUpstream stands for the server's own Host in a rewrite.
const HostOfUpstream = "UPSTREAM"

// routePath holds that a path of a rewrite is one.
func (c *checker) routePath(path, text string) {
	if problem := httproute.Check(text); text != "" && problem != "" {
		c.fail(path, "%s", problem)
	}
}

func (c *checker) redirect(path string, route *transomv1.HttpRoute) {
	r := route.Redirect
	if r.Scheme != "" && r.Scheme != "http" && r.Scheme != "https" {
		c.fail(join(path, "scheme"), "found %q, expected http or https", r.Scheme)
	}
	if strings.Contains(r.Host, ":") && !strings.HasPrefix(r.Host, "[") || !httpguts.ValidHostHeader(r.Host) {
		c.fail(join(path, "host"), "found %q, expected a host without a scheme and port; scheme and port have fields of their own", r.Host)
	}
	if r.Port > 65535 {
		c.fail(join(path, "port"), "found %d, expected a number from 1 to 65535", r.Port)
	}
	c.routePath(join(path, "path"), r.Path)
	c.routePath(join(path, "replace_prefix"), r.GetReplacePrefix())
	switch {
	case r.Path != "" && r.ReplacePrefix != nil:
		c.fail(join(path, "path"), "found it beside replace_prefix; expected one of them")
	case r != nil && r.ReplacePrefix != nil && route.GetMatch().GetPathPrefix() == "":
		c.fail(join(path, "replace_prefix"), "found it without match.path_prefix, which it replaces; expected path")
	case r.Scheme == "" && r.Host == "" && r.Port == 0 && r.Path == "" && r.ReplacePrefix == nil:
		c.fail(path, "found nothing that changes, so that clients would be sent to where they are; expected scheme, host, port, path or replace_prefix")
	}
	if !slices.Contains([]uint32{0, 301, 302, 303, 307, 308}, r.Status) {
		c.fail(join(path, "status"), "found %d, expected 301, 302, 303, 307 or 308", r.Status)
	}
}

func (c *checker) respond(path string, r *transomv1.HttpRespond) {
	if r.Status != 0 && (r.Status < 200 || r.Status > 599) {
		c.fail(join(path, "status"), "found %d, expected 200 to 599", r.Status)
	}
	if len(r.GetBody()) > MaxRespond {
		c.fail(join(path, "body"), "has %d bytes; expected at most %d", len(r.GetBody()), MaxRespond)
	}
	if file, ok := r.Content.(*transomv1.HttpRespond_File); ok {
		c.regular(join(path, "file"), file.File)
		if info, err := os.Stat(c.file.Resolve(file.File)); err == nil && info.Mode().IsRegular() && info.Size() > MaxRespond {
			c.fail(join(path, "file"), "%s has %d bytes; expected at most %d", file.File, info.Size(), MaxRespond)
		}
	}
	noBody := r.Status == http.StatusNoContent || r.Status == http.StatusResetContent || r.Status == http.StatusNotModified
	if noBody && r.Content != nil {
		c.fail(path, "found a body beside status %d, whose answers have none", r.Status)
	}
	if !httpguts.ValidHeaderFieldValue(r.Type) {
		c.fail(join(path, "type"), "found %q, expected a media type", r.Type)
	}
	for name, value := range r.Headers {
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			c.fail(join(path, "headers"), "found %q: %q, which cannot be a header", name, value)
		}
	}
}

// RouteMatch is what a route matches.
func RouteMatch(m *transomv1.HttpMatch) httproute.Match {
	return httproute.Match{
		Host: m.GetHost(), Path: m.GetPath(), Prefix: m.GetPathPrefix(), Methods: m.GetMethods(), Headers: m.GetHeaders(), Query: m.GetQuery(),
	}
}

// RoutePath is the path of a route as those of rules are written, behind its host.
func RoutePath(m *transomv1.HttpMatch) string {
	if m.GetPath() != "" {
		return m.GetHost() + m.GetPath()
	}
	return m.GetHost() + strings.TrimSuffix(m.GetPathPrefix(), "/") + "/**"
}

// RouteRewrite is how a route changes the path.
func RouteRewrite(route *transomv1.HttpRoute) httproute.Rewrite {
	r := route.GetRewrite()
	if r == nil {
		return httproute.Rewrite{}
	}
	return rewriteOf(route, r.Path, r.ReplacePrefix, r.StripPrefix, r.AddPrefix)
}

// RedirectRewrite is how a route's redirect changes the path.
func RedirectRewrite(route *transomv1.HttpRoute) httproute.Rewrite {
	return rewriteOf(route, route.GetRedirect().GetPath(), route.GetRedirect().ReplacePrefix, "", "")
}

func rewriteOf(route *transomv1.HttpRoute, path string, replace *string, strip, add string) httproute.Rewrite {
	if replace != nil {
		return httproute.Rewrite{Strip: route.GetMatch().GetPathPrefix(), Add: *replace}
	}
	return httproute.Rewrite{Path: path, Strip: strip, Add: add}
}
