package cachecases

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// The caches that the table is run before.
const (
	Transom = "transom"
	Varnish = "varnish"
)

// All lists the cases.
func All() []*Case {
	return slices.Concat(freshness(), kept(), statusCodes(), varying(), validating(), staleness(), invalidating(), asked())
}

func date(from time.Duration) string { return time.Now().Add(from).UTC().Format(http.TimeFormat) }

// reused is a case of an answer that is given again.
func reused(name string, answer ...string) *Case {
	return &Case{Name: name, Steps: []Step{{Answer: answer, Asked: Yes}, {Asked: No, From: 1, Has: []string{"Age: *"}}}}
}

// fetched is a case of one that is not.
func fetched(name string, answer ...string) *Case {
	return &Case{Name: name, Steps: []Step{{Answer: answer, Asked: Yes}, {Answer: answer, Asked: Yes}}}
}

// not says which caches decide otherwise.
func (c *Case) not(cache, why string) *Case {
	if c.Not == nil {
		c.Not = map[string]string{}
	}
	c.Not[cache] = why
	return c
}

func freshness() []*Case {
	return []*Case{
		reused("max-age", "Cache-Control: max-age=3600"),
		reused("max-age in capitals", "Cache-Control: MAX-AGE=3600"),
		reused("max-age as a quoted string", `Cache-Control: max-age="3600"`).not(Varnish, "it reads a token"),
		reused("max-age that no integer holds", "Cache-Control: max-age=99999999999999999999"),
		reused("max-age behind another directive", "Cache-Control: foo=bar, max-age=3600"),
		reused("max-age on a line of its own", "Cache-Control: public", "Cache-Control: max-age=3600"),
		reused("max-age, and Pragma, which says nothing in answers", "Cache-Control: max-age=3600", "Pragma: no-cache"),
		reused("max-age before Expires", "Cache-Control: max-age=3600", "Date: "+date(0), "Expires: "+date(-time.Hour)),
		reused("s-maxage before max-age", "Cache-Control: s-maxage=3600, max-age=0"),
		reused("Expires", "Date: "+date(0), "Expires: "+date(time.Hour)),
		reused("Age below max-age", "Cache-Control: max-age=3600", "Age: 600"),
		fetched("nothing said of the time"),
		fetched("Last-Modified is no time to live", "Last-Modified: "+date(-100*time.Hour)),
		fetched("max-age=0", "Cache-Control: max-age=0"),
		fetched("max-age below zero", "Cache-Control: max-age=-3600"),
		fetched("max-age that is no number", "Cache-Control: max-age=abc"),
		fetched("max-age in the string of another directive", `Cache-Control: foo="x, max-age=3600"`),
		fetched("max-age as the end of another name", "Cache-Control: x-max-age=3600"),
		fetched("s-maxage=0 before max-age", "Cache-Control: s-maxage=0, max-age=3600"),
		fetched("max-age=0 before Expires", "Cache-Control: max-age=0", "Date: "+date(0), "Expires: "+date(time.Hour)),
		fetched("Expires in the past", "Date: "+date(0), "Expires: "+date(-time.Hour)),
		fetched("Expires that is no date", "Expires: 0"),
		fetched("Expires at Date", "Date: "+date(time.Hour), "Expires: "+date(time.Hour)),
		fetched("Age above max-age", "Cache-Control: max-age=3600", "Age: 4000"),
		fetched("Date long ago", "Cache-Control: max-age=3600", "Date: "+date(-2*time.Hour)).not(Varnish, "it does not look at Date beside max-age"),
	}
}

