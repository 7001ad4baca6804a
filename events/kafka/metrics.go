package kafka

import "github.com/rcrowley/go-metrics"

// sarama counts what it does by a library that has a goroutine and a clock of its own for
// that, for as long as the process lives. Nobody reads those figures here.
func init() { metrics.UseNilMetrics = true }
