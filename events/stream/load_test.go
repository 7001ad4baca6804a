package stream_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/log"
	"github.com/transom-gateway/transom/events/stream"
	"github.com/transom-gateway/transom/internal/testing/poll"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// BenchmarkClients measures how long events take to 10,000 clients in ten classes, each of which gets a
// tenth of 1,000 events a second, and what a client takes in memory; both without a connection.
func BenchmarkClients(b *testing.B) {
	const clients, classes, tick = 10_000, 10, 10 * time.Millisecond
	dir := b.TempDir()
	l, err := log.Open(dir, log.Options{})
	if err != nil {
		b.Fatal(err)
	}
	h, err := stream.NewHub(stream.Options{Log: l, Directory: dir, Folder: dir, Outer: publishedAt})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _, _ = h.Close(), l.Close() })
	rules, _ := h.Rules([]*transomv1.EventStream{{Topic: "topic"}})
	ctx, cancel := context.WithCancel(b.Context())
	var all, begun sync.WaitGroup
	late := make([][]time.Duration, clients)
	memory := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	before := memory()
	for i := range clients {
		s, err := rules.Subscribe(&transomv1.SubscribeRequest{Topic: "topic", Subject: fmt.Sprint(i % classes)}, &stream.Caller{})
		if err != nil {
			b.Fatal(err)
		}
		begun.Add(1)
		all.Go(func() {
			defer s.Close()
			run, err := s.Next(ctx, nil)
			begun.Done()
			for ; err == nil; run, err = s.Next(ctx, nil) {
				for _, item := range run.Items {
					if item.Name == "" && i%97 == 0 {
						late[i] = append(late[i], time.Since(item.Outer.(time.Time)))
					}
				}
			}
		})
	}
	begun.Wait()
	told := h.Stats().Sent // where the clients are
	size := memory() - before
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	sent := 0
	for b.Loop() {
		<-ticker.C
		var bodies [][]byte
		for range 10 {
			e := event(fmt.Sprint(sent))
			e.Time, e.Subject = time.Now(), fmt.Sprint(sent%classes)
			bodies = append(bodies, events.AppendRecord(nil, e))
			sent++
		}
		if _, err := l.AppendAll(b.Context(), bodies); err != nil {
			b.Fatal(err)
		}
	}
	poll.Until(b, "what is on its way", func() bool { return h.Stats().Sent >= told+uint64(sent)*clients/classes })
	cancel()
	all.Wait()
	merged := slices.Concat(late...)
	slices.Sort(merged)
	if len(merged) > 0 {
		b.ReportMetric(float64(merged[len(merged)*99/100].Milliseconds()), "ms-p99")
	}
	s := h.Stats()
	b.ReportMetric(float64(size)/clients, "B/client")
	b.ReportMetric(float64(s.Encoded)/float64(sent), "encodings/event")
	b.ReportMetric(float64(s.Sent)/float64(sent), "clients/event")
}

// publishedAt is the time of an event.
func publishedAt(i *stream.Item) any {
	m := &transomv1.SubscribeResponse{}
	if proto.Unmarshal(i.Message, m) != nil {
		return time.Time{}
	}
	return m.GetEvent().GetTime().AsTime()
}
