package kubernetes

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Service says whose endpoints are wanted.
type Service struct {
	Name string
	// Namespace is "" for that of the pod.
	Namespace string
	// Port is the name of a port of the service, or the number of a port of its pods.
	Port string
}

var (
	label    = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	portName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?$`)
)

// ParseService reads "service.namespace:port"; the namespace may be missing. A name as
// DNS has it ("books.shop.svc.cluster.local:grpc") is taken, too.
func ParseService(text string) (Service, error) {
	host, port, ok := strings.Cut(text, ":")
	name, rest, _ := strings.Cut(host, ".")
	namespace, domain, _ := strings.Cut(rest, ".")
	known := domain == "" || domain == "svc" || strings.HasPrefix(domain, "svc.")
	if !ok || !label.MatchString(name) || namespace != "" && !label.MatchString(namespace) || namespace == "" && strings.Contains(host, ".") || !known || !isPort(port) {
		return Service{}, fmt.Errorf(`found %q, expected "service.namespace:port" with the name of a port of the service or the number of one of its pods'`, text)
	}
	return Service{Name: name, Namespace: namespace, Port: port}, nil
}

func isPort(text string) bool {
	if number, err := strconv.ParseUint(text, 10, 16); err == nil {
		return number > 0
	}
	return portName.MatchString(text) && strings.Trim(text, "-0123456789") != ""
}

// Host is the name of the service, as its certificate has it.
func (s Service) Host() string {
	if s.Namespace == "" {
		return s.Name
	}
	return s.Name + "." + s.Namespace + ".svc"
}
