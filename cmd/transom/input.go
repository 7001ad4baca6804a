package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/metadata"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/gateway"
	"github.com/transom-gateway/transom/internal/observe"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// streams are the process's own, or a test's.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// input is what serve, check, routes, explain and openapi take: where the
// schemas, the upstreams and the configuration are.
type input struct {
	config         string
	descriptorSets []string
	reflect        bool
	upstream       string
	upstreamTLS    bool
	upstreamCA     string
	listen, admin  string
	folders        []string
	faults         bool
	unguarded      bool        // no policy holds
	namesWarnings  bool        // all of them, not only how many there are
	metadata       metadata.MD // for servers that are asked for their schemas
}

// flags declares the flags of the input.
func (in *input) flags(c *cobra.Command) {
	c.Flags().StringVar(&in.config, "config", "", "configuration `file` (transom.yaml)")
	c.Flags().StringArrayVar(&in.descriptorSets, "descriptor-set", nil, "FileDescriptorSet or buf image `file`, binary or .json; may repeat")
	c.Flags().BoolVar(&in.reflect, "reflect", false, "ask the upstream's reflection service for its descriptors")
	c.Flags().StringVar(&in.upstream, "upstream", "", "gRPC server `target`: host:port, dns:///host:port or unix:/path")
	c.Flags().BoolVar(&in.upstreamTLS, "upstream-tls", false, "speak TLS with the upstream")
	c.Flags().StringVar(&in.upstreamCA, "upstream-ca", "", "PEM `file` of the authorities that the upstream's certificate is checked with; implies --upstream-tls")
	_ = c.MarkFlagFilename("upstream-ca")
	_ = c.MarkFlagFilename("config", "yaml", "yml")
	_ = c.MarkFlagFilename("descriptor-set")
	c.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveFilterDirs
	}
}

// listenFlags declares the flags of commands that listen.
func (in *input) listenFlags(c *cobra.Command) {
	c.Flags().StringVar(&in.listen, "listen", "", "`address` to listen on (default \":8080\")")
	c.Flags().BoolVar(&in.faults, "faults", false, "let the policy fault delay and fail calls on purpose")
	c.Flags().StringVar(&in.admin, "admin", "", "`address` of the admin listener, \"-\" for none (default \"127.0.0.1:9901\")")
}

// check refuses combinations that say nothing or two things.
func (in *input) check(folders []string) error {
	in.folders = folders
	flags := len(folders) > 0 || len(in.descriptorSets) > 0 || in.reflect
	if target := targetAmong(folders); target != "" && in.upstream == "" {
		return fmt.Errorf("found %q, which is no folder; a gRPC server is named by --upstream %s, beside a folder of protos or --reflect", target, target)
	}
	if name := configurationAmong(folders); name != "" {
		return fmt.Errorf("found %q, which is a file; a configuration is named by --config %s", name, name)
	}
	switch {
	case in.config != "" && (flags || in.upstream != ""):
		return errors.New("--config goes alone: put folders, descriptor sets, reflection and upstreams into the file")
	case in.upstream == "" && (in.upstreamTLS || in.upstreamCA != ""):
		return errors.New("--upstream-tls and --upstream-ca need --upstream; in a configuration file they are tls and tls.ca of the upstream")
	case in.config == "" && !flags:
		if _, err := os.Stat("transom.yaml"); err == nil {
			in.config = "transom.yaml"
			return nil
		}
		return errors.New("nothing to serve: name a folder of .proto files, --descriptor-set, --reflect --upstream or --config; plain HTTP servers stand in a configuration, which is transom.yaml where --config does not say")
	case in.reflect && in.upstream == "":
		return errors.New("--reflect needs --upstream: which server is to be asked?")
	}
	return nil
}

// targetAmong is the first argument that names a server and no folder; "" if there is
// none.
func targetAmong(folders []string) string {
	for _, name := range folders {
		_, port, err := net.SplitHostPort(name)
		number, notNumber := strconv.ParseUint(port, 10, 16)
		if _, missing := os.Stat(name); err == nil && notNumber == nil && number > 0 && missing != nil {
			return name
		}
	}
	return ""
}

// configurationAmong is the first argument that names a YAML file; "" if there is none.
func configurationAmong(folders []string) string {
	for _, name := range folders {
		extension := filepath.Ext(name)
		if info, err := os.Stat(name); (extension == ".yaml" || extension == ".yml") && err == nil && !info.IsDir() {
			return name
		}
	}
	return ""
}

// load reads the configuration, or makes it of the flags.
func (in *input) load() (*config.File, error) {
	file, err := in.read()
	if err != nil {
		return file, err
	}
	if in.faults {
		file.Config.Faults = true
	}
	return file, file.Check().Err()
}

// read is load before the last flags and the check.
func (in *input) read() (*config.File, error) {
	if in.config == "" {
		file := config.ForFlags(in.folders, in.descriptorSets, in.reflect, in.upstream, in.listen, in.admin)
		if in.upstreamTLS || in.upstreamCA != "" {
			file.UpstreamTLS(in.upstreamCA)
		}
		return file, nil
	}
	file, problems := config.Load(in.config)
	if err := problems.Err(); err != nil {
		return file, err
	}
	file.Listen(in.listen, in.admin)
	return file, nil
}

// warn prints the warnings, or how many there are for a command that is asked for
// something else.
func (in *input) warn(w io.Writer, problems gateway.Problems) {
	n := 0
	for _, p := range problems {
		if !p.Warning {
			continue
		}
		if n++; in.namesWarnings {
			_, _ = io.WriteString(w, p.String()+"\n") // nobody reads what cannot be written
		}
	}
	if n > 0 && !in.namesWarnings {
		_, _ = fmt.Fprintf(w, "%s; transom check says of what\n", counted(n, "warning")) // as above
	}
}

// once builds a gateway that serves nobody, for commands that only look at it.
// Warnings go to standard error.
func (in *input) once(ctx context.Context, s streams, offline bool) (*gateway.Gateway, error) {
	telemetry, err := quietTelemetry()
	if err != nil {
		return nil, err
	}
	g := gateway.New(gateway.Options{Load: in.load, Telemetry: telemetry, Version: version, Offline: offline, Unguarded: in.unguarded, Metadata: in.asking(), Sinks: eventSinks})
	_, err = g.Reload(ctx)
	in.warn(s.err, g.Status().Problems)
	if err != nil {
		g.Close()
		return nil, problem(err)
	}
	return g, nil
}

// asking is the metadata for servers that are asked for their schemas, as it goes over
// the wire.
func (in *input) asking() metadata.MD {
	raw := in.metadata.Copy()
	for name, values := range raw {
		if !strings.HasSuffix(name, "-bin") {
			continue
		}
		for i, value := range values {
			if decoded, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "=")); err == nil {
				values[i] = string(decoded)
			}
		}
	}
	return raw
}

// quietTelemetry reports nothing: what is wrong is printed instead.
func quietTelemetry() (*observe.Telemetry, error) {
	off := false
	t, err := observe.Setup(&transomv1.Telemetry{Log: &transomv1.Log{Access: &off}}, version, io.Discard)
	if err != nil {
		return nil, err
	}
	t.Log = slog.New(slog.DiscardHandler)
	return t, nil
}
