package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/healthcheckextension"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/fileprovider"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/otlpexporter"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/batchprocessor"
	"go.opentelemetry.io/collector/processor/memorylimiterprocessor"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/service/telemetry/otelconftelemetry"
)

// factories are the parts of the image's collector that collector.yaml names.
func factories() (f otelcol.Factories, err error) {
	if f.Extensions, err = otelcol.MakeFactoryMap[extension.Factory](healthcheckextension.NewFactory()); err != nil {
		return f, err
	}
	if f.Receivers, err = otelcol.MakeFactoryMap[receiver.Factory](otlpreceiver.NewFactory()); err != nil {
		return f, err
	}
	if f.Processors, err = otelcol.MakeFactoryMap[processor.Factory](memorylimiterprocessor.NewFactory(), batchprocessor.NewFactory()); err != nil {
		return f, err
	}
	f.Telemetry = otelconftelemetry.NewFactory()
	f.Exporters, err = otelcol.MakeFactoryMap[exporter.Factory](otlpexporter.NewFactory())
	return f, err
}

// validate is what `otelcol validate` does.
func validate(t *testing.T, path string) error {
	t.Helper()
	collector, err := otelcol.NewCollector(otelcol.CollectorSettings{
		Factories: factories, BuildInfo: component.NewDefaultBuildInfo(),
		ConfigProviderSettings: otelcol.ConfigProviderSettings{ResolverSettings: confmap.ResolverSettings{
			URIs: []string{"file:" + path}, ProviderFactories: []confmap.ProviderFactory{fileprovider.NewFactory()},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return collector.DryRun(t.Context())
}

// TestCollector: Surface 282: the collector takes its file, in the version that the image has.
func TestCollector(t *testing.T) {
	path := filepath.Join(folder, "compose", "collector.yaml")
	if err := validate(t, path); err != nil {
		t.Error(err)
	}
	text := read(t, path)
	for what, wrong := range map[string]string{
		"pipeline":  strings.Replace(text, "exporters: [otlp_grpc]", "exporters: [other]", 1),
		"key":       strings.Replace(text, "limit_mib", "limit_mb", 1),
		"component": strings.Replace(text, "batch: {}", "bath: {}", 1),
	} {
		file := filepath.Join(t.TempDir(), "collector.yaml")
		if err := os.WriteFile(file, []byte(wrong), 0o600); err != nil {
			t.Fatal(err)
		}
		if wrong == text || validate(t, file) == nil {
			t.Errorf("a wrong %s is taken", what)
		}
	}
	image := regexp.MustCompile(`(?m)^FROM otel/opentelemetry-collector-contrib:(\S+) `).FindStringSubmatch(read(t, filepath.Join(folder, "Dockerfile")))
	module := regexp.MustCompile(`(?m)^\s*go\.opentelemetry\.io/collector/otelcol v(\S+)$`).FindStringSubmatch(read(t, "go.mod"))
	if image == nil || module == nil || image[1] != module[1] {
		t.Errorf("the image has the collector %v, this test has %v", image, module)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
