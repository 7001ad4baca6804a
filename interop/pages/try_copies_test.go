package pages

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/installed"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/interop/internal/browser"
)

// copied is the call as a tool has it, from the page that shows it.
func (d demo) copied(t *testing.T, tool string) string {
	t.Helper()
	d.choose(t, tool)
	var text string
	poll.Until(t, "the call as "+tool, func() bool {
		text = browser.Eval[string](t, d.Page, `tool => document.querySelector('.copies input:checked + span').textContent === tool ? document.querySelector('.command')?.textContent ?? '' : ''`, tool)
		return text != ""
	})
	return text
}

// copies runs calls as they are copied.
type copies struct {
	path           string // where programs are
	node, packages string // folders of packages of JavaScript and Python
	work           string // where calls in JavaScript stand, beside what is generated for them
	goCalls        []goCall
}

// goCall is a call in Go. All of them are compiled at once.
type goCall struct{ name, text, says string }

// newCopies installs what calls are run with, and generates code of the bookstore.
func newCopies(t *testing.T, g *gatewaytest.Gateway) *copies {
	t.Helper()
	c := &copies{path: programs(t), work: t.TempDir()}
	c.node = installed.Packages(t, installed.NPM, installed.Files(t, "clients/package.json", "clients/package-lock.json"))
	c.packages = installed.Packages(t, installed.Pip, installed.Files(t, "clients/requirements.txt"))
	c.path = filepath.Join(c.node, ".bin") + ":" + c.path
	answer, err := http.Get(g.Admin + "/schemas/bookstore.v1.WatchBooksRequest")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	image, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatal(err, answer.Status)
	}
	for name, content := range map[string][]byte{
		"image.binpb":  image,
		"buf.gen.yaml": []byte("version: v2\nplugins: [{ local: protoc-gen-es, out: gen, opt: [target=js, import_extension=js] }]\n"),
		"package.json": []byte(`{ "type": "module" }`),
	} {
		if err := os.WriteFile(filepath.Join(c.work, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(c.node, filepath.Join(c.work, "node_modules")); err != nil {
		t.Fatal(err)
	}
	if out, err := c.command(t, "buf", "generate", "image.binpb").CombinedOutput(); err != nil {
		t.Fatalf("buf generate: %v\n%s", err, out)
	}
	return c
}

func (c *copies) command(t *testing.T, name string, args ...string) *exec.Cmd {
	command := exec.CommandContext(t.Context(), "env", append([]string{"PATH=" + c.path, "PYTHONPATH=" + c.packages, name}, args...)...)
	command.Dir = c.work
	return command
}

// run makes a call by a tool, as somebody who has copied it, and holds that the answer says something. Those in Go
// wait for runGo.
func (c *copies) run(t *testing.T, tool, text, says string) {
	t.Helper()
	var command *exec.Cmd
	switch tool {
	case "Go, Connect":
		c.goCalls = append(c.goCalls, goCall{t.Name(), text, says})
		return
	case "fetch", "Connect-ES":
		if err := os.WriteFile(filepath.Join(c.work, "call.js"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		command = c.command(t, "node", "--no-warnings", "--experimental-websocket", "call.js")
	case "Python, httpx":
		command = c.command(t, "python3", "-c", text)
	default:
		command = c.command(t, "sh", "-c", text)
	}
	if out, err := command.CombinedOutput(); err != nil || !strings.Contains(string(out), says) {
		t.Errorf("%s\n%v: %s\nwant %s", text, err, out, says)
	}
}

// runGo runs the calls in Go, as one program that is compiled by the versions of this repository.
func (c *copies) runGo(t *testing.T) {
	t.Helper()
	var program strings.Builder
	program.WriteString("package main\nimport (\n\t\"context\"\n\t\"fmt\"\n\t\"log\"\n\t\"net/http\"\n\t\"os\"\n\t\"connectrpc.com/connect\"\n\t\"google.golang.org/protobuf/encoding/protojson\"\n" +
		"\tbookstorev1 \"github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1\"\n)\nvar ctx = context.Background()\nfunc main() {\n\tprotocols := new(http.Protocols)\n\tprotocols.SetUnencryptedHTTP2(true)\n" +
		"\thttp.DefaultClient.Transport = &http.Transport{Protocols: protocols}\n\tswitch os.Args[1] {\n")
	for i, call := range c.goCalls {
		_, _ = fmt.Fprintf(&program, "case \"%d\": func() {\n%s\n}()\n", i, call.text)
	}
	program.WriteString("\t}\n}\n")
	source, bin := filepath.Join(c.work, "main.go"), filepath.Join(c.work, "calls")
	if err := os.WriteFile(source, []byte(program.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, source)
	build.Dir = filepath.Join("..", "..") // whose go.mod says the versions
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s\n%s", err, out, program.String())
	}
	for i, call := range c.goCalls {
		if out, err := exec.CommandContext(t.Context(), bin, fmt.Sprint(i)).CombinedOutput(); err != nil || !strings.Contains(string(out), call.says) {
			t.Errorf("%s: %s\n%v: %s\nwant %s", call.name, call.text, err, out, call.says)
		}
	}
}

// TestTryCopies: Surface 239: each call that is copied is made by the tool that it is for: what that prints is the answer. No tool is
// offered that is not tried here.
func TestTryCopies(t *testing.T) {
	g, page := startConsole(t)
	c := newCopies(t, g)
	token := "Authorization: Bearer " + consoleToken(t)
	texts := []string{"curl", "grpcurl", "buf curl", "transom call", "fetch", "Python, httpx"}
	all := append(slices.Clone(texts), "Connect-ES", "Go, Connect")
	offered := map[string]bool{}
	for name, test := range map[string]struct {
		rule, query, says string
		tools             []string
	}{
		"unary":            {"GET /v1/{name=shelves/*}", `protocol=rest&message={"name":"shelves/2"}&timeout=3s`, "shelves/2", all},
		"unary by Connect": {"GET /v1/{name=shelves/*}", `protocol=connect&message={"name":"shelves/2"}`, "shelves/2", []string{"curl", "buf curl", "fetch"}},
		"a body": {"POST /v1/{parent=shelves/*}/books", `protocol=rest&message={"parent":"shelves/3","book":{"title":"It's \"quoted\" ` + "`100%`" + ` $HOME \\"},"validateOnly":true}`,
			"`100%` $HOME", all},
		"a query": {"GET /v1/books:search", `protocol=rest&message={"query":"sea","maxPrice":{"currency":"EUR","units":"20"},"genres":["FICTION","HISTORY"]}`,
			"shelves/1/books/1", all},
		"a server's stream": {"GET /v1/{parent=shelves/*}/books:watch", `protocol=sse&message={"parent":"shelves/3","count":1,"interval":"0s"}`,
			"sequence", all},
		"a client's stream": {"POST /v1/{parent=shelves/*}/books:import", `protocol=rest&message={"parent":"shelves/3","book":{"title":"a"}}`,
			"ount", all},
		"both ways":    {"POST /v1/discuss:stream", `protocol=connect&message={"text":"It's 'fine'"}`, "You said: It's 'fine'", all},
		"by gRPC-Web":  {"POST /v1/discuss:stream", `protocol=grpc-web&message={"text":"fine"}`, "You said: fine", []string{"curl", "buf curl"}},
		"by WebSocket": {"POST /v1/discuss:stream", `protocol=websocket&message={"text":"a"}`, "You said: a", []string{"curl", "grpcurl", "fetch"}},
		"bytes":        {"POST /v1/{name=shelves/*/books/*}/cover", `protocol=rest&message={"name":"shelves/1/books/1","cover":{"contentType":"image/png","data":"iVBORwD/AA=="}}`, "7", all},
		"its own path": {"POST /bookstore.v1.BookstoreService/GetStatistics", `protocol=rest`, "uptime", all},
		"a delete":     {"DELETE /v1/{name=shelves/*/books/*}", `protocol=rest&message={"name":"shelves/1/books/none"}`, "none", []string{"curl", "fetch", "Python, httpx"}},
		"a well-known": {"POST /v1/echo", `protocol=rest&message={"specimen":{"timestamp":"2020-02-29T12:34:56Z","stringValue":"a"}}`, "2020-02-29T12:34:56Z", texts},
	} {
		t.Run(name, func(t *testing.T) {
			query := url.Values{"rule": {test.rule}, "headers": {"x-nothing: 1"}}
			for pair := range strings.SplitSeq(test.query, "&") {
				k, v, _ := strings.Cut(pair, "=")
				query.Set(k, v)
			}
			page.at(t, "#/try?"+query.Encode(), "Try "+test.rule)
			page.awaits(t, ".copies .command", "curl")
			page.set(t, "main textarea[placeholder^=authorization]", token)
			page.awaits(t, ".copies .command", "Bearer")
			for _, tool := range browser.Eval[[]string](t, page.Page, `() => [...document.querySelectorAll('.copies .choice span')].map(s => s.textContent)`) {
				offered[tool] = true
			}
			for _, tool := range test.tools {
				c.run(t, tool, page.copied(t, tool), test.says)
			}
		})
	}
	c.runGo(t)
	for _, tool := range all {
		delete(offered, tool)
	}
	if len(offered) > 0 {
		t.Errorf("nothing has tried the calls for %v", offered)
	}
}
