package events

// Use is what a configuration does with a topic.
type Use struct {
	// At is where it says so, as "file:line:column", and By who does it, for people.
	At, By string
	// Topic is the topic; of a source of NATS, the subject.
	Topic string
	// Types are those of the events that are written to it: a type, or "word.*", or "*". None where
	// the topic is read, or takes dead letters.
	Types []string
	// Sinks are those that the events go to. None: all.
	Sinks []string
	// Group reads the topic as a consumer group, or as a durable consumer. "" where it is written to.
	Group string
	// Buries is the topic whose dead letters go here; "" for a topic of events.
	Buries string
}

// Inquiry is what a sink's server is asked before the gateway serves: whether what the
// configuration does can be done (Events 151). Nothing is written, and nothing is created.
type Inquiry struct {
	// At is where the configuration has the sink.
	At string
	// Uses are those of the sink.
	Uses []Use
	// Largest is the size of the largest event's data, in bytes.
	Largest int
	// Found gets what stands against it, one thing at a time. What is only doubtful is a warning.
	Found func(at string, warning bool, message string)
}
