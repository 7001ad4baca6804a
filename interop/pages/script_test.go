package pages

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/interop/internal/browser"
)

// sendings has the script of a page send, with a server and timers of the test's own, and notes what it does.
const sendings = `async () => {
	transom.flush();
	const said = [], timers = [];
	let answer = 204, ids = "";
	window.fetch = (url, options) => {
		const events = JSON.parse(options.body).events, now = events.map(e => e.messageId).join();
		said.push("fetch " + events.length + " " + options.method + " " + options.keepalive + " " + options.credentials + (now === ids ? " again" : ""));
		ids = now;
		return answer ? Promise.resolve({ status: answer }) : Promise.reject(new Error("away"));
	};
	navigator.sendBeacon = (url, body) => { said.push("beacon " + typeof body + " " + JSON.parse(body).events.length); return true };
	window.setTimeout = (f, after, ...rest) => { said.push("timer " + after); timers.push(() => f(...rest)); return timers.length };
	window.clearTimeout = () => {};
	const settle = async () => { for (let i = 0; i < 10; i++) await null };
	const fire = async () => { timers.splice(0).forEach(f => f()); await settle() };
	const step = async (name, f) => { said.push(name + ":"); await f(); await settle() };
	await step("20 events", async () => { for (let i = 0; i < 20; i++) transom.track("user.search"); });
	timers.length = 0;
	await step("one", async () => { transom.track("user.search"); await fire() });
	for (const status of [503, 429, 0, 400]) {
		answer = status;
		await step("answer " + status, async () => { transom.track("user.search"); transom.flush(); await settle(); timers.shift(); await fire(); await fire() });
		timers.length = 0;
	}
	await step("hidden", async () => {
		for (let i = 0; i < 19; i++) transom.track("user.search");
		Object.defineProperty(document, "visibilityState", { value: "hidden" });
		document.dispatchEvent(new Event("visibilitychange"));
	});
	return said.join("; ") + "; " + Object.keys(transom).sort();
}`

// TestScriptSends: Events 202: the script sends 20 events at once, or what there is after five seconds, by fetch with
// keepalive, once more what did not arrive, and by sendBeacon as text when the page is left. Its types name what it has.
func TestScriptSends(t *testing.T) {
	s := openShop(t)
	page := browser.Start(t).Open(t, s.url+"/teas")
	got := browser.Eval[string](t, page, sendings)
	const fetch = "fetch 1 POST true include"
	want := []string{
		"20 events:", "timer 5000", "fetch 20 POST true include",
		"one:", "timer 5000", fetch,
		"answer 503:", "timer 5000", fetch, "timer 2000", fetch + " again",
		"answer 429:", "timer 5000", fetch, "timer 2000", fetch + " again",
		"answer 0:", "timer 5000", fetch, "timer 2000", fetch + " again",
		"answer 400:", "timer 5000", fetch,
		"hidden:", "timer 5000", "beacon string 19",
	}
	types, err := os.ReadFile("../../events/behaviour/transom.d.ts")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^  (\w+)\(`).FindAllStringSubmatch(string(types), -1) {
		names = append(names, m[1])
	}
	slices.Sort(names)
	if all := strings.Join(want, "; ") + "; " + strings.Join(names, ","); got != all {
		t.Errorf("got  %s\nwant %s", got, all)
	}
}
