package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/gateway"
	"github.com/transom-gateway/transom/internal/server"
)

// checkFiles looks at the files of listeners and upstreams as serve would, without
// listening and without calling anybody (Semantics 322). Warnings are lines to print.
func checkFiles(g *gateway.Gateway) (warnings []string, _ error) {
	file := g.Config()
	at := func(path string) string { return where(file, path) }
	found, err := server.CheckFiles(file, at, time.Now())
	errs := []error{err}
	for _, w := range found {
		warnings = append(warnings, at(w.Path)+": warning: "+w.Text)
	}
	for _, u := range g.Upstreams() {
		if u.NotReloaded != "" {
			errs = append(errs, fmt.Errorf("%s: %s", where(file, "upstreams."+u.Name+".grpc.tls"), u.NotReloaded))
		}
	}
	return warnings, errors.Join(errs...)
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
