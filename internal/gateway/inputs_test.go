package gateway

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/config"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestInputsOfTLS: Traffic 183, 185 and 186: each file of a listener's TLS is watched, so that one that cannot be used is told of
// though nobody connects.
func TestInputsOfTLS(t *testing.T) {
	var want []string
	fill := func(of string, m protoreflect.Message) {
		for i := range m.Descriptor().Fields().Len() {
			field := m.Descriptor().Fields().Get(i)
			if field.Kind() != protoreflect.StringKind {
				continue
			}
			name := "/" + of + "." + string(field.Name())
			want = append(want, name)
			if field.Name() == "ticket_keys" {
				name = "file:" + name
			}
			m.Set(field, protoreflect.ValueOfString(name))
		}
	}
	filled := func(of string) *transomv1.ServerTls {
		pair, tls := new(transomv1.ServerCertificate), new(transomv1.ServerTls)
		fill(of+".certificates", pair.ProtoReflect())
		fill(of, tls.ProtoReflect())
		tls.Certificates = []*transomv1.ServerCertificate{pair}
		return tls
	}
	want = append(want, "/secret")
	c := &config.File{Config: &transomv1.Config{
		FleetSecret: "file:/secret",
		Listeners:   []*transomv1.Listener{{Tls: filled("listeners")}},
		Admin:       &transomv1.Admin{Tls: filled("admin")},
	}}
	got := Inputs(c)
	for _, name := range want {
		if !slices.Contains(got, name) {
			t.Errorf("%s is not watched: %q", name, got)
		}
	}
	if len(want) != 1+2*(5+2) {
		t.Errorf("%d files: %q", len(want), want)
	}
}
