package client

import (
	"net/http"
	"strings"
)

// Device is what a client runs on. What is not known is empty.
type Device struct {
	// Family is "desktop", "phone", "tablet", "tv", "console" or "bot".
	Family string
	// OS and Browser are names without versions.
	OS, Browser string
	Mobile      bool
}

// Hints are what a browser says by Client Hints, or by navigator.userAgentData.
type Hints struct {
	Brands   []string
	Platform string
	Mobile   bool
	// Given: there are some.
	Given bool
}

// Bounds of what is read of a header, in bytes.
const (
	maxAgent  = 1 << 10
	maxHints  = 1 << 10
	maxBrands = 8
)

// HintsOf reads those of a header.
func HintsOf(h http.Header) Hints {
	list := h.Get("Sec-Ch-Ua")
	hints := Hints{Platform: unquote(h.Get("Sec-Ch-Ua-Platform")), Mobile: h.Get("Sec-Ch-Ua-Mobile") == "?1"}
	hints.Given = list != "" || hints.Platform != ""
	if len(list) > maxHints {
		return hints
	}
	for list != "" && len(hints.Brands) < maxBrands {
		brand, rest, ok := quoted(list)
		if !ok {
			break
		}
		hints.Brands = append(hints.Brands, brand)
		list = rest
	}
	return hints
}

// quoted cuts the first quoted text that begins a member of a list, and its parameters.
func quoted(list string) (text, rest string, ok bool) {
	_, list, ok = strings.Cut(list, `"`)
	if !ok {
		return "", "", false
	}
	text, rest, ok = strings.Cut(list, `"`)
	if !ok {
		return "", "", false
	}
	// A version is quoted, too.
	for parameter := false; rest != ""; rest = rest[1:] {
		switch {
		case rest[0] == '"':
			parameter = !parameter
		case rest[0] == ',' && !parameter:
			return text, rest, true
		}
	}
	return text, "", true
}

func unquote(s string) string { return strings.Trim(s, `"`) }

// rule says what a text tells.
type rule struct{ holds, tells string }

// first is what the first rule tells that holds; "" for none.
func first(rules []rule, text string) string {
	for i := range rules {
		if strings.Contains(text, rules[i].holds) {
			return rules[i].tells
		}
	}
	return ""
}

// Those that stand first are of browsers that name others besides.
var browsers = []rule{
	{"Edg/", "Edge"}, {"EdgA/", "Edge"}, {"EdgiOS/", "Edge"}, {"Edge/", "Edge"},
	{"OPR/", "Opera"}, {"OPiOS/", "Opera"}, {"OPT/", "Opera"}, {"Opera", "Opera"},
	{"SamsungBrowser/", "Samsung Internet"}, {"YaBrowser/", "Yandex Browser"}, {"Vivaldi/", "Vivaldi"},
	{"UCBrowser/", "UC Browser"}, {"MiuiBrowser/", "Mi Browser"}, {"HuaweiBrowser/", "Huawei Browser"},
	{"DuckDuckGo/", "DuckDuckGo"}, {"Ddg/", "DuckDuckGo"}, {"Silk/", "Silk"}, {"Whale/", "Whale"},
	{"FxiOS/", "Firefox"}, {"Focus/", "Firefox"}, {"Firefox/", "Firefox"},
	{"CriOS/", "Chrome"}, {"GSA/", "Google App"}, {"Chrome/", "Chrome"}, {"Chromium/", "Chromium"},
	{"Trident/", "Internet Explorer"}, {"MSIE ", "Internet Explorer"}, {"Version/", "Safari"},
}

var systems = []rule{
	{"Windows Phone", "Windows Phone"}, {"Xbox", "Xbox"}, {"Windows", "Windows"},
	{"iPhone", "iOS"}, {"iPad", "iOS"}, {"iPod", "iOS"}, {"AppleTV", "tvOS"},
	{"CrOS", "Chrome OS"}, {"Tizen", "Tizen"}, {"HarmonyOS", "HarmonyOS"}, {"OpenHarmony", "HarmonyOS"}, {"KAIOS", "KaiOS"},
	{"Android", "Android"}, {"Macintosh", "macOS"}, {"Mac OS X", "macOS"},
	{"Web0S", "webOS"}, {"webOS", "webOS"}, {"PlayStation", "PlayStation"}, {"Nintendo", "Nintendo"},
	{"FreeBSD", "FreeBSD"}, {"OpenBSD", "OpenBSD"}, {"Linux", "Linux"}, {"X11", "Linux"},
}

var families = []rule{
	{"AppleTV", "tv"}, {"SMART-TV", "tv"}, {"SmartTV", "tv"}, {"Smart-TV", "tv"}, {"GoogleTV", "tv"}, {"Android TV", "tv"}, {"BRAVIA", "tv"}, {"CrKey", "tv"}, {"Roku", "tv"}, {" AFT", "tv"}, {"Web0S", "tv"},
	{"PlayStation", "console"}, {"Xbox", "console"}, {"Nintendo", "console"},
	{"iPad", "tablet"}, {"Tablet", "tablet"}, {"Kindle", "tablet"}, {"Silk/", "tablet"},
	{"Mobi", "phone"}, {"iPhone", "phone"}, {"iPod", "phone"}, {"Windows Phone", "phone"}, {"KAIOS", "phone"},
	{"Android", "tablet"}, // without "Mobile"
	{"Windows", "desktop"}, {"Macintosh", "desktop"}, {"CrOS", "desktop"}, {"X11", "desktop"}, {"Linux", "desktop"},
}

// brands are names of browsers in hints that have others here.
var brands = map[string]string{
	"Google Chrome": "Chrome", "Microsoft Edge": "Edge", "HeadlessChrome": "Chrome", "Android WebView": "Chrome",
	"YaBrowser": "Yandex Browser", "Opera GX": "Opera", "OperaMobile": "Opera",
	"Opera": "Opera", "Brave": "Brave", "Samsung Internet": "Samsung Internet", "Vivaldi": "Vivaldi", "DuckDuckGo": "DuckDuckGo",
	"Whale": "Whale", "Chromium": "Chromium",
}

var platforms = map[string]string{
	"Windows": "Windows", "macOS": "macOS", "Mac OS X": "macOS", "Linux": "Linux", "Android": "Android", "iOS": "iOS",
	"Chrome OS": "Chrome OS", "Chromium OS": "Chrome OS", "Fuchsia": "Fuchsia",
}

// DeviceOf tells the device by the hints first, and by the header User-Agent where they say nothing
// (Events 200).
func DeviceOf(agent string, hints Hints) Device {
	if len(agent) > maxAgent {
		agent = agent[:maxAgent]
	}
	d := Device{OS: platforms[hints.Platform], Browser: hints.browser(), Mobile: hints.Mobile}
	if d.OS == "" {
		d.OS = first(systems, agent)
	}
	if d.Browser == "" {
		d.Browser = first(browsers, agent)
	}
	switch d.Family = first(families, agent); {
	case IsAgentOfBot(agent):
		d.Family = "bot"
	case hints.Given && hints.Mobile:
		d.Family = "phone"
	}
	d.Mobile = d.Mobile || d.Family == "phone" || d.Family == "tablet"
	return d
}

// browser is the brand that is a browser's own: others stand for what it is made of, or for nothing.
func (h *Hints) browser() string {
	found := ""
	for _, b := range h.Brands {
		if name := brands[b]; name != "" && (found == "" || found == "Chromium") {
			found = name
		}
	}
	return found
}
