package config

import (
	"testing"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestAdminElsewhere: Surface 231: another address of the admin listener, by the command line, lets in no others than the
// configuration does.
func TestAdminElsewhere(t *testing.T) {
	for address, tokens := range map[string]int{"": 1, "127.0.0.1:9902": 1, NoAdmin: 0} {
		f := &File{Config: &transomv1.Config{Admin: &transomv1.Admin{Address: "10.0.0.1:9901", Tokens: []*transomv1.AdminToken{{Name: "ada"}}}}}
		f.Listen("", address)
		a := f.Config.GetAdmin()
		if address != "" && a.GetAddress() != address || len(a.GetTokens()) != tokens {
			t.Errorf("--admin %q: %v", address, a)
		}
	}
	f := &File{Config: &transomv1.Config{}}
	if f.Listen("", "127.0.0.1:9902"); f.Config.GetAdmin().GetAddress() != "127.0.0.1:9902" {
		t.Errorf("without an admin listener: %v", f.Config.GetAdmin())
	}
}
