package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/IBM/sarama"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/transom-gateway/transom/internal/testing/grpctest"
	kafkatest "github.com/transom-gateway/transom/internal/testing/kafka"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// TestSubscriptionsPageKafka: the configuration of docs/subscriptions.md for Kafka works as it stands there, but for the
// broker's address: a record of the topic, which the gateway has made, calls the method.
func TestSubscriptionsPageKafka(t *testing.T) {
	page, err := os.ReadFile("../../docs/subscriptions.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "## From Kafka")
	_, rest, _ = strings.Cut(rest, "```text\n")
	config, _, ok := strings.Cut(rest, "```")
	broker := kafkatest.Start(t)
	if !ok || strings.Count(config, "kafka:9092") != 1 {
		t.Fatalf("the page has another form:\n%s", config)
	}
	var mu sync.Mutex
	var got []string
	server := grpctest.ServeAny(t, func(_ any, stream grpc.ServerStream) error {
		order := new(structpb.Struct)
		if err := stream.RecvMsg(order); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		got = append(got, order.GetFields()["id"].GetStringValue())
		return stream.SendMsg(&emptypb.Empty{})
	})
	dir := folder(t, map[string]string{
		"protos/shop.proto": "syntax = \"proto3\";\npackage shop.v1;\nimport \"google/protobuf/empty.proto\";\nimport \"google/protobuf/struct.proto\";\nservice Counter { rpc Count(google.protobuf.Struct) returns (google.protobuf.Empty); }\n",
		"transom.yaml": fmt.Sprintf("schemas: [{ directory: protos }]\nupstreams: { shop: { grpc: { target: %q } } }\ndata_directory: data\n", server) +
			strings.Replace(config, "kafka:9092", broker.Plaintext, 1),
	})
	path := filepath.Join(dir, "transom.yaml")
	if code, out, said := command(t, "check", "--live", "--config", path); code != 0 || !strings.Contains(out, "asked 1 sink of events") {
		t.Errorf("%d %s %s", code, out, said) // its topics can be created
	}
	gateway := startProcess(t, buildTransom(t), "--config", path)
	settings := sarama.NewConfig()
	settings.Version, settings.Producer.Return.Successes = sarama.V2_8_0_0, true
	settings.Metadata.Retry.Max = 0
	var producer sarama.SyncProducer
	order := &sarama.ProducerMessage{Topic: "orders", Key: sarama.StringEncoder("ann"), Value: sarama.StringEncoder(`{"id":"o-1"}`)}
	poll.Until(t, "the gateway has made the topic", func() bool {
		if producer, err = sarama.NewSyncProducer([]string{broker.Plaintext}, settings); err != nil {
			return false
		}
		defer func() { _ = producer.Close() }()
		_, _, err = producer.SendMessage(order)
		return err == nil
	})
	poll.Until(t, "the order was counted", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(got) > 0 && got[0] == "o-1"
	})
	if metrics := body(t, gateway.admin+"/metrics"); !strings.Contains(metrics, `transom_subscription_lag_records{partition="0",subscription="count-orders"}`) {
		t.Errorf("no lag in\n%s", metrics)
	}
}
