package httproute

import (
	"slices"
	"strings"
	"testing"
)

func TestClean(t *testing.T) {
	for path, want := range map[string]struct {
		clean string // "" for a refusal
		odd   bool
	}{
		"/":                        {"/", false},
		"/a/b.c/d-e_f~g":           {"/a/b.c/d-e_f~g", false},
		"/a!$&'()*+,=:@":           {"/a!$&'()*+,=:@", false},
		"/%61%2D%2e%5f%7E":         {"/a-._~", false},
		"/%c3%a9%20b":              {"/%C3%A9%20b", false},
		"/.":                       {"/", false},
		"/a/.":                     {"/a/", false},
		"/a/./b":                   {"/a/b", false},
		"/a/../b":                  {"/b", false},
		"/a/..":                    {"/", false},
		"/a/b/..":                  {"/a/", false},
		"/a/%2e%2E/b":              {"/b", false},
		"/a/.%2e/b":                {"/b", false},
		"/a/...":                   {"/a/...", false},
		"/.a/..b":                  {"/.a/..b", false},
		"/..":                      {"", false},
		"/a/../..":                 {"", false},
		"/%2e%2e/a":                {"", false},
		"//":                       {"//", true},
		"//a":                      {"//a", true},
		"/a//":                     {"/a//", true},
		"/a//../b":                 {"/a/b", false},
		"/a%2fb":                   {"/a%2Fb", true},
		"/a%5cb":                   {"/a%5Cb", true},
		`/a\b`:                     {`/a\b`, true},
		"/a;b":                     {"/a;b", true},
		"/a%3bb":                   {"/a%3Bb", true},
		"/a%25b":                   {"/a%25b", true},
		"/a%00":                    {"/a%00", true},
		"/a%0d%0ab":                {"/a%0D%0Ab", true},
		"/a%7f":                    {"/a%7F", true},
		"/a%40":                    {"/a%40", true},
		"/a|b":                     {"/a|b", true},
		"/a%7Cb":                   {"/a%7Cb", false},
		"/a{b}":                    {"/a{b}", true},
		"":                         {"", false},
		"a":                        {"", false},
		"*":                        {"", false},
		"/a b":                     {"", false},
		"/a\tb":                    {"", false},
		"/a\x00":                   {"", false},
		"/a\r\n":                   {"", false},
		"/\xc3\xa9":                {"", false},
		"/a#b":                     {"", false},
		"/a?b":                     {"", false},
		"/%":                       {"", false},
		"/%4":                      {"", false},
		"/%zz":                     {"", false},
		"/%u0041":                  {"", false},
		strings.Repeat("/a", 4096): {strings.Repeat("/a", 4096), false},
	} {
		clean, odd, err := Clean(path)
		if clean != want.clean || odd != want.odd || (err != nil) != (want.clean == "") {
			t.Errorf("Traffic 135, 137: %q becomes %q, odd %t, %v; want %q, %t", path, clean, odd, err, want.clean, want.odd)
		}
		if err != nil && (err.Status != 400 || err.Message == "") {
			t.Errorf("%q: refused with %d %q", path, err.Status, err.Message)
		}
	}
	if _, _, err := Clean(strings.Repeat("/a", 4097)); err == nil || err.Status != 414 {
		t.Errorf("Traffic 137: a path of 8194 bytes: %v", err)
	}
}

// bypasses are paths by which servers behind proxies have been reached that should not
// have been: CVE-2019-9901, CVE-2021-29492, CVE-2025-66490, CVE-2026-27587 and their like. For each
// a lax server may read /admin.
var bypasses = []string{
	"/public/..%2fadmin", "/public/..%2Fadmin", "/public/%2e%2e%2fadmin", "/public%2f..%2fadmin",
	"/public/..%5cadmin", `/public\..\admin`, `/public/..\admin`, "/public/..%5Cadmin",
	"/public/..;/admin", "/public/..;x=y/admin", "/public/.;/../admin", "/public/%2e%2e;/admin", "/public/..%3b/admin", "/public/;/../../admin",
	"//admin", "///admin", "/public//..//../admin", "/public/..//admin", `/\admin`, "/%2fadmin", "/%5cadmin", "/%2F%2Fadmin",
	"/public/%252e%252e/admin", "/public/%252e%252e%252fadmin", "/%25%36%31dmin", "/%2561dmin", "/public/..%252f/admin", "/public/..%255cadmin",
	"/admin;", "/admin;a=b", "/admin%3b", "/admin%3Ba=b", "/;/admin", "/;a/admin", "/admin%00", "/admin%00.html", "/%00/../admin", "/%09/../admin", "/ad%09min", "/a%0d%0admin", "/admin%0a", "/%7fadmin",
	"/public/%2e/%2e%2e%2f/admin", "/public/..%2f;/admin", "/public/%5c../admin/../%2e%2e%2fadmin",
}

// TestReadings pins Traffic 136: for each path that is not /admin as it stands, what a lax
// server makes of it is among the readings, or it is refused as it is.
func TestReadings(t *testing.T) {
	for _, path := range bypasses {
		clean, odd, err := Clean(path)
		if err != nil {
			continue
		}
		if !odd {
			continue // the server gets the clean path, which everybody reads so
		}
		readings, ok := Readings(clean)
		reaches := func(reading string) bool { return reading == "/admin" || strings.HasPrefix(reading, "/admin/") }
		if ok && !slices.ContainsFunc(readings, reaches) {
			t.Errorf("Traffic 136: %q is read as %q, and not as /admin", path, readings)
		}
	}
}

// TestReadingsAreBounded: the worst path is refused, or has few readings.
func TestReadingsAreBounded(t *testing.T) {
	for _, part := range []string{"%2F", `\`, ";a", "%25252F", "%00", "%09", "//", "/..;/%5C%2525%0A|", "%3B%2F%5C"} {
		path := "/" + strings.Repeat(part, MaxTarget/len(part)-1)
		clean, _, err := Clean(path)
		if err != nil {
			continue
		}
		if readings, ok := Readings(clean); ok && len(readings) > maxReadings {
			t.Errorf("%d readings of %q...", len(readings), part)
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, path := range bypasses {
		f.Add(path)
	}
	f.Add("/a/./b/../%c3%a9")
	f.Fuzz(func(t *testing.T, path string) {
		clean, odd, err := Clean(path)
		if err != nil {
			return
		}
		again, oddAgain, err := Clean(clean)
		if again != clean || odd != oddAgain || err != nil {
			t.Fatalf("%q becomes %q, and that %q (odd %t, %t), %v", path, clean, again, odd, oddAgain, err)
		}
		if strings.Contains(clean+"/", "/../") || strings.Contains(clean+"/", "/./") || clean[0] != '/' {
			t.Fatalf("%q becomes %q", path, clean)
		}
		readings, ok := Readings(clean)
		if !odd && (!ok || len(readings) > 0) {
			t.Fatalf("%q is not odd, and is read as %q", clean, readings)
		}
		for _, reading := range readings {
			if reading == "" || reading[0] != '/' {
				t.Fatalf("%q is read as %q", clean, reading)
			}
		}
	})
}
