package rule

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// gatewayTypes are the events that the gateway publishes of itself.
var gatewayTypes = []string{"api.request", "api.response", "api.error", "auth.login", "auth.logout", "auth.failure"}

// checkConfig checks what the configuration says of events that rules read.
func checkConfig(g *policy.Generation, o Options) {
	c := g.Config.GetEvents()
	for i, t := range c.GetTopics() {
		prefix, _ := strings.CutSuffix(t.GetTypes(), "*")
		if prefix = strings.TrimSuffix(prefix, "."); prefix != "" && !events.IsType(prefix) || t.GetTypes() == "" || t.GetTypes() == "." || prefix+"*" == t.GetTypes() && prefix != "" {
			refuse(g, policy.Index("events.topics", i)+".types", "found %q, expected a type, such as \"user.click\", or \"user.*\", or \"*\"", t.GetTypes())
		}
		if problem := topicProblem(t.GetTopic()); t.GetTopic() == "" || problem != "" {
			refuse(g, policy.Index("events.topics", i)+".topic", "found %q, expected 1 to 249 of letters, digits, \".\", \"_\" and \"-\"", t.GetTopic())
		}
	}
	if len(c.GetGateway()) == 0 {
		return
	}
	b := busOf(g, o)
	if b.err != nil {
		g.RefuseConfig("events", b.err)
		return
	}
	for i, r := range c.GetGateway() {
		checkGateway(g, b, r, i)
	}
}

func gatewayPath(i int, field string) string {
	return policy.Index("events.gateway", i) + "." + field
}

func refuse(g *policy.Generation, path, format string, args ...any) {
	g.RefuseConfig(path, fmt.Errorf(format, args...))
}

func checkGateway(g *policy.Generation, b *bus, r *transomv1.GatewayEventRule, i int) {
	if !slices.Contains(gatewayTypes, r.GetType()) {
		refuse(g, gatewayPath(i, "type"), "found %q, expected one of %s", r.GetType(), strings.Join(gatewayTypes, ", "))
	}
	if problem := topicProblem(r.GetTopic()); problem != "" {
		refuse(g, gatewayPath(i, "topic"), "found %q, %s", r.GetTopic(), problem)
	}
	if n := r.GetSample(); n != 0 && !(n > 0 && n <= 1) {
		refuse(g, gatewayPath(i, "sample"), "found %v, expected a number above 0 and up to 1", n)
	}
	for k, sink := range r.GetSinks() {
		if !slices.Contains(b.sinks, sink) {
			refuse(g, policy.Index(gatewayPath(i, "sinks"), k), "%s", unknownSink(b.sinks, sink))
		}
	}
	if r.GetDelivery() == transomv1.EventRule_AT_LEAST_ONCE {
		if err := b.Open(); err != nil {
			refuse(g, gatewayPath(i, "delivery"), "found AT_LEAST_ONCE, but the events log cannot be opened: %v", err)
		}
	}
}

// sourceOf is the source of the events of a method or route (Events 120).
func sourceOf(source, rpc string) string {
	return strings.TrimSuffix(source, "/") + (&url.URL{Path: "/" + strings.TrimPrefix(rpc, "/")}).EscapedPath()
}