func kept() []*Case {
	age := "Cache-Control: max-age=3600"
	large := "Content-Encoding: br"
	return []*Case{
		fetched("no-store", "Cache-Control: no-store, max-age=3600"),
		fetched("no-store on a line of its own", age, "Cache-Control: no-store"),
		fetched("private", "Cache-Control: private, max-age=3600"),
		fetched("private for a field counts for all", `Cache-Control: private="x-a", max-age=3600`),
		fetched("no-cache", "Cache-Control: no-cache, max-age=3600"),
		fetched("Set-Cookie", age, "Set-Cookie: a=b"),
		fetched("Vary for any", age, "Vary: *"),
		fetched("Vary for any, beside a name", age, "Vary: accept, *").not(Varnish, "it looks for the star alone"),
		reused("what the server encoded", age, large),
		reused("fields of its own", age, "X-A: b"),
		{Name: "fields end to end, and Date", Steps: []Step{
			{Answer: []string{age, "X-A: b", "X-A: c", "Content-Language: de", "Connection: x-hop", "X-Hop: 1", "Date: " + date(-time.Minute)}, Asked: Yes, Has: []string{"!X-Hop"}},
			{Asked: No, From: 1, Has: []string{"X-A: b, c", "Content-Language: de", "!X-Hop", "Date: *", "Age: *"}},
		}},
		{Name: "a body that breaks off", Steps: []Step{
			{Answer: []string{age}, Broken: true, Asked: Yes},
			{Answer: []string{age}, Asked: Yes, From: 2},
		}},
		{Name: "HEAD is answered by what GET has brought", Steps: []Step{
			{Answer: []string{age}, Asked: Yes},
			{Method: "HEAD", Asked: No, Has: []string{"Content-Length: 14", "Age: *"}},
		}},
		{Name: "what HEAD has brought answers no GET", Steps: []Step{
			{Method: "HEAD", Answer: []string{age}, Asked: Yes},
			{Answer: []string{age}, Asked: Yes, From: 2},
		}, Not: map[string]string{Varnish: "it fetches for HEAD by GET"}},
		{Name: "queries differ", Steps: []Step{
			{Path: "?a=1", Answer: []string{age}, Asked: Yes},
			{Path: "?a=2", Answer: []string{age}, Asked: Yes},
			{Path: "?a=1", Asked: No, From: 1},
			{Path: "?a=2", Asked: No, From: 2},
			{Answer: []string{age}, Asked: Yes},
		}},
		{Name: "hosts differ", Steps: []Step{
			{Send: []string{"Host: a.example"}, Answer: []string{age}, Asked: Yes},
			{Send: []string{"Host: b.example"}, Answer: []string{age}, Asked: Yes},
			{Send: []string{"Host: A.example"}, Asked: No, From: 1},
		}},
		{Name: "paths differ by case", Steps: []Step{
			{Path: "/a", Answer: []string{age}, Asked: Yes},
			{Path: "/A", Answer: []string{age}, Asked: Yes},
		}},
		{Name: "credentials", Steps: []Step{
			{Send: []string{"Authorization: Bearer a"}, Answer: []string{age}, Asked: Yes},
			{Answer: []string{age}, Asked: Yes, From: 2},
			{Send: []string{"Authorization: Bearer a"}, Answer: []string{age}, Asked: Yes, From: 3},
		}},
		{Name: "cookies", Steps: []Step{
			{Send: []string{"Cookie: a=b"}, Answer: []string{age}, Asked: Yes},
			{Answer: []string{age}, Asked: Yes, From: 2},
			{Send: []string{"Cookie: a=b"}, Answer: []string{age}, Asked: Yes, From: 3},
		}},
	}
}

func statusCodes() []*Case {
	var all []*Case
	for _, status := range []int{200, 203, 204, 300, 301, 302, 307, 308, 404, 405, 410, 414, 501, 299, 499} {
		c := reused(fmt.Sprintf("status %d that says its time", status), "Cache-Control: max-age=3600")
		c.Steps[0].Status, c.Steps[1].Want = status, status
		switch status {
		case 200, 203, 204, 300, 301, 302, 307, 404, 410, 414:
		default:
			c.not(Varnish, "it keeps a list of statuses")
		}
		all = append(all, c)
		c = fetched(fmt.Sprintf("status %d that does not", status))
		c.Steps[0].Status, c.Steps[1].Status = status, status
		all = append(all, c)
	}
	for _, status := range []int{206, 299} {
		c := fetched(fmt.Sprintf("status %d with must-understand", status), "Cache-Control: max-age=3600, must-understand", "Content-Range: bytes 0-13/20")
		c.Steps[0].Status, c.Steps[1].Status = status, status
		all = append(all, c.not(Varnish, "it does not know must-understand, nor 206 that nobody asked for"))
	}
	understood := reused("must-understand before no-store", "Cache-Control: max-age=3600, must-understand, no-store")
	return append(all, understood.not(Varnish, "it does not know must-understand"))
}

