package kafka

import (
	"errors"

	"github.com/IBM/sarama"
)

// verdict is what follows from an outcome.
type verdict int

const (
	// again is sent again, once the leader has been looked up.
	again verdict = iota
	// away is sent again on new connections.
	away
	// newProducer is sent again, by another producer.
	newProducer
	acknowledged
	// rejected holds for all events of the batch, and no other attempt will help.
	rejected
	// oneIsBad holds for at least one event: the batch is sent again in parts.
	oneIsBad
)

// verdicts are those of the codes that brokers answer with. Any other is sent again: it may
// be healed from outside, and an event that waits is not lost.
var verdicts = map[sarama.KError]verdict{
	sarama.ErrNoError:                 acknowledged,
	sarama.ErrDuplicateSequenceNumber: acknowledged, // they have it

	sarama.ErrMessageSizeTooLarge:         oneIsBad,
	sarama.ErrMessageSetSizeTooLarge:      oneIsBad,
	sarama.ErrInvalidRecord:               oneIsBad,
	sarama.ErrInvalidTimestamp:            oneIsBad,
	sarama.ErrUnsupportedForMessageFormat: oneIsBad,
	sarama.ErrPolicyViolation:             oneIsBad,

	sarama.ErrInvalidTopic:             rejected,
	sarama.ErrTopicAuthorizationFailed: rejected,

	sarama.ErrOutOfOrderSequenceNumber: newProducer,
	sarama.ErrInvalidProducerEpoch:     newProducer,
	sarama.ErrUnknownProducerID:        newProducer,
	sarama.ErrInvalidProducerIDMapping: newProducer,
	sarama.ErrProducerFenced:           newProducer,

	sarama.ErrSASLAuthenticationFailed:   away,
	sarama.ErrUnsupportedSASLMechanism:   away,
	sarama.ErrIllegalSASLState:           away,
	sarama.ErrNetworkException:           away,
	sarama.ErrClusterAuthorizationFailed: away, // credentials may be replaced
}

// errNoAnswer is the outcome of a batch that an answer does not name.
var errNoAnswer = errors.New("the broker's answer leaves the partition out")

// errNoTopic is the outcome for a topic that is not there.
var errNoTopic = errors.New("the topic does not exist: create it, or set create_topics")

func judge(outcome error) verdict {
	if outcome == nil {
		return acknowledged
	}
	var code sarama.KError
	switch {
	case errors.As(outcome, &code):
		return verdicts[code]
	case errors.Is(outcome, errNoAnswer), errors.Is(outcome, errNoTopic):
		return again
	}
	var encoding sarama.PacketEncodingError
	if errors.As(outcome, &encoding) {
		return oneIsBad // it left no byte
	}
	return away
}
