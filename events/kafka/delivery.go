package kafka

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/transom-gateway/transom/events"
)

const (
	// attempts is how often one call of Send sends to a partition that does not take a batch.
	attempts = 3
	// firstPause is the pause after the first.
	firstPause = 50 * time.Millisecond
)

// Of a batch of a partition: brokers take 1 MiB by default.
const (
	maxBatchBytes   = 512 << 10
	maxBatchRecords = 1000
)

// partition is where a record goes; partition{topic, -1} is a topic, and partition{"", -1}
// the cluster.
type partition struct {
	topic string
	id    int32
}

// delivery is one call of Send.
type delivery struct {
	sink    *Sink
	batch   []*events.Event
	records []*sarama.Record
	errs    []error
	// done are the events that were acknowledged, rejected or given up.
	done []bool
	// failures counts those of the cluster, of topics and of partitions.
	failures map[partition]int
	progress bool // of the round under way
	// limit is the most records of a batch; 0 for maxBatchRecords.
	limit int
}

// lane is what goes to one partition, in order.
type lane struct {
	partition partition
	events    []int // of delivery.batch
	leader    *sarama.Broker
	chunk     *sarama.RecordBatch
	size      int // how many events are in chunk
	outcome   error
}

// run goes on until each event is done.
func (d *delivery) run(ctx context.Context) {
	for idle := 0; len(d.everything()) > 0; {
		d.progress = false
		d.round(ctx)
		if idle++; d.progress {
			idle = 0
		}
		if ctx.Err() == nil && idle > 0 {
			pause(ctx, firstPause<<min(idle, attempts))
		}
		if ctx.Err() != nil {
			d.giveUp(d.everything(), fmt.Errorf("it was not acknowledged: %w", context.Cause(ctx)))
			return
		}
	}
}

// pause waits, but not longer than ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// round sends one batch to each partition.
func (d *delivery) round(ctx context.Context) {
	link, err := d.sink.connected(ctx, d.batch[d.everything()[0]].Topic)
	if err != nil {
		d.failed(partition{"", -1}, d.everything(), d.sink.away(err))
		return
	}
	stop := context.AfterFunc(ctx, link.cut) // sarama's calls know no context
	defer stop()
	lanes := d.lanes(ctx, link)
	ready := lanes[:0]
	for _, l := range lanes {
		if l.leader, err = link.client.Leader(l.partition.topic, l.partition.id); err != nil {
			d.failed(l.partition, l.events, d.sink.away(fmt.Errorf("topic %s: %w", l.partition.topic, err)))
			link.stale(l.partition.topic)
			continue
		}
		ready = append(ready, l)
	}
	if len(ready) == 0 {
		return
	}
	for _, l := range ready {
		if d.sink.producer.doubts(l.partition, d.ids(l)) {
			d.sink.producer.forget()
		}
	}
	if err := d.sink.producer.prepare(link); err != nil {
		d.failed(partition{"", -1}, d.everything(), d.sink.away(err))
		d.sink.disconnect()
		return
	}
	for _, l := range ready {
		d.fill(l)
	}
	produce(ready)
	for _, l := range ready {
		d.settle(l, link)
	}
}

// lanes groups the events that are not done by their partitions.
func (d *delivery) lanes(ctx context.Context, link *link) []*lane {
	byPartition, byTopic := map[partition]*lane{}, map[string][]int{}
	var all []*lane
	for _, i := range d.everything() {
		byTopic[d.batch[i].Topic] = append(byTopic[d.batch[i].Topic], i)
	}
	for topic, members := range byTopic {
		count, err := d.sink.partitions(ctx, link, topic)
		if err != nil {
			if judge(err) == rejected {
				for _, i := range members {
					d.reject(i, fmt.Errorf("topic %s: %w", topic, err))
				}
			} else {
				d.failed(partition{topic, -1}, members, d.sink.away(err))
			}
			continue
		}
		for _, i := range members {
			p := partition{topic, choose(d.sink.partitioner, d.batch[i], count)}
			l := byPartition[p]
			if l == nil {
				l = &lane{partition: p}
				byPartition[p], all = l, append(all, l)
			}
			l.events = append(l.events, i)
		}
	}
	return all
}

// choose is the partition of an event, as Java's producer chooses it by the key. An event
// without one always goes to the same partition, too, so that what is sent again meets what
// was sent before.
func choose(by sarama.Partitioner, e *events.Event, count int32) int32 {
	key := e.Key
	if key == "" {
		key = e.ID
	}
	id, err := by.Partition(&sarama.ProducerMessage{Key: sarama.StringEncoder(key)}, count)
	if err != nil {
		return 0 // it returns none with a key
	}
	return id
}