func varying() []*Case {
	age := "Cache-Control: max-age=3600"
	return []*Case{
		{Name: "Vary", Steps: []Step{
			{Send: []string{"X-V: 1"}, Answer: []string{age, "Vary: X-V"}, Asked: Yes},
			{Send: []string{"X-V: 2"}, Answer: []string{age, "Vary: X-V"}, Asked: Yes},
			{Send: []string{"X-V: 1"}, Asked: No, From: 1},
			{Send: []string{"X-V: 2"}, Asked: No, From: 2},
			{Answer: []string{age, "Vary: X-V"}, Asked: Yes},
			{Asked: No, From: 5},
			{Send: []string{"X-V: 1", "X-Other: 2"}, Asked: No, From: 1},
		}},
		{Name: "Vary by two", Steps: []Step{
			{Send: []string{"X-V: 1", "X-W: 1"}, Answer: []string{age, "Vary: X-V, X-W"}, Asked: Yes},
			{Send: []string{"X-V: 1", "X-W: 2"}, Answer: []string{age, "Vary: X-V, X-W"}, Asked: Yes},
			{Send: []string{"X-V: 1", "X-W: 1"}, Asked: No, From: 1},
		}},
		{Name: "Vary on two lines", Steps: []Step{
			{Send: []string{"X-V: 1", "X-W: 1"}, Answer: []string{age, "Vary: X-V", "Vary: X-W"}, Asked: Yes},
			{Send: []string{"X-V: 1", "X-W: 2"}, Answer: []string{age, "Vary: X-V", "Vary: X-W"}, Asked: Yes},
		}},
		{Name: "Vary with other white space", Steps: []Step{
			{Send: []string{"X-V: a, b"}, Answer: []string{age, "Vary: x-v"}, Asked: Yes},
			{Send: []string{"X-V: a,b"}, Asked: No, From: 1},
			{Send: []string{"X-V: a", "X-V: b"}, Asked: No, From: 1},
		}, Not: map[string]string{Varnish: "it compares values as they are"}},
		{Name: "answers that vary by different fields", Steps: []Step{
			{Send: []string{"X-V: 1"}, Answer: []string{age, "Vary: X-V"}, Asked: Yes},
			{Send: []string{"X-V: 2", "X-W: 1"}, Answer: []string{age, "Vary: X-W"}, Asked: Yes},
			{Send: []string{"X-V: 2", "X-W: 2"}, Answer: []string{age, "Vary: X-W"}, Asked: Yes, From: 3},
		}},
	}
}

