package cachestatus

import (
	"net/http"
	"slices"
	"testing"
	"time"
)

// TestStatus has the forms of RFC 9211 that Traffic 123 shows to clients.
func TestStatus(t *testing.T) {
	for _, c := range []struct {
		status Status
		want   string
	}{
		{Status{}, "transom; hit"},
		{Status{TTL: 12*time.Second + 999*time.Millisecond, HasTTL: true}, "transom; hit; ttl=12"},
		{Status{TTL: -time.Millisecond, HasTTL: true, Detail: WhileRevalidate}, "transom; hit; ttl=-1; detail=stale-while-revalidate"},
		{Status{TTL: -2 * time.Second, HasTTL: true, Forward: Stale, ForwardStatus: 503, Detail: IfError}, "transom; fwd=stale; fwd-status=503; ttl=-2; detail=stale-if-error"},
		{Status{Forward: URIMiss, Stored: true}, "transom; fwd=uri-miss; stored"},
		{Status{Forward: URIMiss, Stored: true, Collapsed: true, HasTTL: true}, "transom; fwd=uri-miss; ttl=0; stored; collapsed"},
		{Status{Forward: VaryMiss}, "transom; fwd=vary-miss"},
		{Status{Forward: Stale, ForwardStatus: 304, Stored: true}, "transom; fwd=stale; fwd-status=304; stored"},
		{Status{Forward: Bypass, Detail: Range}, "transom; fwd=bypass; detail=range"},
		{Status{Stored: true, Collapsed: true, ForwardStatus: 200}, "transom; hit"},
	} {
		if got := string(c.status.Append(nil)); got != c.want {
			t.Errorf("%+v is %q, want %q", c.status, got, c.want)
		}
	}
}

// TestAdd checks that what caches nearer to the origin said stays before ours, and that
// their slice, which a store may share, is not written to.
func TestAdd(t *testing.T) {
	shared := make([]string, 1, 4)
	shared[0] = "origin; hit"
	h := http.Header{"Cache-Status": shared}
	Add(h, Status{Forward: Method})
	if want := []string{"origin; hit", "transom; fwd=method"}; !slices.Equal(h["Cache-Status"], want) {
		t.Errorf("the field is %q, want %q", h["Cache-Status"], want)
	}
	if more := shared[:2]; more[1] != "" {
		t.Errorf("the shared slice has %q", more)
	}
}
