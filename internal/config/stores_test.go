package config

import (
	"strings"
	"testing"
)

// TestRedisByEnvironment leaves it to the environment whether there is a
// Redis.
func TestRedisByEnvironment(t *testing.T) {
	const rest = "schemas: [{ directory: testdata/files/protos }]\nupstreams: { a: { grpc: { target: b:1 } } }\n"
	for _, test := range []struct{ text, value, problem string }{
		{`stores: { redis: { url: "${REDIS_URL:-}" } }`, "", ""},
		{`stores: { redis: { url: "${REDIS_URL:-}" } }`, "redis://localhost", ""},
		{`stores: { redis: { url: "${REDIS_URL:-}" } }`, "localhost", "1:25: stores.redis.url: found another value"},
		{`stores: { redis: {} }`, "", "1:18: stores.redis.url: found none, expected"},
	} {
		env := func(string) (string, bool) { return test.value, test.value != "" }
		f, problems := Parse("transom.yaml", []byte(test.text+"\n"+rest), env)
		problems = append(problems, f.Check()...)
		switch {
		case test.problem != "":
			if err := problems.Err(); err == nil || !strings.Contains(err.Error(), test.problem) {
				t.Errorf("%s with %q: %v, want %s", test.text, test.value, err, test.problem)
			}
		case problems.Err() != nil:
			t.Errorf("%s with %q: %v", test.text, test.value, problems.Err())
		case f.Config.GetStores().GetRedis().GetUrl() != test.value:
			t.Errorf("%s with %q gives %v", test.text, test.value, f.Config.GetStores())
		}
	}
}
