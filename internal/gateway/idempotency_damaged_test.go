package gateway_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/transom-gateway/transom/internal/gateway"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	redistest "github.com/transom-gateway/transom/internal/testing/redis"
)

// storedField is one of a record as it is stored.
func storedField(number protowire.Number, value string) string {
	return string(protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), value))
}

// storedHeader is a field of the kept header.
func storedHeader(name, value string) string {
	return storedField(4, storedField(1, name)+storedField(2, value))
}

// sealed is what is stored of a record under the key of that name in Redis: as the gateway writes it, so that
// what is wrong in it is read.
func sealed(t *testing.T, name, record string) string {
	t.Helper()
	_, digits, _ := strings.Cut(strings.TrimSuffix(name, "}"), "{")
	id, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(append(id, record...))
	return string(sum[:16]) + record
}

// TestIdempotencyKeyDamaged: Traffic 90, 96: where somebody else has changed what Redis has of a key,
// its call is not made again, nothing breaks, and no header is written that no server can send.
// Operators see the other keys.
func TestIdempotencyKeyDamaged(t *testing.T) {
	l, address := startLedger(t)
	s := &till{made: map[string]int{}}
	site := httptest.NewServer(s)
	t.Cleanup(site.Close)
	r := redistest.Start(t)
	g := gatewaytest.Start(t, gatewaytest.Options{
		NoBookstore: true, Protos: map[string]string{"ledger.proto": ledgerProto}, Backend: address,
		Upstreams: fmt.Sprintf("till: { http: { servers: [%q] } }", strings.TrimPrefix(site.URL, "http://")),
		Config: fmt.Sprintf(ledgerPolicies, "REFUSE") + fmt.Sprintf("stores: { redis: { url: %q, timeout: 5s } }\n", r.URL) +
			"routes: [{ match: { path_prefix: /till }, upstream: till, policy: { idempotency_key: { scope: METHOD } } }]\n",
	})
	client := r.Client(t)
	pay := map[string]func(*testing.T) gatewaytest.Answer{
		"RPC": func(t *testing.T) gatewaytest.Answer {
			return g.Do(t, "POST", "/v1/payments", `{"name":"a"}`, "Idempotency-Key", "k")
		},
		"route": func(t *testing.T) gatewaytest.Answer { return g.Do(t, "POST", "/till", "x", "Idempotency-Key", "k") },
	}
	made := func() int { return int(l.made.Load()) + s.times("/till") }
	answered := "\x08\x02" // the state
	for name, damage := range map[string][]any{
		"no record":        {"record", ""},
		"text":             {"record", "hello"},
		"cut":              {"record", answered + "\x12"},
		"no status":        {"record", answered + "FINGERPRINT" + storedField(6, "")},
		"a state":          {"record", "\x08\x63" + "FINGERPRINT"},
		"a bad status":     {"record", answered + "FINGERPRINT" + "\x38\x01"},
		"framing":          {"record", answered + "FINGERPRINT" + "\x38\xc8\x01" + storedHeader("Content-Length", "500") + storedHeader("Transfer-Encoding", "gzip") + storedHeader("Connection", "close")},
		"injection":        {"record", answered + "FINGERPRINT" + "\x38\xc8\x01" + storedHeader("A", "b\r\nEvil: 1") + storedHeader("c\r\nEvil", "1")},
		"no body allowed":  {"record", answered + "FINGERPRINT" + "\x38\xcc\x01" + storedField(6, "body")},
		"an unknown state": {"state", "gone"},
		"no time":          {"state", "running", "until", "soon"},
		"a fingerprint":    {"fingerprint", "short"},
	} {
		for kind, pay := range pay {
			t.Run(kind+", "+name, func(t *testing.T) {
				if err := client.FlushAll(t.Context()).Err(); err != nil {
					t.Fatal(err)
				}
				if a := pay(t); a.Status != 200 {
					t.Fatalf("%+v", a)
				}
				before := made()
				names, err := client.Keys(t.Context(), "*idempotency:*").Result()
				if err != nil || len(names) != 1 {
					t.Fatalf("%q, %v", names, err)
				}
				fingerprint, err := client.HGet(t.Context(), names[0], "fingerprint").Result()
				if err != nil {
					t.Fatal(err)
				}
				own := make([]any, len(damage))
				for i := range damage {
					text, _ := damage[i].(string)
					if strings.HasPrefix(text, "\x08") {
						text = sealed(t, names[0], strings.ReplaceAll(text, "FINGERPRINT", storedField(2, fingerprint)))
					}
					own[i] = text
				}
				if err := client.HSet(t.Context(), names[0], own...).Err(); err != nil {
					t.Fatal(err)
				}
				for range 2 {
					if a := pay(t); a.Header.Get("Evil") != "" || strings.Contains(a.Body, "Evil") || a.Status == 200 && a.Header.Get("Idempotent-Replayed") == "" {
						t.Errorf("%+v", a)
					}
				}
				if n := made(); n != before {
					t.Errorf("%d calls more", n-before)
				}
				if _, _, err := g.ListKeys(t.Context(), gateway.KeyFilter{}, "", 10); err != nil {
					t.Error(err)
				}
			})
		}
	}
	t.Run("no hash", func(t *testing.T) {
		if err := client.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		pay["RPC"](t)
		names, err := client.Keys(t.Context(), "*idempotency:*").Result()
		if err != nil || len(names) != 1 {
			t.Fatalf("%q, %v", names, err)
		}
		if err := client.Set(t.Context(), names[0], "text", 0).Err(); err != nil {
			t.Fatal(err)
		}
		before := made()
		if a := pay["RPC"](t); a.Status != 503 || made() != before {
			t.Errorf("%+v", a)
		}
		if _, _, err := g.ListKeys(t.Context(), gateway.KeyFilter{}, "", 10); err != nil {
			t.Error(err)
		}
	})
}