// fill makes the next batch of a lane.
func (d *delivery) fill(l *lane) {
	limit, size := maxBatchRecords, 0
	if d.limit > 0 {
		limit = d.limit
	}
	n := 0
	for _, i := range l.events {
		if size += d.size(i); n > 0 && (size > maxBatchBytes || n == limit) {
			break
		}
		n++
	}
	l.size = d.sink.producer.size(l.partition, n)
	first := d.batch[l.events[0]].Time
	chunk := &sarama.RecordBatch{Version: 2, Codec: d.sink.codec, CompressionLevel: sarama.CompressionLevelDefault,
		FirstTimestamp: first, MaxTimestamp: first, LastOffsetDelta: int32(l.size - 1)} //nolint:gosec // at most maxBatchRecords
	for k, i := range l.events[:l.size] {
		r, at := d.records[i], d.batch[i].Time
		r.OffsetDelta, r.TimestampDelta = int64(k), at.Sub(first)
		if at.After(chunk.MaxTimestamp) {
			chunk.MaxTimestamp = at
		}
		chunk.Records = append(chunk.Records, r)
	}
	d.sink.producer.number(l.partition, d.ids(l)[:l.size], chunk)
	l.chunk = chunk
}

// ids are those of the events of a lane.
func (d *delivery) ids(l *lane) []string {
	ids := make([]string, len(l.events))
	for k, i := range l.events {
		ids[k] = d.batch[i].ID
	}
	return ids
}

// size is about what a record takes.
func (d *delivery) size(i int) int {
	r := d.records[i]
	size := len(r.Key) + len(r.Value) + 32
	for _, h := range r.Headers {
		size += len(h.Key) + len(h.Value) + 8
	}
	return size
}

// produceTimeout is what brokers give their replicas.
const produceTimeout = 10 * time.Second

// produce sends to each leader what is for it, and waits for all answers.
func produce(lanes []*lane) {
	byLeader := map[*sarama.Broker][]*lane{}
	for _, l := range lanes {
		byLeader[l.leader] = append(byLeader[l.leader], l)
	}
	var leaders sync.WaitGroup
	for leader, lanes := range byLeader {
		leaders.Go(func() {
			request := &sarama.ProduceRequest{Version: 8, RequiredAcks: sarama.WaitForAll, Timeout: int32(produceTimeout / time.Millisecond)}
			for _, l := range lanes {
				request.AddBatch(l.partition.topic, l.partition.id, l.chunk)
			}
			response, err := leader.Produce(request)
			for _, l := range lanes {
				l.outcome = err
				if err == nil {
					l.outcome = outcome(response.GetBlock(l.partition.topic, l.partition.id))
				}
			}
		})
	}
	leaders.Wait()
}

// outcome is what a broker says of one batch.
func outcome(b *sarama.ProduceResponseBlock) error {
	switch {
	case b == nil:
		return errNoAnswer
	case b.Err == sarama.ErrNoError:
		return nil
	case b.ErrorMessage != nil && *b.ErrorMessage != "":
		return fmt.Errorf("%w (%s)", b.Err, *b.ErrorMessage)
	}
	return b.Err
}

// settle does what follows from the outcome of a batch.
func (d *delivery) settle(l *lane, link *link) {
	verdict := judge(l.outcome)
	if verdict == oneIsBad && l.size == 1 {
		verdict = rejected
	}
	p := &d.sink.producer
	switch verdict {
	case acknowledged:
		p.taken(l.partition, l.size)
		for _, i := range l.events[:l.size] {
			d.done[i] = true
		}
		d.progress = true
	case rejected:
		p.refused(l.partition)
		for _, i := range l.events[:l.size] {
			d.reject(i, fmt.Errorf("topic %s: %w", l.partition.topic, l.outcome))
		}
	case oneIsBad:
		p.refused(l.partition)
		d.limit, d.progress = (l.size+1)/2, true
	case newProducer:
		p.forget()
		d.failed(l.partition, l.events, d.lost(l))
	case away:
		d.sink.disconnectFrom(link)
		d.failed(l.partition, l.events, d.lost(l))
	default:
		link.stale(l.partition.topic)
		d.failed(l.partition, l.events, d.lost(l))
	}
}

func (d *delivery) lost(l *lane) error {
	return d.sink.away(fmt.Errorf("topic %s, partition %d: %w", l.partition.topic, l.partition.id, l.outcome))
}

// failed counts a failure, and gives the events up when there were too many.
func (d *delivery) failed(p partition, members []int, err error) {
	if d.failures[p]++; d.failures[p] >= attempts {
		d.giveUp(members, err)
	}
}

func (d *delivery) giveUp(members []int, err error) {
	for _, i := range members {
		if !d.done[i] {
			d.done[i], d.errs[i] = true, err
		}
	}
}

func (d *delivery) reject(i int, err error) {
	d.done[i], d.progress = true, true
	d.errs[i] = fmt.Errorf("%w: %w", events.ErrRejected, err)
}

// everything is what is not done, in order.
func (d *delivery) everything() []int {
	var all []int
	for i, done := range d.done {
		if !done {
			all = append(all, i)
		}
	}
	return all
}
