package session

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/testing/policytest"
)

func TestSessionsInMemoryAreBounded(t *testing.T) {
	m := newMemorySessions(policytest.NewClock().Now)
	m.max = 10
	ctx := context.Background()
	var keys []Key
	for i := range 12 {
		_, key := newID()
		keys = append(keys, key)
		s := &Session{Principal: string(rune('a' + i)), Ends: policytest.Noon.Add(time.Hour)}
		if err := m.create(ctx, key, s, time.Hour); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Use(ctx, keys[0], time.Hour); err != nil { // the first one stays in use
			t.Fatal(err)
		}
	}
	for i, key := range keys {
		s, _ := m.Use(ctx, key, time.Hour)
		if gone := s == nil; gone != (i == 1 || i == 2) {
			t.Errorf("session %d: gone is %v", i, gone)
		}
	}
	if len(m.byKey) != 10 || m.used.Len() != 10 || len(m.byPrincipal) != 10 {
		t.Errorf("%d, %d, %d are left, want 10", len(m.byKey), m.used.Len(), len(m.byPrincipal))
	}
}

func TestSessionIDs(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id, key := newID()
		if seen[id] {
			t.Fatal("an id came twice")
		}
		seen[id] = true
		if again, ok := keyOf(id); !ok || again != key {
			t.Fatal("the id does not lead to its key")
		}
	}
	data, err := json.Marshal(&Session{Principal: "p"})
	if err != nil || strings.Contains(string(data), "metadata") {
		t.Errorf("%s, %v", data, err)
	}
}
