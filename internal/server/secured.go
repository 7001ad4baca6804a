package server

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/observe"
	"github.com/transom-gateway/transom/internal/server/security"
)

// soon is how long before its end a certificate is named by CheckSecured.
const soon = 7 * 24 * time.Hour

// placed says where the settings stand that an error is about, which are those of a listener.
func placed(where func(string) string, path string, err error) error {
	var faults security.Faults
	if !errors.As(err, &faults) {
		return fmt.Errorf("%s: %w", where(path), err)
	}
	var errs []error
	for _, f := range faults {
		errs = append(errs, fmt.Errorf("%s: %w", where(path+".tls"+f.Path), f.Err))
	}
	return errors.Join(errs...)
}

// allSecured lists what keeps files of TLS, by the path of its listener.
func (s *Server) allSecured() map[string]*security.Security {
	all := map[string]*security.Security{}
	for i, l := range s.listeners {
		if l.secured != nil {
			all[fmt.Sprintf("listeners[%d]", i)] = l.secured
		}
	}
	if s.secured != nil {
		all["admin"] = s.secured
	}
	return all
}

// certificates are those of the listeners, for metrics.
func (s *Server) certificates(yield func(observe.Certificate) bool) {
	ends := map[string]time.Time{}
	for _, secured := range s.allSecured() {
		for _, c := range secured.Certificates() {
			if other, twice := ends[c.Name]; !twice || c.Ends.Before(other) {
				ends[c.Name] = c.Ends
			}
		}
	}
	for name, end := range ends {
		if !yield(observe.Certificate{Name: name, Ends: end}) {
			return
		}
	}
}

// checkSecured looks at what TLS needs of files as Listen would. Warnings are of certificates
// that expire soon.
func checkSecured(path string, file *config.File, secured *security.Security, err error, now time.Time) (warnings []Warning, _ error) {
	if err != nil {
		return nil, err
	}
	var faults security.Faults
	secured.Report(func(what, why string) {
		if strings.HasPrefix(why, "certificate ") {
			what += ".certificate"
		}
		faults = append(faults, security.Fault{Path: what, Err: errors.New(why)})
	})
	for _, c := range secured.Certificates() {
		if left := c.Ends.Sub(now); left > 0 && left < soon {
			warnings = append(warnings, Warning{Path: path + ".tls" + c.Path + ".certificate", Text: fmt.Sprintf(
				"certificate %s: it expires on %s, in %s: have it renewed", file.Resolve(c.File), c.Ends.UTC().Format(time.RFC3339), left.Round(time.Minute))})
		}
	}
	if len(faults) > 0 {
		return warnings, faults
	}
	return warnings, nil
}
