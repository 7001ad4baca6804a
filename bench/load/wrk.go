package load

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// Interface guard.
var _ Tool = Wrk

// Wrk sends over HTTP/1.1 from one thread. A script is used only where there
// is a body, or where requests differ.
func Wrk(ctx context.Context, base string, r Request, o Options) (requests int64, err error) {
	args := []string{
		"-t1",
		"-c" + strconv.Itoa(o.connections()),
		fmt.Sprintf("-d%ds", o.seconds()),
	}
	for _, name := range r.headerNames() {
		args = append(args, "-H", name+": "+r.Headers[name])
	}
	once := func(args ...string) error {
		out, err := run(ctx, o, "wrk", append(args, base+r.Path)...)
		if err != nil {
			return err
		}
		requests, err = parseWrk(out)
		return err
	}
	if r.Method == "" && r.Body == nil && !r.Apart && r.ApartHeader == "" {
		return requests, once(args...)
	}
	err = inFile("request.lua", wrkScript(r), func(path string) error {
		return once(append(args, "-s", path)...)
	})
	return requests, err
}

// wrkScript sets the method, the body, and the path or the header where each request has its own.
func wrkScript(r Request) []byte {
	script := fmt.Appendf(nil, "wrk.method = %s\nwrk.body = %s\n", luaString(cmp.Or(r.Method, http.MethodGet)), luaString(string(r.Body)))
	if r.Apart {
		script = fmt.Appendf(script, "local n = 0\nfunction request()\n  n = n + 1\n  return wrk.format(nil, %s .. n)\nend\n", luaString(r.Path+"-"+rand.Text()+"-"))
	}
	if name := r.ApartHeader; name != "" {
		script = fmt.Appendf(script, "local n = 0\nfunction request()\n  n = n + 1\n  wrk.headers[%s] = %s .. n\n  return wrk.format()\nend\n",
			luaString(name), luaString(r.Headers[name]+"-"+rand.Text()+"-"))
	}
	return script
}

// luaString writes every byte as a decimal escape, which needs no care.
func luaString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, `\%03d`, c)
	}
	b.WriteByte('"')
	return b.String()
}

var (
	wrkRequests = regexp.MustCompile(`(?m)^\s*(\d+) requests in `)
	wrkErrors   = regexp.MustCompile(`(?m)^\s*(Non-2xx or 3xx responses: .*|Socket errors: .*)$`)
)

// parseWrk reads wrk's report. Any failed request makes an error.
func parseWrk(report string) (int64, error) {
	if m := wrkErrors.FindStringSubmatch(report); m != nil {
		return 0, fmt.Errorf("wrk: %s", m[1])
	}
	m := wrkRequests.FindStringSubmatch(report)
	if m == nil {
		return 0, fmt.Errorf("wrk's report has no line \"N requests in …\":\n%s", report)
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err == nil && n == 0 {
		err = fmt.Errorf("wrk had no answer at all:\n%s", report)
	}
	return n, err
}
