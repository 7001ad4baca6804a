package events

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/cloudevents"
	"github.com/transom-gateway/transom/events/webhook"
	"github.com/transom-gateway/transom/internal/testing/installed"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// foreign is a program that reads messages with the SDKs of another language. Their versions are those of the
// files beside it.
type foreign struct {
	program, script string
	manager         installed.Manager
	pins            []string // files that say which packages there are
	variable        string   // of the environment, that leads to the packages
	decodes         bool     // it decodes percent signs in headers
}

var foreigners = map[string]foreign{
	"JavaScript": {
		program: "node", script: "readers/read.cjs", manager: installed.NPM, pins: []string{"readers/package.json", "readers/package-lock.json"}, variable: "NODE_PATH",
	},
	"Python": {
		program: "python3", script: "readers/read.py", manager: installed.Pip, pins: []string{"readers/requirements.txt"}, variable: "PYTHONPATH", decodes: true,
	},
}

// sent is a message as a consumer gets it.
type sent struct {
	Protocol string            `json:"protocol"`
	Headers  map[string]string `json:"headers"`
	Key      string            `json:"key,omitempty"`
	Body     []byte            `json:"body"`
	Binary   bool              `json:"binary,omitempty"` // the body is no text
	Batch    bool              `json:"batch,omitempty"`
	Secrets  []string          `json:"secrets,omitempty"`

	name string
	want []*events.Event
}

// heard is what was made of a message.
type heard struct {
	Verdicts []string
	Error    string
	Events   []struct {
		Attributes, Extensions map[string]string
		Bytes                  []byte
		JSON                   any
	}
}

// read has the program read messages.
func (f *foreign) read(t *testing.T, all []*sent) []heard {
	t.Helper()
	input, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), f.program, f.script)
	command.Env = append(os.Environ(), f.variable+"="+installed.Packages(t, f.manager, installed.Files(t, f.pins...)), "PYTHONDONTWRITEBYTECODE=1")
	command.Stdin = bytes.NewReader(input)
	var told, wrong bytes.Buffer
	command.Stdout, command.Stderr = &told, &wrong
	if err := command.Run(); err != nil {
		t.Fatalf("%v\n%s", err, &wrong)
	}
	var got []heard
	if err := json.Unmarshal(told.Bytes(), &got); err != nil || len(got) != len(all) {
		t.Fatalf("%v: %.500s", err, &told)
	}
	return got
}

const other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"

