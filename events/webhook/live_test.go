package webhook

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/internal/testing/loopback"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestAsk asks servers whether they are there, by OPTIONS alone (Events 151).
func TestAsk(t *testing.T) {
	var asked []string
	answers := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.Header.Get("Authorization"))
		switch r.URL.Path {
		case "/gone":
			w.WriteHeader(http.StatusGone)
		case "/moved":
			http.Redirect(w, r, "/", http.StatusPermanentRedirect)
		case "/closed":
			w.WriteHeader(http.StatusUnauthorized)
		case "/old":
			w.WriteHeader(http.StatusNotImplemented)
		case "/reads":
			w.Header().Set("Allow", "GET, HEAD")
		case "/takes":
			w.Header().Set("Allow", "OPTIONS, POST")
		}
	})
	plain, secure := httptest.NewServer(answers), httptest.NewTLSServer(answers)
	defer plain.Close()
	defer secure.Close()
	base := &transomv1.WebhookSink{Secrets: []string{oneSecret}, Allow: []string{"127.0.0.0/8"}, Headers: map[string]string{"Authorization": "Bearer me"}}
	for _, test := range []struct{ url, want string }{
		{plain.URL + "/", ""},
		{plain.URL + "/old", ""},
		{plain.URL + "/takes", ""},
		{plain.URL + "/gone", "found status 410: the server wants no more events"},
		{plain.URL + "/moved", "found status 308, expected 2xx; redirects are not followed: set the URL that it leads to"},
		{plain.URL + "/closed", "warning: sink hook: "},
		{plain.URL + "/reads", `it allows "GET, HEAD", and events are sent by POST`},
		{secure.URL, "certificate signed by unknown authority"},
		{"http://" + loopback.Address(t), "connection refused"},
		{"http://[::1]:80", "::1 is no public address: list it in allow"},
	} {
		settings := proto.CloneOf(base)
		settings.Url = test.url
		asked = nil
		var said []string
		env := events.Env{Resolve: func(name string) string { return name }, Secret: func(value string) (string, error) { return value, nil }, Log: slog.New(slog.DiscardHandler)}
		Ask(t.Context(), "hook", settings, env, events.Inquiry{At: "t.yaml:1:1", Found: func(at string, warning bool, message string) {
			if warning {
				message = "warning: " + message
			}
			said = append(said, at+": "+message)
		}})
		if got := strings.Join(said, "\n"); !strings.Contains(got, test.want) || (got == "") != (test.want == "") {
			t.Errorf("%s: got %q, want %q", test.url, got, test.want)
		}
		if strings.HasPrefix(test.url, plain.URL) && (len(asked) != 1 || asked[0] != "OPTIONS Bearer me") {
			t.Errorf("%s was asked %q", test.url, asked)
		}
	}
}
