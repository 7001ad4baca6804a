package retry

import (
	"fmt"
	"net/http"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/internal/span"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// statusesOf returns the statuses to try again on, besides 502, 503 and 504, on a plain HTTP
// route (Traffic 79).
func statusesOf(s *policy.Scope, rule *transomv1.Retry) []codes.Code {
	return s.StatusesOf("retry", rule.GetCodes(), changeableStatus, "408, 425, 429 or 500 to 599")
}

// changeableStatus reports whether another attempt may change a status.
func changeableStatus(httpStatus int) bool {
	switch httpStatus {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return httpStatus >= 500 && httpStatus <= 599
}

// hedgeRoute refuses attempts side by side on a plain HTTP route.
func hedgeRoute(s *policy.Scope, rule *transomv1.Retry) {
	field := "retry.hedge_after"
	switch {
	case !s.Exact("retry"):
		return
	case rule.GetHedgePercentile() != 0:
		field = "retry.hedge_percentile"
	case rule.GetHedgeAfter() == nil:
		return
	}
	s.Refuse(field, "%s: attempts side by side are for methods of gRPC; those of a plain HTTP route are made one after the other: remove it", field)
}

// routeSummary is one line for explain, of a plain HTTP route.
func (p part) routeSummary() string {
	statuses := []string{"502", "503", "504"}
	for _, code := range p.retry.Codes {
		if code < 502 || code > 504 {
			statuses = append(statuses, fmt.Sprint(uint32(code)))
		}
	}
	methods := "GET, HEAD, OPTIONS, TRACE, PUT and DELETE"
	if p.retry.AnyMethod {
		methods = "any method"
	}
	text := fmt.Sprintf("up to %d attempts of %s, on broken connections and %s; pauses %s to %s, at most %d %% of the upstream's requests",
		p.retry.Attempts, methods, strings.Join(statuses, ", "), span.Text(p.retry.InitialBackoff), span.Text(p.retry.MaxBackoff), p.retry.BudgetPercent)
	if p.retry.PerTry > 0 {
		text += fmt.Sprintf("; %s each", span.Text(p.retry.PerTry))
	}
	return text
}
