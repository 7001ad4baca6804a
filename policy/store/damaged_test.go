package store

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/policytest"
)

// TestDamageIsToldOnce: what is damaged is told of once a minute, each thing by itself, and however many there are the log
// stays short.
func TestDamageIsToldOnce(t *testing.T) {
	var text bytes.Buffer
	clock := policytest.NewClock()
	s := &Redis{damages: &damages{log: slog.New(slog.NewTextHandler(&text, nil)), now: clock.Now}}
	lines := func() int { defer text.Reset(); return strings.Count(text.String(), "\n") }
	for range 2 {
		for range 3 {
			for i := range 1000 {
				s.Damaged("a thing", "id", fmt.Sprint(i))
			}
		}
		if n := lines(); n != maxDamages {
			t.Errorf("%d lines of 1000 things, want %d", n, maxDamages)
		}
		clock.Advance(storeReminder)
		s.Damaged("a thing", "id", "0")
		s.Damaged("a thing", "id", "0")
		s.Damaged("another thing", "id", "0")
		if n := lines(); n != 2 {
			t.Errorf("a minute later %d lines, want 2", n)
		}
		clock.Advance(storeReminder)
	}
	new(Redis).Damaged("nobody is told")
}

// TestDamageIsNotAway: that somebody else has written a key does not mean that Redis cannot be used.
func TestDamageIsNotAway(t *testing.T) {
	for text, away := range map[string]bool{
		"WRONGTYPE Operation against a key holding the wrong kind of value":                                                         false,
		"ERR Error running script (call to f_1): @user_script:1: WRONGTYPE Operation against a key holding the wrong kind of value": false,
		"LOADING Redis is loading the dataset in memory":                                                                            true,
		"OOM command not allowed when used memory > 'maxmemory'.":                                                                   true,
	} {
		if got := isStoreFailure(redisError(text)); got != away {
			t.Errorf("%s: %t, want %t", text, got, away)
		}
	}
	if !isStoreFailure(errors.New("no answer")) {
		t.Error("no answer is none")
	}
}

// redisError is an error that a server answers.
type redisError string

func (e redisError) Error() string { return string(e) }

func (redisError) RedisError() {}
