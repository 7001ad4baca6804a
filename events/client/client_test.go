package client

import (
	"net/http"
	"net/netip"
	"testing"
)

const (
	chromeWindows  = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
	edgeWindows    = chromeWindows + " Edg/140.0.0.0"
	operaWindows   = chromeWindows + " OPR/120.0.0.0"
	firefoxLinux   = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	safariMac      = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15"
	safariPhone    = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
	safariPad      = "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.6 Mobile/15E148 Safari/604.1"
	chromeIOS      = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/140.0.0.0 Mobile/15E148 Safari/604.1"
	chromeAndroid  = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36"
	androidTablet  = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
	samsung        = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36"
	firefoxAndroid = "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0"
	chromeOS       = "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
	explorer       = "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko"
	tizen          = "Mozilla/5.0 (SMART-TV; LINUX; Tizen 7.0) AppleWebKit/537.36 (KHTML, like Gecko) 94.0.4606.31/7.0 TV Safari/537.36"
	playStation    = "Mozilla/5.0 (PlayStation; PlayStation 5/8.00) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.0 Safari/605.1.15"
	googlebot      = "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Googlebot/2.1; +http://www.google.com/bot.html) Chrome/140.0.0.0 Safari/537.36"
)

// TestDevice: Events 200: what a client runs on, by Client Hints and by User-Agent.
func TestDevice(t *testing.T) {
	for _, test := range []struct {
		agent string
		hints http.Header
		want  Device
	}{
		{chromeWindows, nil, Device{"desktop", "Windows", "Chrome", false}},
		{edgeWindows, nil, Device{"desktop", "Windows", "Edge", false}},
		{operaWindows, nil, Device{"desktop", "Windows", "Opera", false}},
		{firefoxLinux, nil, Device{"desktop", "Linux", "Firefox", false}},
		{safariMac, nil, Device{"desktop", "macOS", "Safari", false}},
		{safariPhone, nil, Device{"phone", "iOS", "Safari", true}},
		{safariPad, nil, Device{"tablet", "iOS", "Safari", true}},
		{chromeIOS, nil, Device{"phone", "iOS", "Chrome", true}},
		{chromeAndroid, nil, Device{"phone", "Android", "Chrome", true}},
		{androidTablet, nil, Device{"tablet", "Android", "Chrome", true}},
		{samsung, nil, Device{"phone", "Android", "Samsung Internet", true}},
		{firefoxAndroid, nil, Device{"phone", "Android", "Firefox", true}},
		{chromeOS, nil, Device{"desktop", "Chrome OS", "Chrome", false}},
		{explorer, nil, Device{"desktop", "Windows", "Internet Explorer", false}},
		{tizen, nil, Device{"tv", "Tizen", "", false}},
		{playStation, nil, Device{"console", "PlayStation", "Safari", false}},
		{googlebot, nil, Device{"bot", "", "Chrome", false}},
		{"", nil, Device{}},
		{chromeWindows, http.Header{
			"Sec-Ch-Ua": {`"Not)A;Brand";v="8", "Chromium";v="140", "Brave";v="140"`}, "Sec-Ch-Ua-Platform": {`"macOS"`}, "Sec-Ch-Ua-Mobile": {"?0"},
		}, Device{"desktop", "macOS", "Brave", false}},
		{chromeAndroid, http.Header{
			"Sec-Ch-Ua": {`"Google Chrome";v="140", "Not?A_Brand";v="24, 1", "Chromium";v="140"`}, "Sec-Ch-Ua-Platform": {`"Android"`}, "Sec-Ch-Ua-Mobile": {"?1"},
		}, Device{"phone", "Android", "Chrome", true}},
		{firefoxLinux, http.Header{"Sec-Ch-Ua": {`"unended`}, "Sec-Ch-Ua-Platform": {"BeOS"}}, Device{"desktop", "Linux", "Firefox", false}},
	} {
		if got := DeviceOf(test.agent, HintsOf(test.hints)); got != test.want {
			t.Errorf("%s %v: got %+v, want %+v", test.agent, test.hints, got, test.want)
		}
	}
}

// TestBot: Events 197: who calls itself a program is one, and what a browser fetches ahead is no visit.
func TestBot(t *testing.T) {
	for agent, want := range map[string]bool{
		googlebot: true, "curl/8.9.1": true, "GPTBot/1.2": true, chromeWindows: false, safariPhone: false, firefoxLinux: false, "": false,
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/140.0.0.0 Safari/537.36": true,
		"Mozilla/5.0 (Linux; Android 9; CUBOT X19) AppleWebKit/537.36 Chrome/140.0.0.0 Mobile Safari/537.36":            false,
	} {
		if got := IsAgentOfBot(agent); got != want {
			t.Errorf("%s: got %v", agent, got)
		}
	}
	for _, h := range []http.Header{{"Sec-Purpose": {"prefetch;prerender"}}, {"Purpose": {"prefetch"}}, {"X-Moz": {"prefetch"}}, {"X-Purpose": {"preview"}}} {
		if !IsPrefetch(h) {
			t.Error(h)
		}
	}
	if IsPrefetch(http.Header{"Sec-Purpose": {""}}) {
		t.Error("an empty purpose is a prefetch")
	}
	if len(bots) < 60 {
		t.Errorf("there are %d patterns", len(bots))
	}
}

func TestTruncate(t *testing.T) {
	for in, want := range map[string]string{"198.51.100.77": "198.51.100.0", "::ffff:198.51.100.77": "198.51.100.0", "2001:db8:1:2::3": "2001:db8:1::", "fe80::1%eth0": "fe80::"} {
		if got := Truncate(netip.MustParseAddr(in)); got != want {
			t.Errorf("%s: got %s", in, got)
		}
	}
	if got := Truncate(netip.Addr{}); got != "" {
		t.Error(got)
	}
}
