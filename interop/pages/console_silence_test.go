package pages

import (
	"syscall"
	"testing"

	"github.com/transom-gateway/transom/interop/internal/browser"
)

// TestConsoleHearsSilence: Surface 244: a gateway that hangs keeps its connections open; the page says that it is away all the same, and goes
// on when it is back.
func TestConsoleHearsSilence(t *testing.T) {
	p := runProgram(t, "schemas: [{ directory: protos }]\nupstreams: { v: { grpc: { target: \"127.0.0.1:1\" } } }\n", map[string]string{"protos/v.proto": visitsProto})
	page := demo{browser.Start(t).Open(t, p.admin+"/")}
	const line = "header.top [role=status]"
	page.awaits(t, line, "ready")
	// What waits for 20 s waits for 8 here, which is longer than the 5 s within which a gateway says something.
	browser.Eval[any](t, page.Page, `() => { const real = setTimeout; window.setTimeout = (f, ms, ...more) => real(f, ms >= 20000 ? 8000 : ms, ...more) }`)
	if err := p.command.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	page.awaits(t, line, "reconnecting")
	page.awaits(t, "h1", "Overview")
	if err := p.command.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	page.awaits(t, line, "ready")
	if thrown := page.Uncaught(); len(thrown) > 0 {
		t.Errorf("nobody caught %q", thrown)
	}
}

// TestTraceLink: Surface 238: the id of a trace leads to where telemetry.trace_url says.
func TestTraceLink(t *testing.T) {
	_, page := startConsoleOf(t, "telemetry: { trace_url: \"https://traces.example/trace/{trace_id}?of={trace_id}\" }\n")
	page.at(t, "#/try?rule=GET%20/v1/shelves", "Try GET /v1/shelves")
	page.Click(t, "main form button.main")
	page.awaits(t, ".trace", "Trace")
	id := browser.Eval[string](t, page.Page, `() => document.querySelector('.trace a').textContent`)
	at := browser.Eval[string](t, page.Page, `() => document.querySelector('.trace a').href`)
	if want := "https://traces.example/trace/" + id + "?of=" + id; len(id) != 32 || at != want {
		t.Errorf("the id %q leads to %q, expected %q", id, at, want)
	}
	_, page = startConsoleOf(t, "")
	page.at(t, "#/try?rule=GET%20/v1/shelves", "Try GET /v1/shelves")
	page.Click(t, "main form button.main")
	page.awaits(t, ".trace", "Trace")
	if links := browser.Eval[int](t, page.Page, `() => document.querySelectorAll('.trace a').length`); links != 0 {
		t.Errorf("there are %d links to nowhere", links)
	}
}
