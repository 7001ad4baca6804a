package headers

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/transom-gateway/transom/internal/span"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

const (
	hstsHeader = "Strict-Transport-Security"
	// aYear is what browsers' preload lists ask for, and the default.
	aYear = 365 * 24 * time.Hour
)

// securityHeader is one of the headers that tell browsers to be careful. What
// the operator wrote replaces what a backend says; a default does not.
type securityHeader struct {
	name    string
	value   []string // shared by all answers
	replace bool
}

// referrerPolicies are the words of the W3C's Referrer Policy.
var referrerPolicies = []string{
	"no-referrer", "no-referrer-when-downgrade", "same-origin", "origin", "strict-origin",
	"origin-when-cross-origin", "strict-origin-when-cross-origin", "unsafe-url",
}

// securityHeaders compiles all but HSTS.
func securityHeaders(s *policy.Scope, rule *transomv1.SecurityHeaders) []securityHeader {
	var list []securityHeader
	for _, h := range []struct {
		field, name, value, otherwise string
		words                         []string // nil: any text
	}{
		{"content_security_policy", "Content-Security-Policy", rule.GetContentSecurityPolicy(), "", nil},
		{"frame_options", "X-Frame-Options", rule.GetFrameOptions(), "DENY", []string{"DENY", "SAMEORIGIN"}},
		{"content_type_options", "X-Content-Type-Options", rule.GetContentTypeOptions(), "nosniff", []string{"nosniff"}},
		{"referrer_policy", "Referrer-Policy", rule.GetReferrerPolicy(), "strict-origin-when-cross-origin", referrerPolicies},
		{"xss_protection", "X-Xss-Protection", rule.GetXssProtection(), "", nil},
		{"permissions_policy", "Permissions-Policy", rule.GetPermissionsPolicy(), "", nil},
	} {
		value := h.value
		if value == "" {
			value = h.otherwise
		}
		if value == "" || value == "-" {
			continue
		}
		path := "headers.security." + h.field
		if !isHeaderText(value) {
			s.Refuse(path, "%s has a control character or one outside ASCII; expected what a header can hold", path)
		}
		for word := range strings.SplitSeq(value, ",") {
			if word = strings.TrimSpace(word); h.words != nil && !slices.Contains(h.words, word) {
				s.Refuse(path, `%s is %q; expected %s, or "-" to leave it out`, path, word, strings.Join(h.words, ", "))
			}
		}
		list = append(list, securityHeader{h.name, []string{value}, h.value != ""})
	}
	return list
}

// hsts compiles Strict-Transport-Security; nil for none.
func newHSTS(s *policy.Scope, rule *transomv1.Hsts) []string {
	if rule == nil {
		return nil
	}
	age := aYear
	if rule.GetMaxAge() != nil {
		if age = rule.GetMaxAge().AsDuration(); age < 0 {
			s.Refuse("headers.security.hsts.max_age", "headers.security.hsts.max_age is %v; expected 0, which ends it, or more", span.Text(age))
		}
	}
	value := "max-age=" + strconv.FormatInt(int64(age/time.Second), 10)
	if rule.GetIncludeSubdomains() {
		value += "; includeSubDomains"
	}
	if rule.GetPreload() {
		if age < aYear || !rule.GetIncludeSubdomains() {
			s.Refuse("headers.security.hsts.preload", "headers.security.hsts.preload needs include_subdomains and a max_age of a year or more: browsers' lists take no others")
		}
		value += "; preload"
	}
	return []string{value}
}
