package gateway_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// TestVaryOfAnswers: Traffic 117, 123: caches between the gateway and its clients are told what an answer varies
// by, by the backend's word and by the policy's, under each name by which clients say it; also of a hit, of an
// answer that is not kept, of an error, and of a method without cache. Without it, they would give one client
// what another one has got.
func TestVaryOfAnswers(t *testing.T) {
	const byForm = "Accept, Accept-Encoding"
	says := func(vary string, more ...string) metadata.MD {
		return metadata.Pairs(append([]string{"vary", vary, "cache-control", "max-age=60"}, more...)...)
	}
	kept := strings.Replace(taggedProto, "validators_only: true", `ttl { seconds: 60 } not_found_ttl { seconds: 60 } vary: "x-tenant"`, 1)
	const tenant = ", Grpc-Metadata-X-Tenant"
	for name, test := range map[string]struct {
		header, trailer metadata.MD
		err             error
		rest, connect   string // without byForm and the policy's own
		plain           string
	}{
		"a header": {
			header: says("x-group"), rest: "Grpc-Metadata-X-Group, X-Group", connect: "Grpc-Metadata-X-Group, X-Group", plain: "Grpc-Metadata-X-Group, X-Group",
		},
		"a header that crosses under its own name alone": {
			header: says("accept-language"), rest: "Accept-Language", connect: "Accept-Language", plain: "Accept-Language",
		},
		"not kept": {
			header: says("x-group", "cache-control", "no-store"), rest: "Grpc-Metadata-X-Group, X-Group", connect: "X-Group", plain: "Grpc-Metadata-X-Group, X-Group",
		},
		"everything": {header: says("*"), rest: "*", connect: "*", plain: "*"},
		"the user agent, which backends know by another name": {
			header: says("x-forwarded-user-agent"), rest: "User-Agent, X-Forwarded-User-Agent", connect: "X-Forwarded-User-Agent", plain: "User-Agent, X-Forwarded-User-Agent",
		},
		"an error in one block": {
			err: status.Error(codes.NotFound, "no"), trailer: says("x-group"), rest: "Grpc-Metadata-X-Group, X-Group", connect: "Grpc-Metadata-X-Group, X-Group",
		},
	} {
		t.Run("Traffic 123: "+name, func(t *testing.T) {
			s := &taggedServer{text: "one", header: test.header, trailer: test.trailer, err: test.err}
			g := s.start(t, kept)
			varies := func(path, want string) {
				t.Helper()
				h := g.Do(t, "GET", path, "", "X-Group", "a").Header
				var names []string
				for _, line := range h.Values("Vary") {
					for one := range strings.SplitSeq(line, ",") {
						names = append(names, strings.ToLower(strings.TrimSpace(one)))
					}
				}
				slices.Sort(names)
				wanted := strings.Split(strings.ToLower(want), ", ")
				slices.Sort(wanted)
				if !slices.Equal(slices.Compact(names), wanted) || h.Get("Grpc-Metadata-Vary") != "" {
					t.Errorf("%s varies by %q, want %q: %v", path, names, wanted, h)
				}
			}
			form := ", " + byForm
			if test.err != nil {
				form = ""
			}
			for range 2 {
				varies("/v1/read", own(test.rest, "X-Tenant"+tenant, form))
				varies(taggedGet, own(test.connect, "X-Tenant"+tenant, form))
			}
			if test.plain != "" {
				varies("/v1/plain", test.plain)
			}
		})
	}
}

// own is what an answer varies by, with what else it does; "*" is all of it.
func own(said, policy, form string) string {
	if said == "*" {
		return said
	}
	return said + ", " + policy + form
}

// TestErrorsOfOneBlockTellCaches: Traffic 117, 123: what a backend says to caches of an error that comes in one block with
// its status, which gRPC takes for a trailer, their caches are told by REST and Connect.
func TestErrorsOfOneBlockTellCaches(t *testing.T) {
	s := &taggedServer{}
	g := s.start(t, strings.Replace(taggedProto, "validators_only: true", `ttl { seconds: 60 } not_found_ttl { seconds: 60 }`, 1))
	for said, want := range map[string]string{"no-store": "no-store", "private, max-age=5": "private, max-age=5"} {
		s.fail(status.Error(codes.NotFound, "no"), metadata.Pairs("cache-control", said))
		for _, path := range []string{"/v1/read", taggedGet} {
			if a := g.Do(t, "GET", path, ""); a.Status != 404 || a.Header.Get("Cache-Control") != want {
				t.Errorf("%s: %d, %v", path, a.Status, a.Header)
			}
		}
	}
}
