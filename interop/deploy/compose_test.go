// Package deploy tests the files of deploy with the programs that read them.
package deploy

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

const folder = "../../deploy"

// load reads compose.yaml for a profile, as docker compose does.
func load(t *testing.T, profile string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(folder, "compose", "compose.yaml")}, cli.WithEnv([]string{"COMPOSE_PROFILES=" + profile}), cli.WithDefaultProfiles(profile))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// TestCompose: Surface 282: compose-go reads the file for each profile; every service has a health
// check, waits for those of the services it needs, and publishes its ports on this machine alone, none
// twice; files that are mounted are there.
func TestCompose(t *testing.T) {
	for profile, want := range map[string]int{"minimal": 3, "events": 5, "observability": 7} {
		project := load(t, profile)
		if len(project.Services) != want {
			t.Errorf("%s: the services %q, want %d", profile, project.ServiceNames(), want)
		}
		published := map[string]string{}
		for name, s := range project.Services {
			if s.HealthCheck == nil || len(s.HealthCheck.Test) < 2 || s.HealthCheck.Test[0] != "CMD" || s.HealthCheck.Retries == nil {
				t.Errorf("%s: %s has no health check: %+v", profile, name, s.HealthCheck)
			}
			for other, d := range s.DependsOn {
				if _, there := project.Services[other]; !there && d.Required {
					t.Errorf("%s: %s waits for %s, which is not there", profile, name, other)
				}
				if d.Condition != types.ServiceConditionHealthy {
					t.Errorf("%s: %s waits for %s until it is %s", profile, name, other, d.Condition)
				}
			}
			for _, p := range s.Ports {
				if p.HostIP != "127.0.0.1" {
					t.Errorf("%s: %s publishes %s at %q", profile, name, p.Published, p.HostIP)
				}
				if other, ok := published[p.Published]; ok {
					t.Errorf("%s: %s and %s publish %s", profile, name, other, p.Published)
				}
				published[p.Published] = name
			}
			for _, v := range s.Volumes {
				if v.Type != types.VolumeTypeBind {
					continue
				}
				if _, err := os.Stat(v.Source); err != nil {
					t.Errorf("%s: %s: %v", profile, name, err)
				}
			}
			if s.Build != nil {
				if _, err := os.Stat(filepath.Join(s.Build.Context, s.Build.Dockerfile)); err != nil {
					t.Errorf("%s: %s: %v", profile, name, err)
				}
			}
		}
		gateway := project.Services["gateway"]
		config := filepath.Join(folder, "compose", "gateway", filepath.Base(gateway.Command[len(gateway.Command)-1]))
		if _, err := os.Stat(config); err != nil || filepath.Base(config) != profile+".yaml" {
			t.Errorf("%s: the gateway serves by %s: %v", profile, config, err)
		}
		if !gateway.ReadOnly || len(gateway.CapDrop) != 1 || gateway.CapDrop[0] != "ALL" {
			t.Errorf("%s: the gateway may do more than it needs", profile)
		}
	}
}
