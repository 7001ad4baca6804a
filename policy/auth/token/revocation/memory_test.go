package revocation

import (
	"context"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/testing/policytest"
)

func TestRevocationsInMemoryAreBounded(t *testing.T) {
	clock := policytest.NewClock()
	m := NewMemory(clock.Now)
	m.max = 3
	ctx := context.Background()
	name := func(n byte) Name { return Name{Token: sha256.Sum256([]byte{n})} }
	for n := range byte(3) {
		if err := m.Revoke(ctx, name(n), policytest.Noon.Add(time.Duration(n+1)*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Revoke(ctx, name(3), policytest.Noon.Add(time.Hour)); err == nil {
		t.Error("a fourth one is remembered")
	}
	// The same again takes no place, and lives until its new end.
	if err := m.Revoke(ctx, name(0), policytest.Noon.Add(90*time.Second)); err != nil {
		t.Error(err)
	}
	clock.Advance(time.Minute)
	if err := m.Revoke(ctx, name(3), policytest.Noon.Add(time.Hour)); err == nil {
		t.Error("one was forgotten before its end")
	}
	clock.Advance(time.Minute) // two are over
	if err := m.Revoke(ctx, name(3), policytest.Noon.Add(time.Hour)); err != nil {
		t.Error(err)
	}
	for n, want := range []bool{false, false, true, true} {
		if got, _ := m.Revoked(ctx, name(byte(n)), policytest.Noon); got != want {
			t.Errorf("%d: %t, want %t", n, got, want)
		}
	}
	if len(m.over) != 2 || len(m.ends) != 2 {
		t.Errorf("%d names and %d ends are left", len(m.over), len(m.ends))
	}
}
