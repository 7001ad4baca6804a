package conformance

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// What the stand-ins are told by the test, in the environment.
const (
	envRole      = "CONFORMANCE_ROLE"      // "server", "client"; without it this is the test
	envTransom   = "CONFORMANCE_TRANSOM"   // the gateway's program
	envReference = "CONFORMANCE_REFERENCE" // the program of the reference server or client
	envProtos    = "CONFORMANCE_PROTOS"    // the folder of the runner's .proto files
	envSpeaks    = "CONFORMANCE_SPEAKS"    // the protocol that a client speaks instead of gRPC
)

// ample is a limit that no message of the tests reaches, in bytes.
const ample = 64 << 20

// runRole runs as the stand-in that the environment names. False without one.
func runRole() (ran bool, err error) {
	role := os.Getenv(envRole)
	if role == "" {
		return false, nil
	}
	// What a stand-in starts dies with this thread, even if the runner kills it.
	runtime.LockOSThread()
	o, err := loadOrders()
	if err != nil {
		return true, err
	}
	switch role {
	case "server":
		return true, serve(o)
	case "client":
		return true, call(o)
	}
	return true, fmt.Errorf("%s=%s: expected server or client", envRole, role)
}

// serve is the server under test: a gateway with the reference server behind it.
func serve(o *orders) error {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM)
	asked := o.new("ServerCompatRequest")
	if err := asked.read(os.Stdin); err != nil {
		return err
	}
	backend, at, err := startReferenceServer(o)
	if err != nil {
		return err
	}
	certificate, key := asked.key("server_creds")
	s := setup{target: at, limit: asked.get("message_receive_limit").Uint()}
	if asked.get("use_tls").Bool() {
		s.servesCertificate, s.servesKey, s.clientCA = certificate, key, asked.get("client_tls_cert").Bytes()
	}
	p, err := s.start()
	if err != nil {
		return errors.Join(err, end(backend))
	}
	answer := o.new("ServerCompatResponse")
	answer.set("host", "127.0.0.1")
	answer.set("port", uint32(p.port)) //nolint:gosec // it was read as 16 bits
	answer.set("pem_cert", s.servesCertificate)
	if err = answer.write(os.Stdout); err == nil {
		<-told
	}
	return errors.Join(err, p.stop(), end(backend))
}

// startReferenceServer starts the reference server as a backend, by cleartext
// HTTP/2.
func startReferenceServer(o *orders) (server *exec.Cmd, at string, err error) {
	server = program(os.Getenv(envReference))
	server.Stderr = os.Stderr
	orders, err := server.StdinPipe()
	if err != nil {
		return nil, "", err
	}
	answers, err := server.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := server.Start(); err != nil {
		return nil, "", err
	}
	order := o.new("ServerCompatRequest")
	order.choose("protocol", "PROTOCOL_GRPC")
	order.choose("http_version", "HTTP_VERSION_2")
	order.set("message_receive_limit", uint32(ample))
	answer := o.new("ServerCompatResponse")
	if err := errors.Join(order.write(orders), answer.read(answers)); err != nil {
		return nil, "", errors.Join(err, end(server))
	}
	return server, fmt.Sprintf("%s:%d", answer.get("host").String(), answer.get("port").Uint()), nil
}

// program is a command that does not outlive the stand-in.
func program(path string, arguments ...string) *exec.Cmd {
	command := exec.Command(path, arguments...)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return command
}

func end(p *exec.Cmd) error {
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	_ = p.Wait() // it says that it was ended
	return nil
}

// call is the client under test: the reference client, whose calls go through
// gateways, one for each server that the runner asks it to call.
func call(o *orders) (err error) {
	client := program(os.Getenv(envReference))
	client.Stdout, client.Stderr = os.Stdout, os.Stderr
	orders, err := client.StdinPipe()
	if err != nil {
		return err
	}
	if err := client.Start(); err != nil {
		return err
	}
	gateways := map[string]*process{}
	for err == nil {
		order := o.new("ClientCompatRequest")
		if err = order.read(os.Stdin); err == nil {
			if err = redirect(order, gateways); err == nil {
				err = order.write(orders)
			}
		}
	}
	if err == io.EOF {
		err = nil
	}
	err = errors.Join(err, orders.Close(), client.Wait())
	for _, p := range gateways {
		err = errors.Join(err, p.stop())
	}
	return err
}

// redirect turns an order to call a server into one to call a gateway in front
// of it.
func redirect(order message, gateways map[string]*process) error {
	s := setup{
		target:      fmt.Sprintf("%s:%d", order.get("host").String(), order.get("port").Uint()),
		ca:          order.get("server_tls_cert").Bytes(),
		answerLimit: order.get("message_receive_limit").Uint(),
	}
	if order.Has(order.field("client_tls_creds")) {
		s.certificate, s.key = order.key("client_tls_creds")
	}
	name := fmt.Sprintf("%+v", s)
	p := gateways[name]
	if p == nil {
		var err error
		if p, err = s.start(); err != nil {
			return err
		}
		gateways[name] = p
	}
	order.Clear(order.field("server_tls_cert"))
	order.Clear(order.field("client_tls_creds"))
	order.set("host", "127.0.0.1")
	order.set("port", uint32(p.port)) //nolint:gosec // it was read as 16 bits
	order.set("message_receive_limit", uint32(ample))
	if speaks := os.Getenv(envSpeaks); speaks != "" {
		order.choose("protocol", protoreflect.Name(speaks))
	}
	return nil
}
