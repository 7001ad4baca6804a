// Package kafkatest starts a real Kafka broker for tests: Apache's own, by plain Java, on
// addresses of the test's own. It knows Kafka and nothing of Transom.
//
//	func TestMain(m *testing.M) { os.Exit(kafkatest.Run(m)) }
//	broker := kafkatest.Shared(t)
//	config.Brokers = []string{broker.Plaintext}
package kafkatest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/testing/keytest"
	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// patience bounds how long a broker may take to start on a loaded machine.
const patience = 2 * time.Minute

// User and Password are what the listeners with SASL take, by each mechanism, but
// OAUTHBEARER: that takes a token without a signature, of any subject.
const (
	User     = "transom"
	Password = "a secret of tests"
)

// ServerName is the name in the broker's certificate.
const ServerName = "broker.test"

// Broker is a cluster of one broker. What was acknowledged survives Kill and Restart.
type Broker struct {
	// Addresses of the listeners, by their security protocols.
	Plaintext, SASLPlaintext, SSL, SASLSSL string
	// CA, Cert and Key are PEM files for clients; the listener SSL demands the certificate.
	CA, Cert, Key string

	lib, dir string
	process  *exec.Cmd
	output   bytes.Buffer
	gone     chan struct{} // closed when the process has ended
}

var shared struct {
	sync.Mutex
	broker *Broker
}

// Run runs the tests of a package, and ends the broker that they share.
func Run(m *testing.M) int {
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.broker != nil {
		shared.broker.stop()
		_ = os.RemoveAll(shared.broker.dir)
	}
	return code
}

// Shared is the broker that all tests of a process share; TestMain must call Run.
func Shared(t testing.TB) *Broker {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.broker == nil {
		b := newBroker(t)
		b.format(t)
		shared.broker = b // whatever comes, Run ends it
		b.Restart(t)
	}
	return shared.broker
}

// Start is a broker of the test's own, that may be killed.
func Start(t testing.TB) *Broker {
	t.Helper()
	b := newBroker(t)
	t.Cleanup(func() {
		b.stop()
		_ = os.RemoveAll(b.dir)
	})
	b.format(t)
	b.Restart(t)
	return b
}

func newBroker(t testing.TB) *Broker {
	t.Helper()
	if _, err := exec.LookPath("java"); err != nil {
		t.Fatal("this test needs Java 17 for a real Kafka broker: install Debian's package default-jre-headless (apt-get install default-jre-headless)")
	}
	lib := jars(t)
	dir, err := os.MkdirTemp("", "kafka")
	if err != nil {
		t.Fatal(err)
	}
	b := &Broker{
		Plaintext: loopback.Address(t), SASLPlaintext: loopback.Address(t), SSL: loopback.Address(t), SASLSSL: loopback.Address(t),
		CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"),
		lib: lib, dir: dir,
	}
	if err := os.WriteFile(b.path("server.properties"), []byte(b.properties(loopback.Address(t))), 0o600); err != nil {
		t.Fatal(err)
	}
	b.Renew(t)
	return b
}

