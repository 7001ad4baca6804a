package config

import (
	"errors"
	"strings"
	"testing"
)

// TestUpstreamURL gives URLs for targets: the error says what to write instead.
func TestUpstreamURL(t *testing.T) {
	for url, want := range map[string]string{
		"localhost:500610":         `--upstream: found port "500610", expected a number from 1 to 65535`,
		"localhost:0":              `--upstream: found port "0", expected a number from 1 to 65535`,
		"http://localhost:50051":   `--upstream: found the URL "http://localhost:50051", expected "host:port", "dns:///host:port", "unix:/path", "srv:///name", "file:///path" or "k8s:///service.namespace:port"; write "localhost:50051"`,
		"grpc://localhost:50051/":  `write "localhost:50051"`,
		"https://books.test:443":   "write \"books.test:443\" with `tls: {}` beside it, or --upstream-tls on the command line",
		"grpcs://books.test:50051": "--upstream-tls",
	} {
		err := ForFlags([]string{"testdata/files/protos"}, nil, false, url, "", "").Check().Err()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", url, err, want)
		}
	}
	for _, target := range []string{"dns:///books.test:50051", "unix:///run/books.sock", "http:50051"} {
		if err := ForFlags([]string{"testdata/files/protos"}, nil, false, target, "", "").Check().Err(); err != nil {
			t.Errorf("%s: %v", target, err)
		}
	}
}

// TestUpstreamTLS has the upstream of the command line speak TLS, and names the flag
// of a file that there is none of.
func TestUpstreamTLS(t *testing.T) {
	f := ForFlags([]string{"testdata/files/protos"}, nil, false, "localhost:50051", "", "")
	f.UpstreamTLS("")
	if err := f.Check().Err(); err != nil || f.Config.GetUpstreams()[FlagUpstream].GetGrpc().GetTls() == nil {
		t.Errorf("%v, %v", f.Config, err)
	}
	f.UpstreamTLS("testdata/none.pem")
	if err := f.Check().Err(); err == nil || !strings.Contains(err.Error(), "--upstream-ca: ") {
		t.Errorf("%v", err)
	}
}

// TestTabInYAML has the error say what to do.
func TestTabInYAML(t *testing.T) {
	err := syntaxProblem("transom.yaml", nil, errors.New("yaml: line 2: found character that cannot start any token"))
	if err.Line != 2 || !strings.Contains(err.Message, "indent with spaces, not tabs") {
		t.Errorf("%v", err)
	}
}
