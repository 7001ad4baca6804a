package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
)

const guardedProto = `syntax = "proto3";
package accounts.v1;
import "google/protobuf/empty.proto";
import "transom/v1/annotations.proto";
service AccountService {
  option (transom.v1.service) = { auth: { mixed: {} } };
  rpc SignIn(SignInRequest) returns (SignInResponse) {
    option (transom.v1.method) = { auth: { anonymous: {} } login: { subject: "user" token: { issuer: "us" field: "token" } } };
  }
  rpc WhoAmI(google.protobuf.Empty) returns (WhoAmIResponse) { option (transom.v1.method) = { idempotency_key: {} }; }
}
message SignInRequest { string name = 1; string password = 2; }
message SignInResponse { string user = 1; repeated string groups = 2; string token = 7; }
message WhoAmIResponse { map<string, string> metadata = 1; }
`

// TestCallPolicies calls a method that wants to know who calls: as a gateway
// where there is a configuration, else the server as it is.
func TestCallPolicies(t *testing.T) {
	backend := startAccounts(t)
	dir := folder(t, map[string]string{
		"p/p.proto": guardedProto,
		"transom.yaml": "schemas: [{ directory: p }]\nupstreams: { s: { grpc: { target: \"" + backend + "\" } } }\n" +
			"auth: { jwt: [{ issuer: us, secret: " + strings.Repeat("s", 32) + " }] }\n",
	})
	config := []string{"--config", filepath.Join(dir, "transom.yaml")}
	call := func(want int, method string, args ...string) string {
		t.Helper()
		code, out, err := command(t, append([]string{"call", "accounts.v1.AccountService/" + method}, args...)...)
		if code != want {
			t.Errorf("call %s %q: exit code %d\n%s%s", method, args, code, out, err)
		}
		return out + err
	}
	if out := call(exitProblem, "WhoAmI", config...); !strings.Contains(out, "unauthenticated") {
		t.Error(out)
	}
	signedIn := call(0, "SignIn", append(config, "-d", `{"name":"ada","password":"lighthouse"}`)...)
	token := regexp.MustCompile(`eyJ[^"]+`).FindString(signedIn)
	if out := call(0, "WhoAmI", append(config, "-H", "authorization: Bearer "+token, "-H", "x-mine: 7")...); !strings.Contains(out, `"x-transom-principal":"ada"`) ||
		!strings.Contains(out, `"x-mine":"7"`) {
		t.Error(out)
	}
	call(0, "WhoAmI", append(config, "-H", "authorization: Bearer "+token, "-H", "idempotency-key: \"k\"")...)
	if out := call(exitProblem, "WhoAmI", append(config, "-H", "authorization: Bearer "+token, "-H", "idempotency-key: a b")...); !strings.Contains(out, "0x20") {
		t.Error(out)
	}
	if out := call(exitProblem, "WhoAmI", append(config, "-H", "cookie: __Host-transom-session=x")...); !strings.Contains(out, "credentials are not valid") {
		t.Error(out)
	}
	if out := call(0, "WhoAmI", filepath.Join(dir, "p"), "--upstream", backend); strings.Contains(out, "x-transom-principal") {
		t.Error(out)
	}
}

func TestCall(t *testing.T) {
	backend := gatewaytest.StartBookstore(t)
	const service = "bookstore.v1.BookstoreService/"
	for name, c := range map[string]struct {
		args []string
		want string
		code int
	}{
		"unary":                   {[]string{"GetShelf", "-d", `{"name":"shelves/1"}`}, `"name":"shelves/1"`, 0},
		"server streaming":        {[]string{"WatchBooks", "-d", `{"parent":"shelves/1","count":1}`}, `"sequence":"3"`, 0},
		"client streaming":        {[]string{"ImportBooks", "-d", `{"parent":"shelves/2","book":{"title":"a"}} {"parent":"shelves/2","book":{"title":"b"}}`}, `"names":`, 0},
		"bidi":                    {[]string{"Discuss", "-d", `{"text":"a"}{"text":"b"}`}, "You said: b", 0},
		"an error after messages": {[]string{"WatchBooks", "-d", `{"parent":"shelves/3","count":1,"interval":"0s","failCode":7}`}, `{"code":"permission_denied","message":"the watch was told to fail"`, exitProblem},
		"an error":                {[]string{"GetShelf", "-d", `{"name":"shelves/99"}`}, "not_found", exitProblem},
		"an error of a stream":    {[]string{"WatchBooks", "-d", `{"parent":"nowhere"}`}, `{"code":"invalid_argument","message":`, exitProblem},
		"no JSON in a stream":     {[]string{"Discuss", "-d", "@" + filepath.Join(folder(t, map[string]string{"bad": `{"text":"a"} {text}`}), "bad")}, `{"code":"invalid_argument","message":`, exitProblem},
		"a stream's array":        {[]string{"Discuss", "-d", `[{"text":"a"},{"text":"b"}]`}, "You said: b", 0},
		"a wrong name":            {[]string{"Getshelf"}, "did you mean bookstore.v1.BookstoreService/GetShelf", exitProblem},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"call", service + c.args[0]}, c.args[1:]...)
			code, out, err := command(t, append(args, "--upstream", backend)...)
			if code != c.code || !strings.Contains(strings.ReplaceAll(out+err, ": ", ":"), strings.ReplaceAll(c.want, ": ", ":")) {
				t.Errorf("exit code %d\n%s%s", code, out, err)
			}
		})
	}
}