func validating() []*Case {
	tag, age := `Etag: "abc"`, "Cache-Control: max-age=3600"
	modified := "Last-Modified: " + date(-48*time.Hour)
	first := Step{Answer: []string{age, tag, modified, "Content-Type: text/x-test"}, Asked: Yes}
	conditional := func(name string, want int, send ...string) *Case {
		has := []string{"Age: *"}
		if want == http.StatusNotModified {
			has = []string{tag, age, "!Content-Length"}
		}
		return &Case{Name: name, Steps: []Step{first, {Send: send, Asked: No, Want: want, Has: has, From: 1}}}
	}
	return []*Case{
		conditional("If-None-Match that matches", 304, `If-None-Match: "abc"`),
		conditional("If-None-Match that matches weakly", 304, `If-None-Match: W/"abc"`),
		conditional("If-None-Match of a list", 304, `If-None-Match: "x", "abc"`).not(Varnish, "it compares the field as a whole"),
		conditional("If-None-Match of two lines", 304, `If-None-Match: "x"`, `If-None-Match: "abc"`).not(Varnish, "it joins lines elsewhere"),
		conditional("If-None-Match of any", 304, `If-None-Match: *`).not(Varnish, "it compares it as a tag"),
		conditional("If-None-Match that does not", 200, `If-None-Match: "x"`),
		conditional("If-None-Match before If-Modified-Since", 200, `If-None-Match: "x"`, "If-Modified-Since: "+date(0)),
		conditional("If-Modified-Since, later", 304, "If-Modified-Since: "+date(0)),
		conditional("If-Modified-Since, earlier", 200, "If-Modified-Since: "+date(-100*time.Hour)),
		conditional("If-Modified-Since that is no date", 200, "If-Modified-Since: yesterday"),
		{Name: "a condition of a client fills the cache", Steps: []Step{
			{Send: []string{`If-None-Match: "abc"`}, Answer: []string{age, tag}, Asked: Yes, See: []string{"!If-None-Match"}, Want: 304},
			{Asked: No, From: 1},
		}},
		{Name: "a stale answer that holds", Steps: []Step{
			{Answer: []string{age, "Age: 4000", tag, modified, "X-A: 1", "X-B: 1"}, Asked: Yes},
			{Status: 304, Answer: []string{age, tag, "X-A: 2", "Content-Type: text/other"}, Asked: Yes, See: []string{`If-None-Match: "abc"`, "If-Modified-Since: *"},
				Want: 200, Has: []string{"X-A: 2", "X-B: 1"}, From: 1},
			{Asked: No, Want: 200, Has: []string{"X-A: 2", "X-B: 1"}, From: 1},
		}},
		{Name: "a stale answer that holds, by its date", Steps: []Step{
			{Answer: []string{age, "Age: 4000", modified}, Asked: Yes},
			{Status: 304, Answer: []string{age}, Asked: Yes, See: []string{"If-Modified-Since: *"}, Want: 200, From: 1},
			{Asked: No, Want: 200, From: 1},
		}},
		{Name: "a stale answer that does not hold", Steps: []Step{
			{Answer: []string{age, "Age: 4000", tag}, Asked: Yes},
			{Answer: []string{age, `Etag: "new"`}, Asked: Yes, See: []string{`If-None-Match: "abc"`}, Has: []string{`Etag: "new"`}},
			{Asked: No, From: 2, Has: []string{`Etag: "new"`}},
		}},
		{Name: "a stale answer and a client that has it", Steps: []Step{
			{Answer: []string{age, "Age: 4000", tag}, Asked: Yes},
			{Send: []string{`If-None-Match: "abc"`}, Status: 304, Answer: []string{age, tag}, Asked: Yes, Want: 304},
			{Asked: No, Want: 200, From: 1},
		}},
		{Name: "a stale answer without a validator", Steps: []Step{
			{Answer: []string{age, "Age: 4000"}, Asked: Yes},
			{Answer: []string{age}, Asked: Yes, See: []string{"!If-None-Match", "!If-Modified-Since"}},
		}},
		{Name: "max-age=0 with a validator is asked for each time", Steps: []Step{
			{Answer: []string{"Cache-Control: max-age=0", tag}, Asked: Yes},
			{Status: 304, Answer: []string{"Cache-Control: max-age=0", tag}, Asked: Yes, See: []string{`If-None-Match: "abc"`}, Want: 200, From: 1},
			{Status: 304, Answer: []string{"Cache-Control: max-age=0", tag}, Asked: Yes, See: []string{`If-None-Match: "abc"`}, Want: 200, From: 1},
		}, Not: map[string]string{Varnish: "its builtin VCL makes a hit-for-miss of it"}},
	}
}

func staleness() []*Case {
	return []*Case{
		{Name: "stale-if-error", Steps: []Step{
			{Answer: []string{"Cache-Control: max-age=10, stale-if-error=3600", "Age: 20"}, Asked: Yes},
			{Status: 503, Asked: Yes, Want: 200, From: 1, Has: []string{"Age: *"}},
			{Answer: []string{"Cache-Control: max-age=3600"}, Asked: Yes, From: 3},
		}, Not: map[string]string{Varnish: "it does not read stale-if-error"}},
		{Name: "an error without stale-if-error", Steps: []Step{
			{Answer: []string{"Cache-Control: max-age=10", "Age: 20", `Etag: "a"`}, Asked: Yes},
			{Status: 503, Asked: Yes, Want: 503},
		}},
		{Name: "must-revalidate before stale-if-error", Steps: []Step{
			{Answer: []string{"Cache-Control: max-age=10, stale-if-error=3600, must-revalidate", "Age: 20", `Etag: "a"`}, Asked: Yes},
			{Status: 503, Asked: Yes, Want: 503},
		}},
		{Name: "proxy-revalidate before stale-while-revalidate", Steps: []Step{
			{Answer: []string{"Cache-Control: max-age=10, stale-while-revalidate=3600, proxy-revalidate", "Age: 20", `Etag: "a"`}, Asked: Yes},
			{Answer: []string{"Cache-Control: max-age=10"}, Asked: Yes},
		}, Not: map[string]string{Varnish: "it does not read proxy-revalidate"}},
		{Name: "stale-while-revalidate", Steps: []Step{
			{Answer: []string{"Cache-Control: max-age=10, stale-while-revalidate=3600", "Age: 20"}, Asked: Yes},
			{Answer: []string{"Cache-Control: max-age=10, stale-while-revalidate=3600", "Age: 20"}, From: 1, Has: []string{"Age: *"}},
		}},
	}
}

