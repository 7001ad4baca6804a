package keys

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	grpcmetadata "google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	redistest "github.com/transom-gateway/transom/internal/testing/redis"
	"github.com/transom-gateway/transom/policy/store"
	"github.com/transom-gateway/transom/proxy"
)

// newMemory is a memory of so many bytes, by a clock.
func newMemory(limit int64, clock *policytest.Clock) *memory {
	return &memory{now: clock.Now, log: slog.New(slog.DiscardHandler), max: limit, owners: map[Digest]int64{}, all: map[Digest]*entry{}}
}

// inRedis keeps records in a server, under names that begin with prefix.
func inRedis(t *testing.T, server *redistest.Server, prefix string) *redisAnswers {
	late := &lateEnds{places: make(chan struct{}, 1)}
	var cancel context.CancelFunc
	late.ctx, cancel = context.WithCancel(t.Context())
	t.Cleanup(cancel)
	a := &redisAnswers{
		Redis: &store.Redis{Client: server.Client(t), Timeout: time.Minute, Prefix: prefix, Health: store.NewHealth(time.Now, nil)},
		log:   slog.New(slog.DiscardHandler), late: late,
	}
	a.watches = newWatches(a.look)
	t.Cleanup(func() { _ = a.watches.Close() })
	return a
}

// keyed is a call under a key, of an owner, with a request.
func keyed(key, owner, request string) *Call {
	address := sha256.Sum256([]byte(owner))
	return &Call{ID: sha256.Sum256([]byte(key)), Address: netip.AddrFrom16([16]byte(address[:16])), Fingerprint: sha256.Sum256([]byte(request)), TTL: time.Minute}
}

// TestOwners: Traffic 95: a client by IPv6 has as much of the memory as one by IPv4, by whatever
// address of its network.
func TestOwners(t *testing.T) {
	of := func(address string) Digest { return (&Call{Address: netip.MustParseAddr(address)}).Owner() }
	for _, test := range []struct {
		a, b string
		same bool
	}{
		{"2001:db8::1", "2001:db8::ffff:1:2:3", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
		{"fe80::1%eth0", "fe80::2", true},
	} {
		if got := of(test.a) == of(test.b); got != test.same {
			t.Errorf("%s and %s are one owner: %v, want %v", test.a, test.b, got, test.same)
		}
	}
	m := newMemory(100<<10, policytest.NewClock())
	kept := 0
	for i := range 200 {
		c := keyed(fmt.Sprint("key ", i), "", "")
		c.Address = netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 15: byte(i)})
		if lease, _, _ := m.Begin(t.Context(), c); lease != nil {
			kept++
		}
	}
	if kept == 0 || m.used > m.max/ownersPart {
		t.Errorf("one client has %d bytes by %d keys, want a tenth of %d at most", m.used, kept, m.max)
	}
}

// TestMemory: Traffic 93, 95: what is kept has its time, and no more room than there is; a full
// memory refuses new keys and forgets none.
func TestMemory(t *testing.T) {
	clock := policytest.NewClock()
	m := newMemory(100<<10, clock)
	var ids []string
	for i := 0; ; i++ {
		c := keyed(fmt.Sprint("key ", i), fmt.Sprint("owner ", i%20), "")
		lease, _, err := m.Begin(t.Context(), c)
		if err != nil {
			if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "no more keys") {
				t.Fatal(err)
			}
			break
		}
		lease.End(&Record{State: Answered, Message: bytes.Repeat([]byte("x"), 1000)}, time.Duration(1+i)*time.Second)
		ids = append(ids, fmt.Sprint("key ", i))
	}
	if len(ids) < 50 || m.used > m.max {
		t.Fatalf("%d keys, %d bytes", len(ids), m.used)
	}
	for _, id := range ids {
		if _, kept, err := m.Begin(t.Context(), keyed(id, "x", "")); err != nil || kept == nil || kept.State == Running {
			t.Fatalf("%s: %v, %v", id, kept, err)
		}
	}
	clock.Advance(10 * time.Second)
	if _, kept, err := m.Begin(t.Context(), keyed("key 9", "new", "")); err != nil || kept != nil {
		t.Errorf("what is over: %v, %v", kept, err)
	}
	clock.Advance(time.Hour)
	lease, _, err := m.Begin(t.Context(), keyed("key 1000", "new", ""))
	if err != nil || len(m.all) != 2 {
		t.Fatalf("%v; there are %d", err, len(m.all))
	}
	lease.End(nil, time.Minute)
	if len(m.all) != 1 || m.used != overhead {
		t.Errorf("%d are left, %d bytes", len(m.all), m.used)
	}
}

