package openapi

import "testing"

// TestProse: Surface 247: backticks in comments mark code, and what stands in it is text.
func TestProse(t *testing.T) {
	for text, want := range map[string]string{
		"plain <b> & text":             "plain &lt;b&gt; &amp; text",
		"the `name` of `<it>`.":        "the <code>name</code> of <code>&lt;it&gt;</code>.",
		"an odd ` stays":               "an odd ` stays",
		"`` a`b `` and ```":            "<code>a`b</code> and ```",
		"`a``b` `c`":                   "<code>a``b</code> <code>c</code>",
		"```json\n{\"a\": 1}\n```":     "<code>json\n{&#34;a&#34;: 1}</code>",
		"`</code><script>alert(1)` é`": "<code>&lt;/code&gt;&lt;script&gt;alert(1)</code> é`",
		"``":                           "``",
		"":                             "",
	} {
		h := pageHTML{}
		h.prose(text)
		if got := h.b.String(); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}