// Renew gives the broker and its clients other certificates, in the same files, of which nobody trusts those before. The
// broker reads them when it starts.
func (b *Broker) Renew(t testing.TB) {
	t.Helper()
	cert, key := keytest.Certificate(t, ServerName)
	clientCert, clientKey := keytest.Certificate(t, "client.test")
	for name, text := range map[string]string{b.CA: cert, b.path("broker.pem"): key + cert, b.Cert: clientCert, b.Key: clientKey} {
		if err := os.WriteFile(name+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(name+".new", name); err != nil {
			t.Fatal(err)
		}
	}
}

func (b *Broker) path(name string) string { return filepath.Join(b.dir, name) }

// properties is the configuration of a broker that controls itself.
func (b *Broker) properties(controller string) string {
	const jaas = "org.apache.kafka.common.security."
	scram := jaas + "scram.ScramLoginModule required;"
	lines := []string{
		"process.roles=broker,controller", "node.id=1", "controller.quorum.voters=1@" + controller,
		"listeners=PLAINTEXT://" + b.Plaintext + ",SASL_PLAINTEXT://" + b.SASLPlaintext + ",SSL://" + b.SSL + ",SASL_SSL://" + b.SASLSSL + ",CONTROLLER://" + controller,
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT",
		"controller.listener.names=CONTROLLER", "inter.broker.listener.name=PLAINTEXT",
		"log.dirs=" + b.path("data"), "num.partitions=3", "log.cleaner.enable=false", "auto.create.topics.enable=false",
		"offsets.topic.replication.factor=1", "offsets.topic.num.partitions=1", "group.initial.rebalance.delay.ms=0",
		"transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1", "transaction.state.log.num.partitions=1",
		// Who comes without a name may do all, others what no ACL speaks against.
		"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super.users=User:ANONYMOUS", "allow.everyone.if.no.acl.found=true",
		"sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
		"ssl.keystore.type=PEM", "ssl.keystore.location=" + b.path("broker.pem"),
		"ssl.truststore.type=PEM", "ssl.truststore.location=" + b.Cert, "listener.name.ssl.ssl.client.auth=required",
	}
	for _, listener := range []string{"sasl_plaintext", "sasl_ssl"} {
		prefix := "listener.name." + listener + "."
		lines = append(lines,
			prefix+`plain.sasl.jaas.config=`+jaas+`plain.PlainLoginModule required user_`+User+`="`+Password+`";`,
			prefix+"scram-sha-256.sasl.jaas.config="+scram, prefix+"scram-sha-512.sasl.jaas.config="+scram,
			prefix+"oauthbearer.sasl.jaas.config="+jaas+`oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";`)
	}
	return strings.Join(lines, "\n") + "\n"
}

// java is a command of Kafka's.
func (b *Broker) java(class string, arguments ...string) *exec.Cmd {
	all := append([]string{"-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData",
		"-cp", filepath.Join(b.lib, "*"), class}, arguments...)
	command := exec.Command("java", all...)
	command.Dir = b.dir
	return command
}

func (b *Broker) format(t testing.TB) {
	t.Helper()
	user := fmt.Sprintf("=[name=%s,password=%s]", User, Password)
	output, err := b.java("kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", b.path("server.properties"),
		"--add-scram", "SCRAM-SHA-256"+user, "--add-scram", "SCRAM-SHA-512"+user).CombinedOutput()
	if err != nil {
		t.Fatalf("the broker's storage cannot be formatted: %v\n%s", err, output)
	}
}

// Restart starts the broker, after Kill or not, and waits until it listens.
func (b *Broker) Restart(t testing.TB) {
	t.Helper()
	b.stop()
	b.output.Reset()
	b.process = b.java("kafka.Kafka", b.path("server.properties"))
	b.process.Stdout, b.process.Stderr = &b.output, &b.output
	b.gone = make(chan struct{})
	if err := b.process.Start(); err != nil {
		b.process = nil
		t.Fatalf("the broker does not start: %v", err)
	}
	go func(process *exec.Cmd, gone chan struct{}) {
		_ = process.Wait()
		close(gone)
	}(b.process, b.gone)
	ended := false
	up := poll.Within(patience, func() bool {
		select {
		case <-b.gone:
			ended = true
			return true
		default:
		}
		for _, address := range []string{b.Plaintext, b.SASLSSL} {
			conn, err := net.DialTimeout("tcp", address, time.Second)
			if err != nil {
				return false
			}
			_ = conn.Close()
		}
		return true
	})
	if ended || !up {
		b.stop()
		t.Fatalf("the broker does not listen (ended by itself: %t); it says:\n%s", ended, b.output.String())
	}
}

// Kill ends the broker as a crash does.
func (b *Broker) Kill() { b.stop() }

func (b *Broker) stop() {
	if b.process == nil {
		return
	}
	_ = b.process.Process.Kill()
	<-b.gone
	b.process = nil
}

// Pause stops the broker so that connections stand open and nothing is answered.
func (b *Broker) Pause(t testing.TB) {
	t.Helper()
	b.signal(t, syscall.SIGSTOP)
	poll.Until(t, "the broker's threads stand still", b.stopped)
}

// stopped reports whether no thread of the broker runs: the signal is under way for a moment.
func (b *Broker) stopped() bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", b.process.Process.Pid))
	if err != nil || len(threads) == 0 {
		return false
	}
	for _, name := range threads {
		text, err := os.ReadFile(name)
		if err != nil {
			return false // it has ended meanwhile
		}
		// The state stands behind the name in parentheses, which may have any character.
		_, state, ok := bytes.Cut(text[bytes.LastIndexByte(text, ')'):], []byte(" "))
		if !ok || len(state) == 0 || state[0] != 'T' {
			return false
		}
	}
	return true
}

// Resume lets a paused broker go on.
func (b *Broker) Resume(t testing.TB) { b.signal(t, syscall.SIGCONT) }

func (b *Broker) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := b.process.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}
