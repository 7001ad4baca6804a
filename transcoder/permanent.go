package transcoder

import "strings"

// permanentHeaders are the request headers that grpc-gateway forwards under a
// prefix: those that IANA called permanent when it began.
var permanentHeaders = []string{
	"Accept", "Accept-Charset", "Accept-Language", "Accept-Ranges", "Authorization",
	"Cache-Control", "Content-Type", "Cookie", "Date", "Expect", "From", "If-Match",
	"If-Modified-Since", "If-None-Match", "If-Schedule-Tag-Match", "If-Unmodified-Since",
	"Max-Forwards", "Origin", "Pragma", "Referer", "User-Agent", "Via", "Warning",
}

// permanentNames maps those headers to metadata names; nil without a prefix.
func permanentNames(prefix string) map[string]string {
	if prefix == "" {
		return nil
	}
	names := make(map[string]string, len(permanentHeaders))
	for _, name := range permanentHeaders {
		if to := strings.ToLower(prefix + name); !neverCrosses(to) && !forwardedNames[to] {
			names[name] = to
		}
	}
	return names
}
