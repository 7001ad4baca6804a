package upstream_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy/upstream"
)

// caused is an error that says more to operators than to clients.
type caused struct{ cause error }

func (caused) Error() string                { return "the server cannot be reached" }
func (e caused) Unwrap() error              { return e.cause }
func (e caused) Cause() error               { return e.cause }
func (e caused) GRPCStatus() *status.Status { return status.New(codes.Unavailable, e.Error()) }

// TestTroubleIsSeen: a plain HTTP server whose requests fail says how the last ones did,
// until one is answered, although it may be asked.
func TestTroubleIsSeen(t *testing.T) {
	const at = "127.0.0.1:1"
	c := get(t, plain(at))
	end := func(v upstream.Verdict, why error) {
		t.Helper()
		var turn upstream.Turn
		begin(t, c, &turn)
		turn.Because(why)
		c.Judge(&turn, v)
		c.End(&turn)
	}
	expect := func(why string) {
		t.Helper()
		e := c.Endpoints()[0]
		if e.State != upstream.EndpointReady || e.Why != why {
			t.Errorf("%s: %q; expected READY: %q", e.State, e.Why, why)
		}
	}
	expect("")
	end(upstream.Faulty, caused{errors.New("connection refused")})
	expect("its last call failed: the server cannot be reached (connection refused)")
	end(upstream.Faulty, status.Error(codes.Unavailable, "HTTP status 503"))
	expect("its last 2 calls failed: HTTP status 503")
	end(upstream.NoVerdict, errors.New("the client went away"))
	expect("its last 2 calls failed: HTTP status 503")
	end(upstream.Faulty, nil)
	expect("its last 3 calls failed: HTTP status 503")
	end(upstream.Faulty, caused{fmt.Errorf("handshake: %w", tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"})})
	expect("its last 4 calls failed: the server cannot be reached (handshake: tls: first record does not look like a TLS handshake)" +
		": the server seems not to speak TLS: remove tls from the upstream, or --upstream-tls")
	end(upstream.Sound, nil)
	expect("")
}
