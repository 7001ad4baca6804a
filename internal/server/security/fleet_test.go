package security

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/keytest"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestResumption: Traffic 186: a session is resumed by every replica that has the secret or the keys,
// and by one that has begun anew; tickets are of use for protocols of one kind alone, and after a change of
// secrets no more.
func TestResumption(t *testing.T) {
	cert, key := keytest.Certificate(t, "a.example")
	line := func(c string) string { return strings.Repeat(c, 64) + "\n" }
	resolve := folder(t, "cert.pem", cert, "key.pem", key, "secret", line("s"), "other", line("t"), "keys", line("1"), "rotated", line("2")+line("1"))
	replica := func(fleet, keys, protocol string) string {
		return server(t, open(t, &transomv1.ServerTls{Certificate: "cert.pem", Key: "key.pem", TicketKeys: keys}, resolve, fleet).Config(protocol))
	}
	for name, test := range map[string]struct {
		from, to [3]string
		want     bool
	}{
		"one secret":       {[3]string{"file:secret", "", "h2"}, [3]string{"file:secret", "", "h2"}, true},
		"another secret":   {[3]string{"file:secret", "", "h2"}, [3]string{"file:other", "", "h2"}, false},
		"no secret":        {[3]string{"", "", "h2"}, [3]string{"", "", "h2"}, false},
		"HTTP/3's":         {[3]string{"file:secret", "", "h2"}, [3]string{"file:secret", "", "h3"}, false},
		"one file of keys": {[3]string{"", "file:keys", "h2"}, [3]string{"", "file:keys", "h2"}, true},
		"a key before":     {[3]string{"", "file:keys", "h2"}, [3]string{"", "file:rotated", "h2"}, true},
		"a key to come":    {[3]string{"", "file:rotated", "h2"}, [3]string{"", "file:keys", "h2"}, false},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			c := client(t, cert, "a.example", "", "")
			c.MinVersion, c.MaxVersion, c.ClientSessionCache = version, version, tls.NewLRUClientSessionCache(1)
			if _, err := shake(replica(test.from[0], test.from[1], test.from[2]), c); err != nil {
				t.Fatal(err)
			}
			if state, err := shake(replica(test.to[0], test.to[1], test.to[2]), c); err != nil || state.DidResume != test.want {
				t.Errorf("%s, %s: resumed is %v, %v", name, tls.VersionName(version), state.DidResume, err)
			}
		}
	}
	// Within one process without a secret, and over a change of the secret.
	s := open(t, &transomv1.ServerTls{Certificate: "cert.pem", Key: "key.pem"}, resolve, "file:secret")
	at := server(t, s.Config("h2"))
	c := client(t, cert, "a.example", "", "")
	c.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for i, want := range []bool{false, true, false, true} {
		if i == 2 {
			replace(t, resolve("secret"), line("u"))
			s.fleet.Review()
		}
		if state, err := shake(at, c); err != nil || state.DidResume != want {
			t.Errorf("connection %d: resumed is %v, %v", i, state.DidResume, err)
		}
	}
}

// TestKeysOfDays: Traffic 186: a day's key encrypts on that day, and decrypts on those before and after.
func TestKeysOfDays(t *testing.T) {
	of := func(today int64) [][32]byte {
		keys, err := tickets{secret: []byte(strings.Repeat("s", 32)), today: today}.derive("h2 http/1.1")
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	a, b, c := of(20_000), of(20_001), of(20_002)
	if len(a) != 3 || a[0] != b[1] || a[2] != b[0] || c[1] != b[0] || a[0] == b[0] || a[0] == c[0] || a[0] == c[1] || a[0] == c[2] {
		t.Error("the keys of days are others")
	}
	if fmt.Sprintf("%x", a[0][:4]) == "00000000" {
		t.Error("a key is empty")
	}
}

// TestQUICKeys: Traffic 186: replicas derive the same keys of resets and address tokens from one secret.
func TestQUICKeys(t *testing.T) {
	resolve := folder(t, "secret", strings.Repeat("s", 32)+"\n", "same", strings.Repeat("s", 32), "other", strings.Repeat("t", 32))
	var keys [3][2][32]byte
	for i, name := range []string{"file:secret", "file:same", "file:other"} {
		f, err := NewFleet(name, resolve)
		if err != nil || !f.Shared() {
			t.Fatal(err)
		}
		if keys[i][0], keys[i][1], err = f.QUIC(); err != nil {
			t.Fatal(err)
		}
	}
	if keys[0] != keys[1] || keys[0] == keys[2] || keys[0][0] == keys[0][1] {
		t.Error("the keys are not of the secret")
	}
	if f, err := NewFleet("", resolve); err != nil || f.Shared() {
		t.Error("a secret of its own is shared")
	}
}
