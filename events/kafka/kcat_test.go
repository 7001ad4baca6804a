package kafka

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	kafkatest "github.com/transom-gateway/transom/internal/testing/kafka"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestKcat has a consumer of another make, by librdkafka, read what was sent with each
// compression.
func TestKcat(t *testing.T) {
	if _, err := exec.LookPath("kcat"); err != nil {
		t.Fatal("this test needs kcat: install Debian's package kcat (apt-get install kcat)")
	}
	broker := kafkatest.Shared(t)
	for _, c := range []transomv1.KafkaSink_Compression{transomv1.KafkaSink_NONE, transomv1.KafkaSink_SNAPPY, transomv1.KafkaSink_GZIP, transomv1.KafkaSink_LZ4, transomv1.KafkaSink_ZSTD} {
		topic := "kcat_" + c.String()
		s := open(t, &transomv1.KafkaSink{Brokers: []string{broker.Plaintext}, CreateTopics: &transomv1.KafkaTopics{Partitions: 1}, Compression: c}, topic)
		one, two := event(topic, "ann", 1), event(topic, "", 2)
		send(t, s, one, two)
		output, err := exec.Command("kcat", "-b", broker.Plaintext, "-t", topic, "-C", "-e", "-q", "-f", `%k|%h|%s\n`).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
		lines := strings.Split(strings.TrimSpace(string(output)), "\n")
		if len(lines) != 2 {
			t.Fatalf("%v: got %q", c, lines)
		}
		key, rest, _ := strings.Cut(lines[0], "|")
		headers, value, _ := strings.Cut(rest, "|")
		fields := strings.Split(headers, ",")
		if key != "ann" || value != `{"n":1}` || !slices.Contains(fields, "ce_id="+one.ID) || !slices.Contains(fields, "ce_specversion=1.0") ||
			!slices.Contains(fields, "content-type=application/json") || !slices.Contains(fields, "ce_partitionkey=ann") {
			t.Errorf("%v: got %q", c, lines[0])
		}
		if !strings.HasPrefix(lines[1], "|") || !strings.HasSuffix(lines[1], `|{"n":2}`) {
			t.Errorf("%v: got %q", c, lines[1])
		}
	}
}
