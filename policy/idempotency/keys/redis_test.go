package keys

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	redistest "github.com/transom-gateway/transom/internal/testing/redis"
)

// TestHugeRecord: Traffic 97: what somebody else has written in the place of a record, and is larger than one
// can be, is refused and not read.
func TestHugeRecord(t *testing.T) {
	server := redistest.Start(t)
	answers, client := inRedis(t, server, "t:"), server.Client(t)
	c := keyed("key", "one", "request")
	lease, _, err := answers.Begin(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	lease.End(&Record{State: Answered, Fingerprint: c.Fingerprint}, time.Minute)
	if err := client.HSet(t.Context(), answers.key(c.ID), "record", strings.Repeat("x", maxRecord+1)).Err(); err != nil {
		t.Fatal(err)
	}
	sent := func() int {
		t.Helper()
		info, err := client.InfoMap(t.Context(), "stats").Result()
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(info["Stats"]["total_net_output_bytes"])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := sent()
	if _, kept, err := answers.Begin(t.Context(), c); status.Code(err) != codes.Unavailable {
		t.Errorf("%+v, %v", kept, err)
	}
	if seen, kept := answers.look(t.Context(), c.ID); seen != unclear {
		t.Errorf("%v, %+v", seen, kept)
	}
	if n := sent() - before; n > 1<<20 {
		t.Errorf("%d bytes were read", n)
	}
}
