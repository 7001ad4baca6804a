package pages

import (
	"bufio"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/transom-gateway/transom/interop/internal/browser"
)

// startDemo runs what `make run` runs, and returns the address of the admin listener that it
// prints.
func startDemo(t *testing.T, program string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), program, "demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = time.Minute
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Wait() }) // the test's context has ended it
	admin := regexp.MustCompile(`Console, metrics, health: (http://\S+)`)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if found := admin.FindStringSubmatch(lines.Text()); found != nil {
			go func() { _, _ = io.Copy(io.Discard, out) }() // whatever else it prints
			return found[1]
		}
	}
	t.Fatal("the demo has printed no address of its admin listener")
	return ""
}

// TestConsoleStory: Surface 234, 235, 238, 239: what a newcomer does behind `make run`: finds a route,
// sees who may call it and why a request would be refused, tries a stream in both directions, and
// copies a line of curl that works.
func TestConsoleStory(t *testing.T) {
	bin := strings.Split(programs(t), ":")[0]
	page := demo{browser.Start(t).Open(t, startDemo(t, bin+"/transom")+"/")}
	page.Resize(t, 1440, 900)
	browser.Eval[any](t, page.Page, `() => { navigator.clipboard.writeText = async text => { window.clipped = text } }`)
	page.awaits(t, "h1", "Overview")
	page.awaits(t, "#app .tiles", "Routes")

	page.Click(t, "nav.pages a[href='#/routes']")
	page.awaits(t, "h1", "Routes")
	page.Click(t, "main input[type=search]")
	page.Type(t, "discuss")
	page.awaits(t, "main .lead", "1 of")
	page.picture(t, "console-routes")
	page.Click(t, ".window a")

	page.awaits(t, "h1", "POST /v1/discuss:stream")
	page.awaits(t, "[aria-label='Who may call']", "Anybody may, as often as they like.")
	page.awaits(t, "[aria-label='Where it goes']", "bookstore.v1.DiscussRequest")
	page.awaits(t, "[aria-label=Description]", "rpc Discuss")
	page.picture(t, "console-discuss")
	page.Click(t, "main a[href^='#/explain']")
	page.awaits(t, "h1", "Explain")
	page.awaits(t, "main [role=status]", "It would be served")
	page.fill(t, ".ask input", "/v1/discuss:stream?txt=Hello")
	page.awaits(t, "main [role=status]", "It would be refused")
	page.awaits(t, ".steps .refused", "txt")
	page.picture(t, "console-explain")

	browser.Eval[any](t, page.Page, `() => history.go(-1)`)
	page.awaits(t, "h1", "POST /v1/discuss:stream")
	page.Click(t, "main a[href^='#/try']")
	page.awaits(t, "h1", "Try POST /v1/discuss:stream")
	page.awaits(t, ".form", "text")
	page.set(t, "[aria-label=text]", "Is it any good?")
	page.Click(t, "main form button.main")
	page.awaits(t, ".flow", "You said: Is it any good?")
	page.set(t, "[aria-label=text]", "I like it")
	page.Click(t, "main form button.main")
	page.awaits(t, ".flow", "You said: I like it")
	page.Click(t, "main form .actions button:nth-of-type(2)") // Half-close
	page.awaits(t, "[aria-label=Answer] .verdict", "OK")
	page.picture(t, "console-try")

	page.Click(t, ".copies header button")
	page.awaits(t, ".copies header", "Copied")
	line := browser.Eval[string](t, page.Page, `() => window.clipped`)
	out, err := exec.CommandContext(t.Context(), "sh", "-c", line).CombinedOutput()
	if err != nil || !strings.HasPrefix(line, "curl ") || !strings.Contains(string(out), `"text":"You said: Is it any good?"}`) || !strings.Contains(string(out), `"text":"You said: I like it"}`) {
		t.Errorf("%s\n%v: %s", line, err, out)
	}
}
