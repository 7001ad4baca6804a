package kafka

import (
	"context"
	"errors"
	"strconv"

	"github.com/IBM/sarama"
)

// create creates topics that do not exist, if that is asked for. An error is said in the
// log: events for the topic wait, and it is tried again.
func (c *cluster) create(ctx context.Context, l *link, topics []string) {
	settings := c.settings.CreateTopics
	if settings == nil || ctx.Err() != nil {
		return
	}
	// Closing it would close the client.
	admin, err := sarama.NewClusterAdminFromClient(l.client)
	if err != nil {
		c.log.Warn("topics cannot be created", "error", err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, topic := range topics {
		if c.created[topic] {
			continue
		}
		err := admin.CreateTopic(topic, c.topicDetail(), false)
		switch {
		case err == nil:
			c.log.Info("created a topic", "topic", topic, "partitions", strconv.Itoa(int(max(settings.Partitions, 1))))
			c.created[topic] = true
		case errors.Is(err, sarama.ErrTopicAlreadyExists):
			c.created[topic] = true
		default:
			c.log.Warn("a topic cannot be created", "topic", topic, "error", err)
		}
	}
}

// topicDetail is how topics are created.
func (c *cluster) topicDetail() *sarama.TopicDetail {
	settings := c.settings.CreateTopics
	entries := make(map[string]*string, len(settings.Config))
	for name, value := range settings.Config {
		entries[name] = &value
	}
	return &sarama.TopicDetail{
		NumPartitions:     int32(max(settings.Partitions, 1)),        //nolint:gosec // bounded when it is loaded
		ReplicationFactor: int16(max(settings.ReplicationFactor, 1)), //nolint:gosec // bounded when it is loaded
		ConfigEntries:     entries,
	}
}

// missing notes that a topic is gone that was there.
func (c *cluster) missing(topic string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.created, topic)
}
