package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func newUpgrade(s streams) *cobra.Command {
	o := &operator{}
	var pid int
	c := &cobra.Command{
		Use:   "upgrade",
		Short: "Have a gateway that runs replaced by its program as it is now, without an end of service",
		Long: `Upgrade has a gateway start its program anew, with the same arguments and environment, on the
sockets that it listens on. When the new process serves, the old one ends after its calls. One that
does not serve within 30 seconds is killed, and the old one goes on.

With --pid the gateway is asked by SIGUSR2; its log alone says what came of it.

The token for the admin listener, if it wants one, is the environment variable TRANSOM_ADMIN_TOKEN.`,
		Example: "  transom upgrade\n  transom upgrade --admin unix:/run/transom/admin.sock\n  transom upgrade --pid 4711",
		Args:    takes(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("pid") {
				return signalUpgrade(s, pid)
			}
			return o.upgrade(c, s)
		},
	}
	c.Flags().StringVar(&o.address, "admin", "127.0.0.1:9901", "`address` of the admin listener: host:port, https://host:port or unix:/path")
	c.Flags().StringVar(&o.ca, "admin-ca", "", "PEM `file` of the authorities that the listener's certificate is checked with")
	c.Flags().IntVar(&pid, "pid", 0, "`id` of the process, to ask it by SIGUSR2 instead")
	c.MarkFlagsMutuallyExclusive("pid", "admin")
	return c
}

// signalUpgrade asks a process by SIGUSR2.
func signalUpgrade(s streams, pid int) error {
	if pid <= 0 {
		return fmt.Errorf("--pid: found %d, expected the id of a process", pid)
	}
	process, err := os.FindProcess(pid)
	if err == nil {
		err = process.Signal(syscall.SIGUSR2)
	}
	if err != nil {
		return problem(fmt.Errorf("process %d cannot be asked: %w", pid, err))
	}
	_, err = fmt.Fprintf(s.out, "asked process %d by SIGUSR2; its log says what comes of it\n", pid)
	return err
}

// upgrade asks by the admin listener, and waits.
func (o *operator) upgrade(c *cobra.Command, s streams) error {
	client, err := o.client()
	if err != nil {
		return problem(err)
	}
	defer client.CloseIdleConnections()
	client.Timeout = handOverTime + operatorTime
	answer, err := o.send(c.Context(), client, http.MethodPost, "/upgrade")
	if err != nil {
		return problem(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, operatorAnswer))
	if err != nil {
		return problem(fmt.Errorf("the admin listener's answer: %w", err))
	}
	if answer.StatusCode != http.StatusOK {
		return problem(errors.New("no hand-over: " + strings.TrimSpace(string(body))))
	}
	var told struct {
		PID int `json:"pid"`
	}
	if err := json.Unmarshal(body, &told); err != nil {
		return problem(fmt.Errorf("the admin listener's answer: %w", err))
	}
	_, err = fmt.Fprintf(s.out, "process %d serves\n", told.PID)
	return err
}
