package admin

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// head is everything before the facts. Packages for templates are not linked:
// they keep the linker from leaving unused methods out of the binary.
const head = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Transom</title>
<style>
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { margin: 2rem auto; max-width: 72rem; padding: 0 1rem }
h1 small { font-weight: normal; opacity: .6 }
nav a { display: inline-block; margin-right: 1rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #8884; vertical-align: top }
code, pre { font: .9em ui-monospace, monospace }
pre { white-space: pre-wrap; overflow-wrap: anywhere; border-left: 4px solid #c33; padding-left: 1rem }
.bad { color: #c33 }
</style>
`

// links are what the page leads to.
var links = []string{"healthz", "readyz?verbose", "metrics", "routes", "upstreams", "debug/pprof/"}

// maxShown bounds the rows of the page; /routes lists all.
const maxShown = 500

// pagePath is where the page is, which is at / as well where there is no console. Browsers
// without JavaScript are sent here (Surface 246).
const pagePath = "/page"

// page is the state of the gateway for people.
func (s *server) page(w http.ResponseWriter, _ *http.Request) {
	var b strings.Builder
	b.WriteString(head)
	fmt.Fprintf(&b, "<h1>Transom <small>%s</small></h1>\n<nav>", html.EscapeString(s.Version))
	for _, link := range links {
		fmt.Fprintf(&b, `<a href="/%s">%s</a>`, link, link)
	}
	b.WriteString("</nav>\n")
	s.writeStatus(&b)
	s.writeRoutes(&b)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, b.String()) // the client is gone
}

func (s *server) writeStatus(b *strings.Builder) {
	if ready, reason := s.Gateway.Ready(); !ready {
		fmt.Fprintf(b, "<p class=bad>Not ready: %s</p>\n", html.EscapeString(reason))
	}
	status := s.Gateway.Status()
	if status.Generation > 0 {
		fmt.Fprintf(b, "<p>Generation %d is in service since %s.</p>\n", status.Generation, status.LoadedAt.UTC().Format(time.RFC3339))
	}
	b.WriteString("<form method=post action=/reload><button>Reload</button></form>\n")
	if !status.FailedAt.IsZero() {
		fmt.Fprintf(b, "<h2 class=bad>The reload at %s failed</h2>\n", status.FailedAt.UTC().Format(time.RFC3339))
	} else if len(status.Problems) > 0 {
		b.WriteString("<h2>Loaded, but for</h2>\n")
	}
	if len(status.Problems) > 0 {
		b.WriteString("<pre>")
		for _, p := range status.Problems {
			b.WriteString(html.EscapeString(p.String()) + "\n")
		}
		b.WriteString("</pre>\n")
	}
	b.WriteString("<h2>Upstreams</h2>\n<table><tr><th>Name<th>Target<th>State\n")
	for _, u := range status.Upstreams {
		row(b, u.Name, u.Target, u.words())
	}
	b.WriteString("</table>\n")
	writeEndpoints(b, status.Upstreams)
}

func (s *server) writeRoutes(b *strings.Builder) {
	routes := s.Gateway.Routes()
	ofMethods := slices.ContainsFunc(routes, func(r Route) bool { return r.RPC != "" })
	columns := "<th>RPC<th>Stream"
	if !ofMethods {
		columns = "" // plain HTTP routes have neither
	}
	fmt.Fprintf(b, "<h2>%d routes</h2>\n<table><tr><th>Method<th>Path%s<th>Upstream<th>Policies\n", len(routes), columns)
	for _, r := range routes[:min(len(routes), maxShown)] {
		cells := []string{r.Method, strings.Join(append([]string{r.Path}, r.Conditions...), " ")}
		if ofMethods {
			cells = append(cells, r.RPC, r.Stream)
		}
		row(b, append(cells, cmp.Or(r.Upstream, r.Answer), strings.Join(r.Policies, ", "))...)
	}
	b.WriteString("</table>\n")
	if len(routes) > maxShown {
		fmt.Fprintf(b, "<p>The first %d are shown; <a href=/routes>routes</a> lists all.</p>\n", maxShown)
	}
}

func row(b *strings.Builder, cells ...string) {
	b.WriteString("<tr>")
	for _, cell := range cells {
		b.WriteString("<td>" + html.EscapeString(cell))
	}
	b.WriteString("\n")
}
