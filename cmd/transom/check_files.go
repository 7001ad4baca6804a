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
			errs = append(errs, fmt.Errorf("%s: %w", where(file, fmt.Sprintf("listeners[%d]%s", i, ofListener(err))), err))
		}
	}
	for _, u := range g.Upstreams() {
		if u.NotReloaded != "" {
			errs = append(errs, fmt.Errorf("%s: %s", where(file, "upstreams."+u.Name+".grpc.tls"), u.NotReloaded))
		}
	}
	return errors.Join(errs...)
}

// ofListener is the part of a listener that an error is about; "" for the whole.
func ofListener(err error) string {
	switch text := err.Error(); {
	case strings.HasPrefix(text, "client_ca: "):
		return ".tls.client_ca"
	case strings.Contains(text, " key input"), strings.Contains(text, "private key"):
		return ".tls.key"
	case strings.HasPrefix(text, "certificate "):
		return ".tls.certificate"
	}
	return ""
}

// where is the place of a value of the configuration. An address that stands in no file
// has the name of its key or flag for one.
func where(file *config.File, path string) string {
	section, _, _ := strings.Cut(path, ".")
	if flag := file.Flag(section + ".address"); flag != "" {
		return flag
	}
	if section == "admin" && file.Path != "" && !file.Written("admin.address") {
		return "admin.address (or --admin)"
	}
	if strings.HasPrefix(section, "listeners[") && file.Path != "" && !file.Written(section) {
		return "listeners (or --listen)"
	}
	if place := file.Where(path); place != "" {
		return place
	}
	switch section {
	case "admin":
		return "--admin"
	case "upstreams":
		return "--upstream"
	}
	return "--listen"
}