// TestMemoryOfOneOwner: Traffic 95: one owner has a tenth.
func TestMemoryOfOneOwner(t *testing.T) {
	m := newMemory(100<<10, policytest.NewClock())
	n := 0
	for ; ; n++ {
		if _, _, err := m.Begin(t.Context(), keyed(fmt.Sprint(n), "one", "")); err != nil {
			break
		}
	}
	if n != 10<<10/overhead {
		t.Errorf("one owner has %d keys", n)
	}
	lease, _, err := m.Begin(t.Context(), keyed("other", "other", ""))
	if err != nil {
		t.Fatalf("another one: %v", err)
	}
	lease.End(&Record{State: Answered, Message: make([]byte, 20<<10)}, time.Minute)
	if _, kept, err := m.Begin(t.Context(), keyed("other", "other", "")); err != nil || kept.State != Bodyless {
		t.Errorf("an answer without room: %+v, %v", kept, err)
	}
}

// TestFullMemoryIsLogged: Traffic 95: the log says once a minute that keys are refused for want of
// memory.
func TestFullMemoryIsLogged(t *testing.T) {
	clock := policytest.NewClock()
	m := newMemory(100<<10, clock)
	var log bytes.Buffer
	m.log = slog.New(slog.NewTextHandler(&log, nil))
	for want := range 3 {
		for i := range 100 {
			_, _, _ = m.Begin(t.Context(), keyed(fmt.Sprint(i), "one", "")) // the log says
		}
		if n := strings.Count(log.String(), "idempotency.max_bytes"); n != want+1 {
			t.Errorf("the log has it %d times, want %d:\n%s", n, want+1, &log)
		}
		clock.Advance(reminder)
	}
}

// TestLostLease: Traffic 90, 93: a gateway that dies loses its key after 15 s, and nobody
// knows what it has done; where the backend tells calls apart, the next one is made.
func TestLostLease(t *testing.T) {
	for name, honours := range map[string]bool{"at most once": false, "backend_honours": true} {
		t.Run(name, func(t *testing.T) {
			server := redistest.StartWithClock(t, 0)
			answers := inRedis(t, server, "t:")
			c := keyed("key", "one", "request")
			c.Again = honours
			first, _, err := answers.Begin(t.Context(), c)
			if err != nil || first == nil {
				t.Fatal(first, err)
			}
			dead, ok := first.(*redisLease)
			if !ok {
				t.Fatal("no lease of Redis")
			}
			close(dead.stop) // it dies: nobody renews
			dead.stopped.Wait()
			if second, kept, err := answers.Begin(t.Context(), c); err != nil || second != nil || kept.State != Running {
				t.Fatalf("%v, %+v, %v", second, kept, err)
			}
			server.Advance(leaseTime + time.Second)
			second, kept, err := answers.Begin(t.Context(), c)
			switch {
			case err != nil:
				t.Fatal(err)
			case honours && second == nil, !honours && (second != nil || kept.State != Uncertain || kept.Status.GetMessage() == ""):
				t.Fatalf("%v, %+v", second, kept)
			case honours:
				second.End(&Record{State: Answered, Fingerprint: c.Fingerprint}, time.Minute)
			default:
				dead.stop = make(chan struct{})
				dead.End(&Record{State: Answered, Fingerprint: c.Fingerprint}, time.Minute) // it was not dead
			}
			if _, kept, err := answers.Begin(t.Context(), c); err != nil || kept == nil || kept.State != Answered {
				t.Errorf("%+v, %v", kept, err)
			}
		})
	}
}

// FuzzReadKey: Traffic 83: a key is what both forms say, or refused.
func FuzzReadKey(f *testing.F) {
	for _, text := range []string{"k", `"k"`, `"a\"b\\c"; p=1`, `"`, `""`, "", " k ", "\x00", `"a"b`, strings.Repeat("x", 300)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		key, err := Read([]string{text})
		if err != nil {
			return
		}
		if len(key) < 1 || len(key) > maxKey || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Errorf("%q is the key %q", text, key)
		}
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
		if again, err := Read([]string{quoted}); err != nil || again != key {
			t.Errorf("%q is %q, %v; want %q", quoted, again, err, key)
		}
	})
}