func invalidating() []*Case {
	age := "Cache-Control: max-age=3600"
	var all []*Case
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "M-OTHER"} {
		all = append(all, &Case{Name: method + " drops what is kept", Steps: []Step{
			{Answer: []string{age}, Asked: Yes},
			{Asked: No, From: 1},
			{Method: method, Asked: Yes},
			{Answer: []string{age}, Asked: Yes, From: 4},
		}})
	}
	all = append(all, &Case{Name: "variants are dropped together", Steps: []Step{
		{Send: []string{"X-V: 1"}, Answer: []string{age, "Vary: X-V"}, Asked: Yes},
		{Send: []string{"X-V: 2"}, Answer: []string{age, "Vary: X-V"}, Asked: Yes},
		{Method: "POST", Asked: Yes, Status: 303, Answer: []string{"Location: /elsewhere"}},
		{Send: []string{"X-V: 1"}, Answer: []string{age, "Vary: X-V"}, Asked: Yes},
		{Send: []string{"X-V: 2"}, Answer: []string{age, "Vary: X-V"}, Asked: Yes},
	}})
	for _, field := range []string{"Location", "Content-Location"} {
		all = append(all, &Case{Name: field + " of POST is dropped, too", Steps: []Step{
			{Path: "/a", Answer: []string{age}, Asked: Yes},
			{Path: "/b?c=d", Answer: []string{age}, Asked: Yes},
			{Method: "POST", Status: 201, Answer: []string{field + ": {URL}/a"}, Asked: Yes},
			{Path: "/a", Answer: []string{age}, Asked: Yes, From: 4},
			{Path: "/b?c=d", Asked: No, From: 2},
			{Method: "POST", Path: "/x/", Status: 201, Answer: []string{field + ": ../b?c=d#e"}, Asked: Yes},
			{Path: "/b?c=d", Answer: []string{age}, Asked: Yes, From: 7},
		}}, &Case{Name: field + " of another origin is not", Steps: []Step{
			{Path: "/a", Answer: []string{age}, Asked: Yes},
			{Method: "POST", Status: 201, Answer: []string{field + ": http://other.example/a"}, Asked: Yes},
			{Path: "/a", Asked: No, From: 1},
		}})
	}
	for _, c := range all {
		if !strings.HasSuffix(c.Name, "is not") {
			c.not(Varnish, "it leaves dropping to VCL")
		}
	}
	return append(all,
		&Case{Name: "POST that failed drops nothing", Steps: []Step{
			{Answer: []string{age}, Asked: Yes},
			{Method: "POST", Status: 403, Asked: Yes},
			{Asked: No, From: 1},
		}},
		&Case{Name: "OPTIONS drops nothing", Steps: []Step{
			{Answer: []string{age}, Asked: Yes},
			{Method: "OPTIONS", Asked: Yes},
			{Asked: No, From: 1},
		}})
}

func asked() []*Case {
	age := "Cache-Control: max-age=3600"
	var all []*Case
	for _, line := range []string{"Cache-Control: no-cache", "Cache-Control: no-store", "Cache-Control: max-age=0", "Pragma: no-cache"} {
		all = append(all, &Case{Name: "a client cannot empty the cache by " + line[len("Cache-Control: ")-6:], Steps: []Step{
			{Answer: []string{age}, Asked: Yes},
			{Send: []string{line}, Asked: No, From: 1},
		}})
	}
	return append(all,
		&Case{Name: "only-if-cached", Steps: []Step{
			{Send: []string{"Cache-Control: only-if-cached"}, Asked: No, Want: 504},
			{Answer: []string{age}, Asked: Yes},
			{Send: []string{"Cache-Control: only-if-cached"}, Asked: No, From: 2},
		}, Not: map[string]string{Varnish: "it does not read the directives of requests"}},
		&Case{Name: "a range passes", Steps: []Step{
			{Answer: []string{age}, Asked: Yes},
			{Send: []string{"Range: bytes=0-1"}, Status: 206, Body: "bo", Answer: []string{age, "Content-Range: bytes 0-1/14"}, Asked: Yes, See: []string{"Range: bytes=0-1"}},
			{Asked: No, From: 1},
		}, Not: map[string]string{Varnish: "it takes ranges out of what it keeps"}},
		&Case{Name: "If-Match passes", Steps: []Step{
			{Answer: []string{age, `Etag: "a"`}, Asked: Yes},
			{Send: []string{`If-Match: "b"`}, Status: 412, Asked: Yes, See: []string{`If-Match: "b"`}},
			{Asked: No, From: 1},
		}, Not: map[string]string{Varnish: "it takes no notice of If-Match"}},
	)
}
