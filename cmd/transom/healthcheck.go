package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/transom-gateway/transom/internal/config"
)

const (
	// healthTime is how long the gateway may take to answer.
	healthTime = 2 * time.Second
	// healthAnswer is how much is read of what it says, in bytes.
	healthAnswer = 4 << 10
)

// healthcheck asks a gateway of this machine how it is.
type healthcheck struct {
	config  string
	address string
	ready   bool
}

func newHealthcheck(s streams) *cobra.Command {
	var h healthcheck
	c := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask a gateway of this machine whether it lives, for containers without curl",
		Long: `Healthcheck asks the admin listener of a gateway for /healthz, or for /readyz with --ready. Where
the listener is, the gateway's configuration says. It gives up after 2 seconds. The exit code is 0
where the gateway answers 200, and 1 else.`,
		Example: "  transom healthcheck --config /etc/transom/transom.yaml\n  transom healthcheck --ready --addr unix:/run/transom/admin.sock",
		Args:    takes(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			said, err := h.ask(c.Context(), s.err)
			if err != nil {
				return problem(err)
			}
			_, err = fmt.Fprintln(s.out, said)
			return err
		},
	}
	c.Flags().StringVar(&h.config, "config", "transom.yaml", "configuration `file` of the gateway")
	c.Flags().StringVar(&h.address, "addr", "", "`address` of the admin listener, instead of the configuration's: host:port, https://host:port or unix:/path")
	c.Flags().BoolVar(&h.ready, "ready", false, "ask whether requests may be sent to it, too")
	_ = c.MarkFlagFilename("config", "yaml", "yml")
	return c
}

// ask asks, and returns what the gateway says.
func (h *healthcheck) ask(ctx context.Context, warnings io.Writer) (string, error) {
	address, err := h.admin(warnings)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	scheme, address, ok := strings.Cut(address, "://")
	if !ok {
		scheme, address = "http", scheme
	}
	network, host := "tcp", address
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address, host = "unix", path, "localhost"
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address) // an unspecified address is this machine
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}, //nolint:gosec // nothing secret is sent, and the certificate is for others' name of this machine
	}
	path := "/healthz"
	if h.ready {
		path = "/readyz"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+host+path, http.NoBody)
	if err != nil {
		return "", fmt.Errorf("--addr: %w", err)
	}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("no answer within %v", healthTime)
		}
		return "", fmt.Errorf("the gateway cannot be asked at %s: %w", address, err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(answer.Body, healthAnswer)) // the status says it
	said := strings.TrimSpace(string(text))
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s answers %s: %s", address, answer.Status, said)
	}
	return said, nil
}

// admin is the address of the admin listener.
func (h *healthcheck) admin(warnings io.Writer) (string, error) {
	if h.address != "" {
		return h.address, nil
	}
	file, problems := config.Load(h.config)
	if file == nil || file.Config == nil {
		// The gateway goes on with what it has read, and must not be ended for a file that is
		// being changed.
		_, _ = fmt.Fprintf(warnings, "%v; asking %s\n", problems.Err(), config.DefaultAdmin) // it is for people
		return config.DefaultAdmin, nil
	}
	address := file.Config.GetAdmin().GetAddress()
	switch _, port, _ := net.SplitHostPort(address); {
	case address == "":
		address = config.DefaultAdmin
	case address == config.NoAdmin:
		return "", errors.New("the configuration has no admin listener, which is who knows how the gateway is; set admin.address")
	case port == "0":
		return "", fmt.Errorf("the configuration has the admin listener at a free port (%s): name the port there, or --addr", address)
	}
	if file.Config.GetAdmin().GetTls() != nil {
		address = "https://" + address
	}
	return address, nil
}
