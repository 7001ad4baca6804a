package sinks

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/internal/testing/keytest"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// env has files: a certificate and its key, a secret, a file of nothing and a folder.
func env(t testing.TB) events.Env {
	t.Helper()
	dir := t.TempDir()
	cert, key := keytest.Certificate(t, "broker.test")
	for name, text := range map[string]string{"cert.pem": cert, "key.pem": key, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", "empty": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	resolve := func(name string) string { return filepath.Join(dir, name) }
	g := policy.Generation{Environment: policy.Environment{Directory: dir}}
	return events.Env{Resolve: resolve, Secret: g.Secret, Log: slog.New(slog.DiscardHandler)}
}

func parse(t testing.TB, text string) *transomv1.Events {
	t.Helper()
	e := &transomv1.Events{}
	if err := protojson.Unmarshal([]byte(text), e); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return e
}

// valid are settings that are right, each sink with all that it may have.
var valid = []string{
	`{}`,
	`{"kafka":{"brokers":["a:9092","[::1]:9092"]},"nats":{"url":"nats://a:4222, tls://b"}}`,
	`{"sinks":{"a-1_b":{"kafka":{"brokers":["a:1"],"mode":"STRUCTURED","compression":"ZSTD","linger":"1s","client_id":"x","tls":{"ca":"cert.pem","cert":"cert.pem","key":"key.pem","server_name":"b"},
		"sasl":{"mechanism":"PLAIN","username":"a","password":"file:secret"},"create_topics":{"partitions":3,"replication_factor":2,"config":{"retention.ms":"1"}}}}}}`,
	`{"kafka":{"brokers":["a:1"],"linger":"0s","sasl":{"mechanism":"PLAIN","username":"a","password":"b","insecure":true}}}`,
	`{"kafka":{"brokers":["a:1"],"sasl":{"mechanism":"SCRAM_SHA_512","username":"a","password":"b"}}}`,
	`{"kafka":{"brokers":["a:1"],"tls":{},"sasl":{"mechanism":"OAUTHBEARER","token_url":"https://p/t","client_id":"a","client_secret":"b","scopes":["c"]}}}`,
	`{"nats":{"url":"nats://ann:b@a:4222","subject":"x.{topic}.{type}","mode":"STRUCTURED","create_stream":"E"}}`,
	`{"nats":{"url":"nats://a","username":"a","password":"file:secret"}}`,
	`{"nats":{"url":"nats://a","token":"t"}}`,
	`{"nats":{"url":"nats://a","credentials":"secret"}}`,
	`{"sinks":{"hook":{"webhook":{"url":"https://h/x?y=z","secrets":["file:secret"],"mode":"BATCH","timeout":"60s","concurrency":64,"allow":["10.0.0.1","10.0.0.0/8","::1"],"headers":{"X-A":"b","Authorization":"file:secret"},"tls":{"ca":"cert.pem"}}}}}`,
	`{"sinks":{"hook":{"webhook":{"url":"http://h","insecure":true,"secrets":["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]}}}}`,
}

// TestValid holds that what is right has no problem, and can be opened.
func TestValid(t *testing.T) {
	env := env(t)
	for _, text := range valid {
		e := parse(t, text)
		Check("events", e, env, func(path, message string) { t.Errorf("%s: %s: %s", text, path, message) })
		for name, sink := range events.Configured(e) {
			s, err := Open(name, sink, env)
			if strings.Contains(text, `"credentials":"secret"`) && err == nil {
				// The file is read when it connects.
				err = s.Close()
				s = nil
			}
			if err != nil {
				t.Errorf("%s: %v", text, err)
				continue
			}
			if s != nil {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// problems are settings, and the start of each problem that they have. None tells "hunter2".
var problems = map[string][]string{
	`{"kafka":{}}`: {`events.kafka.brokers: found none, expected at least one "host:port"`},
	`{"kafka":{"brokers":["a",":1","a:0","a:http","a:65536"]}}`: {
		`events.kafka.brokers[0]: found "a", expected "host:port"`, `events.kafka.brokers[1]: found ":1"`, `events.kafka.brokers[2]: found "a:0"`,
		`events.kafka.brokers[3]: found "a:http"`, `events.kafka.brokers[4]: found "a:65536"`},
	`{"kafka":{"brokers":["a:1"],"mode":"BATCH","linger":"1.001s","client_id":"a\nb"}}`: {
		`events.kafka.mode: found BATCH, which webhooks alone have`, `events.kafka.linger: found 1.001s, expected 0s to 1s`, `events.kafka.client_id: found "a\nb"`},
	`{"kafka":{"brokers":["a:1"],"linger":"-1s"}}`:                          {`events.kafka.linger: found -1s`},
	`{"kafka":{"brokers":["a:1"],"tls":{"ca":"no.pem","cert":"cert.pem"}}}`: {`events.kafka.tls.ca: `, `events.kafka.tls.key: found none beside cert`},
	`{"kafka":{"brokers":["a:1"],"tls":{"ca":"folder","key":"key.pem"}}}`:   {`events.kafka.tls.ca: `, `events.kafka.tls.cert: found none beside key`},
	`{"kafka":{"brokers":["a:1"],"sasl":{"username":"a"}}}`:                 {`events.kafka.sasl.mechanism: found none, expected PLAIN`},
	`{"kafka":{"brokers":["a:1"],"sasl":{"mechanism":"PLAIN","username":"a","password":"hunter2"}}}`: {
		`events.kafka.sasl.mechanism: found PLAIN without tls`},
	`{"kafka":{"brokers":["a:1"],"tls":{},"sasl":{"mechanism":"PLAIN","password":"file:none"}}}`: {
		`events.kafka.sasl.username: found none, expected a user, or file:PATH`, `events.kafka.sasl.password: cannot read the file it refers to: `},
	`{"kafka":{"brokers":["a:1"],"sasl":{"mechanism":"SCRAM_SHA_256","username":"file:","password":"file:empty","token_url":"x","scopes":["y"],"client_id":"z","client_secret":"hunter2"}}}`: {
		`events.kafka.sasl.username: cannot read the file it refers to: found no file name after "file:"`, `events.kafka.sasl.password: the file it refers to is empty`,
		`events.kafka.sasl.client_id: found it beside SCRAM_SHA_256, where it has no effect`, `events.kafka.sasl.client_secret: `, `events.kafka.sasl.scopes: `, `events.kafka.sasl.token_url: `},
	`{"kafka":{"brokers":["a:1"],"sasl":{"mechanism":"OAUTHBEARER","token_url":"http://p","username":"a"}}}`: {
		`events.kafka.sasl.token_url: found an http URL`, `events.kafka.sasl.client_id: found none`, `events.kafka.sasl.client_secret: found none`,
		`events.kafka.sasl.username: found it beside OAUTHBEARER`, `events.kafka.sasl.mechanism: found OAUTHBEARER without tls`},
	`{"kafka":{"brokers":["a:1"],"tls":{},"sasl":{"mechanism":"OAUTHBEARER","token_url":"https://ann:hunter2@p","client_id":"a","client_secret":"b"}}}`: {
		`events.kafka.sasl.token_url: found another text`},
	`{"kafka":{"brokers":["a:1"],"create_topics":{"partitions":10001,"replication_factor":32768,"config":{"":"x"}}}}`: {
		`events.kafka.create_topics.partitions: found 10001`, `events.kafka.create_topics.replication_factor: found 32768`, `events.kafka.create_topics.config: found a setting without a name`},
	`{"nats":{}}`: {`events.nats.url: found none`},
	`{"nats":{"url":"http://ann:hunter2@a,nats://b/x"}}`: {`events.nats.url: found another text`, `events.nats.url: found another text`},
	`{"nats":{"url":"nats://ann:hunter2@a","token":"t","username":"a","mode":"BATCH","subject":"a..b"}}`: {
		`events.nats.url: found a user beside username`, `events.nats.subject: found nothing between two dots`, `events.nats.mode: found BATCH`,
		`events.nats.password: found none`, `events.nats: found more than one of credentials, token and username`},
	`{"nats":{"url":"nats://a","credentials":"none","create_stream":"a.b"}}`: {`events.nats.credentials: `, `events.nats.create_stream: found "a.b"`},
	`{"nats":{"url":"nats://a","subject":"{type}","create_stream":"a"}}`:     {`events.nats.create_stream: found it with the subject "{type}"`},
	`{"nats":{"url":"nats://a","subject":"e.{topic}"},"topics":[{"topic":"ok.a"},{"topic":"a..b"},{"topic":"c."}]}`: {
		`events.topics[1].topic: found "a..b", of which events.nats.subject makes no subject: found nothing between two dots`, `events.topics[2].topic: found "c."`},
	`{"nats":{"url":"nats://a","subject":"events.{key}"}}`: {`events.nats.subject: found "{key}", expected {type} or {topic}`},
	`{"sinks":{"A":{}}}`: {`events.sinks.A: found the name "A"`, `events.sinks.A: found no kind`},
	`{"kafka":{"brokers":["a:1"]},"sinks":{"kafka":{"nats":{"url":"nats://a"}}}}`: {`events.sinks.kafka: found "kafka", which is the sink at events.kafka, too`},
	`{"sinks":{"h":{"webhook":{}}}}`:                                              {`events.sinks.h.webhook.url: found none`, `events.sinks.h.webhook.secrets: found none`},
	`{"sinks":{"h":{"webhook":{"url":"http://a/hunter2","secrets":["hunter2","whsec_aGk="]}}}}`: {
		`events.sinks.h.webhook.url: found an http URL`, `events.sinks.h.webhook.secrets[0]: found another text`, `events.sinks.h.webhook.secrets[1]: found 2 bytes`},
	`{"sinks":{"h":{"webhook":{"url":"https://ann:hunter2@a","secrets":["file:secret"],"timeout":"0.099s","concurrency":65,"allow":["localhost"]}}}}`: {
		`events.sinks.h.webhook.url: found another text`, `events.sinks.h.webhook.timeout: found 99ms, expected 100ms to 1m`,
		`events.sinks.h.webhook.concurrency: found 65`, `events.sinks.h.webhook.allow[0]: found "localhost"`},
	`{"sinks":{"h":{"webhook":{"url":"https://LocalHost.:8443/x","secrets":["file:secret"]}}}}`:                      {`events.sinks.h.webhook.url: 127.0.0.1 is no public address: list it in allow`},
	`{"sinks":{"h":{"webhook":{"url":"https://[::ffff:10.0.0.1]","secrets":["file:secret"],"allow":["10.0.0.2"]}}}}`: {`events.sinks.h.webhook.url: `},
	`{"sinks":{"h":{"webhook":{"url":"http://a","insecure":true,"secrets":["file:secret"],"tls":{}}}}}`:              {`events.sinks.h.webhook.tls: found it beside an http URL`},
	`{"sinks":{"h":{"webhook":{"url":"https://a","secrets":["file:secret"],"headers":{"A b":"c","CE-id":"x","Host":"y","X-A":"hunter2\n","Webhook-Id":"z"}}}}}`: {
		`events.sinks.h.webhook.headers.A b: found the name`, `events.sinks.h.webhook.headers.CE-id: found "CE-id", which requests have of themselves`,
		`events.sinks.h.webhook.headers.Host: `, `events.sinks.h.webhook.headers.Webhook-Id: `, `events.sinks.h.webhook.headers.X-A: found a value with control characters`},
}

// TestProblems: Events 153 and others: what is wrong with a sink is said at its place, such as PLAIN without TLS, and no secret with it.
func TestProblems(t *testing.T) {
	env := env(t)
	for _, text := range slices.Sorted(maps.Keys(problems)) {
		var got []string
		Check("events", parse(t, text), env, func(path, message string) { got = append(got, path+": "+message) })
		want := problems[text]
		for i := range max(len(got), len(want)) {
			switch {
			case i >= len(want):
				t.Errorf("%s: got %s besides", text, got[i])
			case i >= len(got):
				t.Errorf("%s: there is no %s", text, want[i])
			case !strings.HasPrefix(got[i], want[i]):
				t.Errorf("%s: got %s, want %s", text, got[i], want[i])
			case strings.Contains(got[i], "hunter2"):
				t.Errorf("%s: %s tells a secret", text, got[i])
			}
		}
	}
}

func TestOpenErrors(t *testing.T) {
	env := env(t)
	for text, want := range map[string]string{
		`{"sinks":{"a":{}}}`:                                                    "sink a: found no kind",
		`{"sinks":{"a":{"kafka":{"tls":{"ca":"none"}}}}}`:                       "sink a: tls.ca: ",
		`{"sinks":{"a":{"nats":{"url":"nats://a","tls":{"cert":"cert.pem"}}}}}`: "sink a: tls: cert and key go together",
		`{"sinks":{"a":{"webhook":{"url":"https://a","allow":["x"]}}}}`:         `sink a: allow: found "x"`,
	} {
		for name, sink := range events.Configured(parse(t, text)) {
			if s, err := Open(name, sink, env); err == nil || s != nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%s: got %v, %v; want %s", text, s, err, want)
			}
		}
	}
}

func TestSecrets(t *testing.T) {
	secret := env(t).Secret
	for value, want := range map[string]string{"plain": "plain", "": "", "file:secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "file:empty": ""} {
		if got, err := secret(value); err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", value, got, err, want)
		}
	}
	for _, value := range []string{"file:", "file:none", "file:folder"} {
		if got, err := secret(value); err == nil {
			t.Errorf("%s: got %q", value, got)
		}
	}
	if _, err := secret("file:none"); !errors.Is(err, os.ErrNotExist) {
		t.Error(fmt.Errorf("got %w", err))
	}
}
