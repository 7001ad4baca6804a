package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestHints has what people write by mistake, and what they are told to write.
func TestHints(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"a unit of three letters":    {"defaults: { timeout: 3sec }", `; did you mean "3s"?`},
		"a unit in words":            {"defaults: { timeout: 2 minutes }", `; did you mean "2m"?`},
		"no unit":                    {"defaults: { timeout: 60 }", `; did you mean "60s"?`},
		"a fraction without a unit":  {"defaults: { timeout: 1.5 }", `; did you mean "1.5s"?`},
		"a day":                      {"auth: { session: { max_ttl: 7d } }", `; 7 days are written "168h"`},
		"no duration":                {"defaults: { timeout: soon }", `found "soon", expected a duration such as "1h", "30s" or "250ms"` + "\n"},
		"an entry without its list":  {"defaults: { rate_limit: { requests: 1 } }", "found a mapping, expected a list; did you mean [{ … }]?"},
		"a text in place of a list":  {"trusted_proxies: a", `trusted_proxies: found a text, expected a list; did you mean ["a"]?` + "\n"},
		"a text in place of entries": {"defaults: { rate_limit: often }", "rate_limit: found a text, expected a list\n"},
		"a setting in a policy":      {"defaults: { cache: { status_header: true } }", "; did you mean cache.status_header, beside policies?\n"},
		"a policy as a setting":      {"cache: { ttl: 60s }", "; did you mean cache.ttl of a policy?\n"},
		"a line indented too far":    {"rest:\n  only_rules: true\n    literal_plus: true", "not YAML: mapping values are not allowed in this context; is this line, or the one above it, indented too far?"},
		"a colon in a text":          {"defaults:\n  json: a: b", `Text with ": " in it must be quoted`},
		"a line indented too little": {"listeners:\n  - address: a\n tls: {}", "did not find expected key; is this line, or one above it, indented too far or not enough?"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "transom.yaml")
			if err := os.WriteFile(path, []byte(test.text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, problems := Load(path); !strings.Contains(problems.Error()+"\n", test.want) {
				t.Errorf("%s\nwant %s", problems.Error(), test.want)
			}
		})
	}
}
