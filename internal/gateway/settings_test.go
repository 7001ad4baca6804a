package gateway

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/logtext"
)

// TestLeftOut: clients that send what metadata cannot carry write one warning, not one each time.
func TestLeftOut(t *testing.T) {
	var log logtext.Text
	tell := leftOut(slog.New(slog.NewTextHandler(&log, nil)))
	for range 3 {
		tell("X-Name")
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings:\n%s", n, log.String())
	}
}