// webhooks are what a real server gets of a webhook.
func webhooks(t *testing.T, mode transomv1.EventMode, want ...*events.Event) (all []*sent) {
	t.Helper()
	var mu sync.Mutex
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		m := &sent{Protocol: "http", Headers: map[string]string{}, Body: body, Batch: mode == transomv1.EventMode_BATCH, Secrets: []string{secret, other, "whsec_" + strings.Repeat("eHh4", 8)}}
		for name, values := range r.Header {
			m.Headers[strings.ToLower(name)] = values[0]
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, m)
	}))
	defer receiver.Close()
	s, err := webhook.Open("hook", &transomv1.WebhookSink{Url: receiver.URL, Mode: mode, Concurrency: 1, Secrets: []string{secret, other}, Allow: []string{"127.0.0.1"}}, env(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	errs := make([]error, len(want))
	s.Send(t.Context(), want, errs)
	for i, err := range errs {
		if err != nil {
			t.Fatal(i, err)
		}
	}
	for i, m := range all {
		m.name = "webhook " + mode.String()
		if m.want = want; !m.Batch {
			m.want = want[i : i+1]
		}
	}
	return all
}

// message is one of Kafka or NATS.
func message(t *testing.T, protocol string, mode cloudevents.Mode, e *events.Event) *sent {
	t.Helper()
	build, name := cloudevents.Kafka, protocol+" binary"
	if protocol == "http" { // the headers of NATS are those of HTTP
		build, name = cloudevents.NATS, "NATS binary"
	}
	if mode == cloudevents.Structured {
		name = strings.Replace(name, "binary", "structured", 1)
	}
	m, err := build(e, mode)
	if err != nil {
		t.Fatal(err)
	}
	one := &sent{Protocol: protocol, Headers: map[string]string{}, Key: e.Key, Body: m.Body, Binary: mode == cloudevents.Binary && e.DataContentType != events.JSON, name: name, want: []*events.Event{e}}
	for _, h := range m.Headers {
		one.Headers[h.Name] = h.Value
	}
	return one
}

// TestForeignReaders has the CloudEvents SDKs for JavaScript and Python, and the verifiers of Standard Webhooks,
// read what webhooks, Kafka and NATS get (Events 155).
func TestForeignReaders(t *testing.T) {
	for language, f := range foreigners {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			// full has what only percent signs can say in headers.
			inHeaders := full
			if !f.decodes {
				inHeaders = func() *events.Event { return plain(full()) }
			}
			var all []*sent
			all = append(all, webhooks(t, transomv1.EventMode_BINARY, inHeaders())...)
			all = append(all, webhooks(t, transomv1.EventMode_STRUCTURED, full(), bytesOf())...)
			all = append(all, webhooks(t, transomv1.EventMode_BATCH, full(), bytesOf())...)
			all = append(all,
				message(t, "kafka", cloudevents.Binary, full()), message(t, "kafka", cloudevents.Binary, bytesOf()),
				message(t, "kafka", cloudevents.Structured, full()), message(t, "kafka", cloudevents.Structured, bytesOf()),
				message(t, "http", cloudevents.Binary, inHeaders()), message(t, "http", cloudevents.Structured, bytesOf()))
			for i, got := range f.read(t, all) {
				holdMessage(t, all[i], got)
			}
			forged := webhooks(t, transomv1.EventMode_STRUCTURED, full())[0]
			forged.Body = bytes.Replace(forged.Body, []byte("user.book_created"), []byte("user.book_deleted"), 1)
			for _, verdict := range f.read(t, []*sent{forged})[0].Verdicts {
				if verdict == "valid" {
					t.Error("the signature of another body is valid")
				}
			}
		})
	}
}

// holdMessage compares what was read with what was sent.
func holdMessage(t *testing.T, m *sent, got heard) {
	t.Helper()
	if got.Error != "" || len(got.Events) != len(m.want) {
		t.Errorf("%s: got %d events, want %d; %s", m.name, len(got.Events), len(m.want), got.Error)
		return
	}
	for i := range got.Verdicts {
		if valid := got.Verdicts[i] == "valid"; valid != (i < 2) {
			t.Errorf("%s: the verifier of secret %d says %q", m.name, i, got.Verdicts[i])
		}
	}
	if len(got.Verdicts) != len(m.Secrets) {
		t.Errorf("%s: %d verdicts of %d", m.name, len(got.Verdicts), len(m.Secrets))
	}
	for i, want := range m.want {
		one := got.Events[i]
		at, err := time.Parse(time.RFC3339Nano, one.Attributes["time"])
		if err != nil || !at.Equal(want.Time) {
			t.Errorf("%s: got the time %q, %v", m.name, one.Attributes["time"], err)
		}
		delete(one.Attributes, "time")
		attributes := map[string]string{"specversion": "1.0", "id": want.ID, "source": want.Source, "type": want.Type, "subject": want.Subject, "datacontenttype": want.DataContentType, "dataschema": want.DataSchema}
		if !reflect.DeepEqual(one.Attributes, attributes) {
			t.Errorf("%s: got the attributes %q\nwant %q", m.name, one.Attributes, attributes)
		}
		extensions := map[string]string{"partitionkey": want.Key}
		for _, x := range want.Extensions {
			extensions[x.Name] = x.Value
		}
		if !reflect.DeepEqual(one.Extensions, extensions) {
			t.Errorf("%s: got the extensions %q\nwant %q", m.name, one.Extensions, extensions)
		}
		if want.DataContentType != events.JSON {
			if !bytes.Equal(one.Bytes, want.Data) {
				t.Errorf("%s: got the data %x, %v", m.name, one.Bytes, one.JSON)
			}
			continue
		}
		var data any
		if err := json.Unmarshal(want.Data, &data); err != nil || !reflect.DeepEqual(one.JSON, data) {
			t.Errorf("%s: got the data %v, want %v", m.name, one.JSON, data)
		}
	}
}
