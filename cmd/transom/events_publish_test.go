package main

import (
	"bytes"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/walkthrough"
)

const behaviourConfig = `data_directory: ./data
trusted_proxies: [127.0.0.0/8]
events:
  gateway: [{ type: api.request, delivery: AT_LEAST_ONCE }, { type: api.response, delivery: AT_LEAST_ONCE }]
  behaviour: { beacon: /e, write_keys: [k-secret-0815], scrub: true, delivery: AT_LEAST_ONCE }
`

// behaving starts a gateway that takes events of pages, and returns its folder.
func behaving(t *testing.T) (gateway *running, dir string) {
	t.Helper()
	dir = exampleFolder(t, "```yaml\n"+behaviourConfig+"```\n")
	return startGateway(t, input{config: filepath.Join(dir, "transom.yaml")}), dir
}

// TestNothingPersonalIsStored: Events 195, 199 and 203: the files of the log have no whole address, no
// e-mail address and no token, wherever these stood in a request.
func TestNothingPersonalIsStored(t *testing.T) {
	gateway, dir := behaving(t)
	const address, mail, token = "198.51.100.77", "ann.b@mail.example", "t0ken-4711"
	const body = `{"type": "user.search", "anonymousId": "a-kept", "context": {"page": {"url": "https://` + mail + `:` + token + `@shop.example/u/` + mail + `?token=` + token + `&utm_source=` + mail + `#` + token + `",
		"referrer": "https://shop.example/?q=` + mail + `", "path": "/u/ann.b%40mail.example?t=` + token + `", "title": "Orders of ` + mail + `"}, "campaign": {"utm_term": "` + mail + `"}},
		"properties": {"to": ["` + mail + `"], "link": "https://shop.example/reset?token=` + token + `"}, "search": {"query": "` + mail + `"}, "observed": {"address": "` + address + `"}}`
	for _, to := range []struct{ method, path, body string }{
		{"POST", "/e?key=k-secret-0815", body},
		{"POST", "/v1/events", body},
		{"POST", "/v1/events:batch", `{"events": [` + body + `]}`},
		{"GET", "/v1/shelves/1?access_token=" + token, ""},
	} {
		r, err := http.NewRequestWithContext(t.Context(), to.method, gateway.url+to.path, strings.NewReader(to.body))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{"X-Forwarded-For": address, "Authorization": "Bearer " + token, "Cookie": "session_id=" + token, "Content-Type": "application/json"} {
			r.Header.Set(name, value)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := answer.Body.Close(); err != nil || answer.StatusCode >= 500 || to.method == "POST" && answer.StatusCode >= 300 {
			t.Errorf("%s: %s %v", to.path, answer.Status, err)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	kept := 0
	err := filepath.WalkDir(filepath.Join(dir, "data"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		stored, err := os.ReadFile(path)
		kept += bytes.Count(stored, []byte(`"anonymousId":"a-kept"`))
		for _, secret := range []string{address, mail, "mail.example", token, "k-secret-0815"} {
			if n := bytes.Count(stored, []byte(secret)); n > 0 {
				i := bytes.Index(stored, []byte(secret))
				t.Errorf("%s has %q %d times: …%s…", filepath.Base(path), secret, n, stored[max(0, i-60):min(len(stored), i+60)])
			}
		}
		return err
	})
	if err != nil || kept != 3 {
		t.Errorf("%d events are stored, %v", kept, err)
	}
}

// TestEventsPublish: Surface 296: events come from a file, and what was rejected is told by its line.
func TestEventsPublish(t *testing.T) {
	gateway, dir := behaving(t)
	write(t, filepath.Join(dir, "events.ndjson"), strings.Repeat(`{"type": "user.view"}`+"\n", 600)+"\n"+`{"type": "api.request"}`+"\n")
	walkthrough.Shell{Dir: dir, Bin: commandFolder(t), Replace: []string{"http://localhost:8080", gateway.url}}.Run(t, walkthrough.Steps("```console\n"+
		"$ transom events publish --url http://localhost:8080 < events.ndjson 2> errors || echo \"exit code $?\"\n"+
		"line 602: forged: events of the type \"api.request\" are the gateway's own\n600 accepted, 1 rejected\nexit code 1\n"+
		"$ transom events publish --url http://localhost:8080 -d '{\"type\": \"user.view\"}'\n1 accepted, 0 rejected\n"+
		"$ transom events publish --url http://localhost:8080 -d 'x' 2>&1 || echo \"exit code $?\"\n…expected an event in JSON…\nexit code 1\n"+
		"$ printf '{\"type\": \"user.a\"}\\n\\nx\\n{\"type\": \"user.b\"}\\n' | transom events publish --url http://localhost:8080 2>&1 || echo \"exit code $?\"\n"+
		"1 accepted, 0 rejected\nline 3: expected an event in JSON; what is before it was sent, and nothing behind it\nexit code 1\n```\n"))
}
