package console

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func ask(path string, header ...string) *http.Response {
	r := httptest.NewRequest("GET", path, http.NoBody)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	New().ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestFiles: Surface 233: every file comes with a policy that lets nothing in from elsewhere, and
// scripts and styles are kept for good under names of their own.
func TestFiles(t *testing.T) {
	page := ask("/")
	text := body(t, page)
	if page.StatusCode != 200 || page.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("the page: %d, %v", page.StatusCode, page.Header)
	}
	named := regexp.MustCompile(`(?:src|href)="([^"#]+)"`).FindAllStringSubmatch(text, -1)
	linked := map[string]bool{}
	for _, m := range named {
		linked[m[1]] = true
	}
	for name, f := range files() {
		answer := ask("/" + name)
		if answer.StatusCode != 200 || answer.Header.Get("Content-Type") == "" || body(t, answer) != string(f.plain) {
			t.Errorf("%s: %d, %v", name, answer.StatusCode, answer.Header)
		}
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
			if !strings.Contains(answer.Header.Get("Content-Security-Policy"), want) {
				t.Errorf("%s: no %s", name, want)
			}
		}
		if strings.Contains(answer.Header.Get("Content-Security-Policy"), "unsafe") {
			t.Errorf("%s: the policy is no policy", name)
		}
		if again := ask("/"+name, "If-None-Match", answer.Header.Get("Etag")); again.StatusCode != 304 || body(t, again) != "" {
			t.Errorf("%s: asked again: %d", name, again.StatusCode)
		}
		if name != index && name != licenses && (answer.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" || !regexp.MustCompile(`-[A-Z0-9]{8}\.(js|css)$`).MatchString(name)) {
			t.Errorf("%s is kept as %s", name, answer.Header.Get("Cache-Control"))
		}
		packed := ask("/"+name, "Accept-Encoding", "br, gzip")
		if tag := packed.Header.Get("Etag"); tag == answer.Header.Get("Etag") || ask("/"+name, "If-None-Match", tag).StatusCode != 200 {
			t.Errorf("%s: the tag %s stands for two forms (RFC 9110 8.8.3.3)", name, tag)
		}
		if refused := ask("/"+name, "Accept-Encoding", "gzip;q=0"); refused.Header.Get("Content-Encoding") != "" || refused.Header.Get("Etag") != answer.Header.Get("Etag") {
			t.Errorf("%s: who takes no gzip gets %v", name, refused.Header)
		}
		z, err := gzip.NewReader(packed.Body)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if unpacked, err := io.ReadAll(z); err != nil || !bytes.Equal(unpacked, f.plain) {
			t.Errorf("%s is another one when it is compressed: %v", name, err)
		}
	}
	for name := range linked {
		if strings.Contains(name, ".js") || strings.Contains(name, ".css") {
			if files()[name] == nil {
				t.Errorf("the page asks for %s, which is not there", name)
			}
		}
	}
	if answer := ask("/../console.go"); answer.StatusCode != 404 {
		t.Errorf("another file: %d", answer.StatusCode)
	}
}

// TestPageIsClean: Surface 233, 246, 248: no byte from elsewhere, and nothing that the policy would
// have to let in; the page leads those without JavaScript on, and the licences of others' packages
// are there.
func TestPageIsClean(t *testing.T) {
	text := string(files()[index].plain)
	for _, never := range []string{"http://", "https://", "<style", "style=", "onclick", "javascript:"} {
		if strings.Contains(text, never) {
			t.Errorf("the page has %s", never)
		}
	}
	if !strings.Contains(text, `<noscript><p>`) || !strings.Contains(text, `<a href="../page">`) {
		t.Error("nothing is there without JavaScript")
	}
	if l := files()[licenses]; l == nil || bytes.Count(l.plain, []byte("Permission is hereby granted")) != 3 {
		t.Error("licences are missing")
	}
	if m := regexp.MustCompile(`<script[^>]*>[^<]`).FindString(text); m != "" {
		t.Errorf("a script within the page: %s", m)
	}
	for name, f := range files() {
		for _, never := range []string{"eval(", "new Function", "document.write", "sourceMappingURL"} {
			if bytes.Contains(f.plain, []byte(never)) {
				t.Errorf("%s has %s", name, never)
			}
		}
	}
}

// What the console may weigh, compressed.
const (
	maxAll   = 90 << 10
	maxFirst = 40 << 10
)

// TestSize: Surface 233: all of the console has 90 KB at most, and what its first page needs 40 KB.
func TestSize(t *testing.T) {
	first, all := 0, 0
	for name, f := range files() {
		all += len(f.gzipped)
		t.Logf("%s: %d bytes, %d compressed", name, len(f.plain), len(f.gzipped))
	}
	// The first page needs what it names and, of scripts, what these import before they run; what import()
	// loads comes later.
	needs, seen := []string{index}, map[string]bool{}
	for len(needs) > 0 {
		at := needs[0]
		needs = needs[1:]
		if seen[at] {
			continue
		}
		seen[at] = true
		first += len(files()[at].gzipped)
		text := string(files()[at].plain)
		for name := range files() {
			imports := strings.Contains(text, `from"./`+name+`"`) || strings.Contains(text, `import"./`+name+`"`)
			if imports || at == index && strings.Contains(text, name) {
				needs = append(needs, name)
			}
		}
	}
	t.Logf("all: %d, the first page: %d", all, first)
	if all > maxAll || first > maxFirst {
		t.Errorf("all: %d of %d bytes, the first page: %d of %d", all, maxAll, first, maxFirst)
	}
}
