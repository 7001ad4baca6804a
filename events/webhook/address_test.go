package webhook

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

func listen(t testing.TB, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestAddresses: Events 155: which addresses a webhook may lead to, and that no form of IPv6 leads round that.
func TestAddresses(t *testing.T) {
	allow, err := ranges([]string{"10.1.0.0/16", "192.168.1.7", "::ffff:172.16.0.1", "fd00:1::/32"})
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{
		"93.184.215.14": true, "8.8.8.8": true, "2606:4700::1111": true, "64:ff9b::808:808": true, "2002:808:808::1": true,
		"127.0.0.1": false, "127.255.255.254": false, "0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "172.31.0.1": false, "192.168.0.1": false,
		"169.254.169.254": false, "168.63.129.16": false, "100.100.100.200": false, "192.0.0.192": false, "198.18.0.1": false, "203.0.113.1": false,
		"224.0.0.1": false, "255.255.255.255": false, "240.0.0.1": false,
		"::": false, "::1": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::127.0.0.1": false, "::808:808": false,
		"fe80::1": false, "fe80::1%eth0": false, "fc00::1": false, "fd00:ec2::254": false, "fec0::1": false, "ff02::1": false,
		"64:ff9b::7f00:1": false, "64:ff9b::a9fe:a9fe": false, "64:ff9b:1::1": false, "2002:7f00:1::1": false, "2002:a9fe:a9fe::": false,
		"2001:0:53aa::1": false, "2001:db8::1": false, "100::1": false, "::ffff:0:7f00:1": false, "3fff::1": false, "5f00::1": false, "2001:20::1": false, "4000::1": false,
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "64:ff9b::a01:203": true, "192.168.1.7": true, "192.168.1.8": false, "172.16.0.1": true, "172.16.0.2": false,
		"fd00:1::1": true, "fd00:2::1": false,
	} {
		if got := reachable(netip.MustParseAddr(address), allow); got != want {
			t.Errorf("%s: got %t, want %t", address, got, want)
		}
	}
	if _, err := ranges([]string{"localhost"}); err == nil || !strings.Contains(err.Error(), `found "localhost", expected an address or a range`) {
		t.Errorf("got %v", err)
	}
}

// TestRefusedAfterResolution holds that a name does not lead where its address may not.
func TestRefusedAfterResolution(t *testing.T) {
	receiver := serve(t, ok)
	_, port, _ := net.SplitHostPort(receiver.Listener.Addr().String())
	for _, url := range []string{receiver.URL, "http://localhost:" + port, "http://[::ffff:127.0.0.1]:" + port, "http://0.0.0.0:" + port, "https://localhost:" + port} {
		s, _ := open(t, &transomv1.WebhookSink{Allow: []string{"10.0.0.0/8"}}, url)
		if err := sendAll(t, s, event("ann", 1))[0]; err == nil || !strings.Contains(err.Error(), "is no public address: list it in allow") {
			t.Errorf("%s: got %v", url, err)
		}
	}
	if n := len(receiver.all()); n != 0 {
		t.Errorf("the server got %d requests", n)
	}
}
