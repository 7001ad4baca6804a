package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestHeadersThatCannotCross: naming a header that never crosses is refused at
// its place, for silence would look like consent (Semantics 31).
func TestHeadersThatCannotCross(t *testing.T) {
	for _, test := range []struct {
		list, name string
		want       string // in the problem; empty for none
	}{
		{"request_headers", "host", "x-forwarded-host"},
		{"request_headers", "Host", "x-forwarded-host"},
		{"request_headers", "User-Agent", "x-forwarded-user-agent"},
		{"request_headers", "connection", "never crosses"},
		{"request_headers", "Content-Type", "never crosses"},
		{"request_headers", "content_length", "never crosses"},
		{"request_headers", "Connect-Timeout-Ms", "belongs to the client's protocol"},
		{"request_headers", "grpc-timeout", "belongs to gRPC"},
		{"request_headers", "grpc-*", "belongs to gRPC"},
		{"request_headers", "X-Transom-Principal", "only the gateway"},
		{"request_headers", "x-transom-*", "only the gateway"},
		{"request_headers", "x_transom_principal", "only the gateway"},
		{"request_headers", "x_real_ip", "take for x-real-ip"},
		{"request_headers", "x-real-ip", ""},
		{"request_headers", "x-*", ""},
		{"request_headers", "*", ""},
		{"request_headers", "cookie", ""},
		{"request_headers", "hostess", ""},
		{"response_headers", "transfer-encoding", "never crosses"},
		{"response_headers", "Content-Length", "never crosses"},
		{"response_headers", "grpc-status", "belongs to gRPC"},
		{"response_headers", "set-cookie", ""},
		{"response_headers", "*", ""},
	} {
		t.Run(test.list+" "+test.name, func(t *testing.T) {
			dir := t.TempDir()
			text := fmt.Sprintf("schemas: [{ directory: . }]\nupstreams: { a: { grpc: { target: \"localhost:1\" } } }\nmetadata: { %s: [%q] }\n", test.list, test.name)
			name := filepath.Join(dir, "transom.yaml")
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, problems := Load(name)
			switch {
			case test.want == "" && len(problems) > 0:
				t.Errorf("found %v, want no problem", problems)
			case test.want != "" && (len(problems) != 1 || !strings.Contains(problems.Error(), test.want) || !strings.Contains(problems.Error(), "transom.yaml:3:")):
				t.Errorf("found %v, want one problem at line 3 about %q", problems, test.want)
			}
		})
	}
}
