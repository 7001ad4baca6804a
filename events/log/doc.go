// Package log is a durable log of records in a directory: what Append has returned
// without an error is on disk, and stays there until every sink has acknowledged it. It
// knows nothing of what a record holds.
//
//	l, err := log.Open("/var/lib/transom/events", log.Options{})
//	offset, err := l.Append(ctx, body)
//
//	sink, err := l.Sink("kafka")
//	record, err := sink.Next(ctx)
//	sink.Ack(record.Offset)
//
// A record has an offset, one more than the record before it. Offsets are never used
// twice for what a reader has seen, and leave gaps only where records were damaged or
// dropped.
//
// The directory holds segments, files of a fixed size that are allocated before they are
// written; one spare segment; a folder of cursors, one for each sink; and a folder of
// damaged pieces, if there were any. Damage never keeps a log from being opened: what is
// damaged is copied aside, reported and skipped, and all else is read.
package log
