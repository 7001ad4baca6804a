package keytest

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

// KeyServer serves a key set over HTTP.
type KeyServer struct {
	*httptest.Server
	set     atomic.Pointer[[]byte]
	Status  atomic.Int32
	Fetches atomic.Int32
}

// NewKeyServer serves a key set until the test ends.
func NewKeyServer(t testing.TB, set []byte) *KeyServer {
	s := &KeyServer{}
	s.Status.Store(http.StatusOK)
	s.set.Store(&set)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.Fetches.Add(1)
		w.WriteHeader(int(s.Status.Load()))
		_, _ = w.Write(*s.set.Load())
	}))
	t.Cleanup(s.Close)
	return s
}

// Serve serves another key set from now on.
func (s *KeyServer) Serve(set []byte) { s.set.Store(&set) }
