package client

import (
	"net/http"
	"strings"
)

// bots are parts of what programs call themselves, in lower case.
var bots = []string{
	"googlebot", "google-inspectiontool", "adsbot-google", "mediapartners-google", "apis-google", "feedfetcher", "bingbot", "bingpreview", "slurp", "duckduckbot",
	"baiduspider", "yandexbot", "yandex.com/bots", "sogou", "exabot", "seznambot", "petalbot", "bytespider", "mojeekbot", "qwantify",
	"facebookexternalhit", "facebot", "meta-externalagent", "twitterbot", "linkedinbot", "pinterestbot", "slackbot", "telegrambot", "discordbot", "whatsapp/",
	"skypeuripreview", "embedly", "applebot", "ia_archiver", "archive.org_bot", "ahrefsbot", "semrushbot", "mj12bot", "dotbot", "rogerbot",
	"blexbot", "dataforseobot", "gptbot", "chatgpt-user", "oai-searchbot", "claudebot", "claude-web", "anthropic-ai", "perplexitybot", "ccbot",
	"amazonbot", "uptimerobot", "pingdom", "statuscake", "site24x7", "datadogsynthetics", "chrome-lighthouse", "pagespeed", "gtmetrix", "headlesschrome",
	"phantomjs", "puppeteer", "playwright", "selenium", "curl/", "wget/", "python-requests", "python-urllib", "aiohttp", "scrapy",
	"go-http-client", "libwww-perl", "apache-httpclient", "node-fetch", "axios/", "crawler", "spider",
}

// IsAgentOfBot reports whether a header User-Agent is that of a program which is no browser, as far
// as it says so (Events 197).
func IsAgentOfBot(agent string) bool {
	if len(agent) > maxAgent {
		agent = agent[:maxAgent]
	}
	agent = strings.ToLower(agent)
	for _, b := range bots {
		if strings.Contains(agent, b) {
			return true
		}
	}
	return false
}

// IsPrefetch reports whether a browser asks before anybody wants to see the page.
func IsPrefetch(h http.Header) bool {
	for _, name := range [...]string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		for _, v := range h[name] {
			if v = strings.ToLower(v); strings.Contains(v, "prefetch") || strings.Contains(v, "prerender") || strings.Contains(v, "preview") {
				return true
			}
		}
	}
	return false
}