// FuzzUnmarshal: Traffic 91, 96: what is in the store is a record, or refused.
func FuzzUnmarshal(f *testing.F) {
	for _, r := range []*Record{
		{State: Answered, Message: []byte("message")},
		{State: Answered, Status: &spb.Status{Code: 5, Message: "no"}, Trailer: grpcmetadata.Pairs("a", "b", "a", "c", "x-bin", "\x00\xff")},
		{State: Answered, HTTPStatus: 201, Server: "till:80", Header: grpcmetadata.MD{"Location": {"/a"}}, Message: []byte("body")},
		{State: Bodyless}, {State: Uncertain, Status: &spb.Status{Code: 4}, Header: grpcmetadata.Pairs("h", "")},
	} {
		f.Add(r.marshal(nil))
		again, err := unmarshal(r.marshal(nil))
		if d := cmp.Diff(r, again, cmp.AllowUnexported(Record{}), protocmp.Transform(), cmp.Transformer("message", func(b []byte) string { return string(b) })); err != nil || d != "" {
			f.Errorf("%v %s", err, d)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := unmarshal(raw)
		if err != nil {
			return
		}
		again, err := unmarshal(r.marshal(nil))
		if err != nil || again.State != r.State || again.Fingerprint != r.Fingerprint || !bytes.Equal(again.Message, r.Message) {
			t.Errorf("%x: %+v, again %+v, %v", raw, r, again, err)
		}
	})
}

// TestWaitInMemory: who waits for a call under a key hears of its end, and at once of one that has
// ended, be it answered or not.
func TestWaitInMemory(t *testing.T) {
	for name, kept := range map[string]*Record{"answered": {State: Answered}, "released": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory(100<<10, policytest.NewClock())
				c := keyed("a", "a", "")
				lease, _, err := m.Begin(t.Context(), c)
				if err != nil {
					t.Fatal(err)
				}
				begun := time.Now()
				time.AfterFunc(time.Second, func() { lease.End(kept, time.Minute) })
				for range 2 {
					if _, ok := m.Wait(t.Context(), c.ID); !ok || time.Since(begun) != time.Second {
						t.Errorf("%v after %v", ok, time.Since(begun))
					}
				}
				if e := m.all[c.ID]; e != nil && e.ended != nil {
					t.Error("a key that is answered keeps what others have waited by")
				}
			})
		})
	}
}

// TestFormsLeaveRoomForKeys: Traffic 95: what is made of answers that are given again counts, and takes
// no memory that keys may need.
func TestFormsLeaveRoomForKeys(t *testing.T) {
	m := newMemory(100<<10, policytest.NewClock())
	keep := func(key, owner string) *Record {
		t.Helper()
		lease, kept, err := m.Begin(t.Context(), keyed(key, owner, ""))
		if err != nil {
			t.Fatal(err)
		}
		if lease != nil {
			lease.End(&Record{State: Answered, Message: make([]byte, 100)}, time.Minute)
			_, kept, err = m.Begin(t.Context(), keyed(key, owner, ""))
		}
		if err != nil || kept == nil {
			t.Fatalf("%v %v", kept, err)
		}
		return kept
	}
	first := keep("a", "a")
	if first.Forms == nil {
		t.Fatal("an answer that is given again has no forms")
	}
	used, form := m.used, &proxy.Form{Of: new(proxy.FormKind), Text: make([]byte, 1000)}
	first.Forms.Keep(form)
	if again := keep("a", "a"); again.Forms.Get(form.Of, "") != form || m.used < used+1000 {
		t.Errorf("%v is kept, %d bytes more", again.Forms.Get(form.Of, ""), m.used-used)
	}
	for i := 0; m.used < m.max/2; i++ {
		keep(fmt.Sprint(i), fmt.Sprint("owner ", i))
	}
	used = m.used
	first.Forms.Keep(&proxy.Form{Of: new(proxy.FormKind), Text: make([]byte, 1000)})
	if late := keep("late", "late"); late.Forms != nil || m.used > used+overhead+200 {
		t.Errorf("answers have forms where keys may need the memory: %v, %d bytes more", late.Forms, m.used-used)
	}
	if first := keep("a", "a"); first.Forms.Get(form.Of, "") != form {
		t.Error("a form is lost")
	}
	for _, e := range m.all {
		m.mu.Lock()
		m.drop(e)
		m.mu.Unlock()
	}
	first.Forms.Keep(&proxy.Form{Of: new(proxy.FormKind)})
	if m.used != 0 || len(m.owners) != 0 {
		t.Errorf("%d bytes are taken by nothing", m.used)
	}
}
