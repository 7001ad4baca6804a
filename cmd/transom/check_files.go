package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/gateway"
	"github.com/transom-gateway/transom/internal/server"
)

// checkFiles looks at the files of listeners and upstreams as serve would, without
// listening and without calling anybody (Semantics 322).
func checkFiles(g *gateway.Gateway) error {
	file := g.Config()
	var errs []error
	for i, c := range file.Config.GetListeners() {
		if err := server.CheckListener(c, file); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", where(file, fmt.Sprintf("listeners[%d]", i)), err))
		}
	}
	for _, u := range g.Upstreams() {
		if u.NotReloaded != "" {
			errs = append(errs, fmt.Errorf("%s: %s", where(file, "upstreams."+u.Name+".grpc.tls"), u.NotReloaded))
		}
	}
	return errors.Join(errs...)
}

// where is the place of a setting in the configuration, or the flag that says the same.
func where(file *config.File, path string) string {
	if place := file.Where(path); place != "" {
		return place
	}
	switch section, _, _ := strings.Cut(path, "."); section {
	case "admin":
		return "--admin"
	case "upstreams":
		return "--upstream"
	}
	return "--listen"
}
