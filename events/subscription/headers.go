package subscription

import (
	"strconv"
	"strings"

	"github.com/transom-gateway/transom/events/internal/aside"
)

// Of the headers of one message that its method is told.
const (
	maxHeaders     = 64
	maxHeaderBytes = 16 << 10
)

// Headers are those of a message as metadata: as many as there is room for, of names that metadata in
// text can have.
func Headers(prefix string, headers []Pair) (all []Pair) {
	left := maxHeaderBytes
	for _, h := range headers {
		name := strings.ToLower(h.Name)
		if size := len(name) + len(h.Value); isMetadata(name) && size <= left && len(all) < maxHeaders {
			left -= size
			all = append(all, Pair{Name: prefix + name, Value: h.Value})
		}
	}
	return all
}

// isMetadata reports whether a name can be one of metadata of gRPC in text.
func isMetadata(name string) bool {
	return name != "" && !strings.HasSuffix(name, "-bin") && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == ""
}

// Headers are what a broker is told of the end of a message, beside the message as it was (Events 168).
func (d *Letter) Headers() (all []Pair) {
	reason := d.Code + ": " + d.Message
	if d.Reason != "" {
		reason = d.Reason + ": " + d.Message
	}
	for _, h := range [...]Pair{
		{"reason", aside.Reason(reason)}, {"attempts", strconv.Itoa(d.Attempts)}, {"topic", d.Topic}, {"partition", strconv.Itoa(int(d.Partition))},
		{"offset", strconv.FormatInt(d.Offset, 10)}, {"method", d.Method}, {"trace", d.Trace},
	} {
		if h.Value != "" {
			all = append(all, Pair{"transom-dead-" + h.Name, h.Value})
		}
	}
	return all
}
