package kubernetes

import (
	"net"
	"strconv"
	"strings"
	"testing"
)

func itoa(n int) string { return strconv.Itoa(n) }

// FuzzEvents: Traffic 175: whatever a watch says, what is told can be dialed.
func FuzzEvents(f *testing.F) {
	f.Add([]byte(recorded(f, "events.json")), "grpc")
	f.Add([]byte(recorded(f, "gone.json")), "80")
	f.Add([]byte(`{"type":"ADDED","object":{"endpoints":[{"addresses":["::1%eth0"],"targetRef":null}],"ports":[{"port":null}]}}`), "1")
	f.Fuzz(func(t *testing.T, data []byte, port string) {
		if !isPort(port) {
			return
		}
		w := &Watcher{table: newTable(port), now: func(all []Endpoint, err error) {
			if err == nil && len(all) == 0 || len(all) > maxEndpoints {
				t.Errorf("%d endpoints, %v", len(all), err)
			}
			for _, e := range all {
				for _, address := range e.Addresses {
					_, number, err := net.SplitHostPort(address)
					if n, _ := strconv.Atoi(number); err != nil || n < 1 || n > 65535 {
						t.Errorf("%q, %v", address, err)
					}
				}
			}
		}}
		_ = w.events(strings.NewReader(string(data)))
	})
}
