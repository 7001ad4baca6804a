package behaviour

import (
	"net/url"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// keptQuery are the parameters that URLs keep by default: of campaigns, and by which advertisers tell
// a click. None of them tells a person.
var keptQuery = []string{"utm_*", "gclid", "gbraid", "wbraid", "dclid", "fbclid", "msclkid", "ttclid", "twclid", "li_fat_id", "yclid", "mc_cid"}

// scrubber takes out of events what they must not tell (Events 199).
type scrubber struct {
	names    map[string]bool
	prefixes []string
	mails    bool
}

func newScrubber(c *transomv1.Behaviour) scrubber {
	s := scrubber{names: map[string]bool{}, mails: c.GetScrub()}
	kept := c.GetQuery()
	if len(kept) == 0 {
		kept = keptQuery
	}
	for _, name := range kept {
		if prefix, open := strings.CutSuffix(name, "*"); open {
			s.prefixes = append(s.prefixes, prefix)
		} else {
			s.names[name] = true
		}
	}
	return s
}

// event scrubs all texts of an event but its ids.
func (s *scrubber) event(u *transomv1.UserEvent) {
	if c := u.GetContext(); c != nil {
		if p := c.GetPage(); p != nil {
			p.Url, p.Referrer, p.Path = s.url(p.Url), s.url(p.Referrer), s.url(p.Path)
			p.Title = s.text(p.Title)
		}
		s.texts(c.Campaign)
		s.fields(c.UserAgentData)
		c.Screen, c.Locale, c.Timezone = s.text(c.Screen), s.text(c.Locale), s.text(c.Timezone)
	}
	s.fields(u.GetProperties())
	switch d := u.GetDetail().(type) {
	case *transomv1.UserEvent_Click:
		d.Click.Target, d.Click.TextHash = s.text(d.Click.GetTarget()), s.text(d.Click.GetTextHash())
	case *transomv1.UserEvent_Search:
		d.Search.Query = s.text(d.Search.GetQuery())
		s.texts(d.Search.GetFilters())
	}
}

func (s *scrubber) texts(m map[string]string) {
	for name, text := range m {
		m[name] = s.text(text)
	}
}

func (s *scrubber) fields(m *structpb.Struct) {
	for _, v := range m.GetFields() {
		s.value(v)
	}
}

func (s *scrubber) value(v *structpb.Value) {
	switch k := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		k.StringValue = s.text(k.StringValue)
	case *structpb.Value_StructValue:
		s.fields(k.StructValue)
	case *structpb.Value_ListValue:
		for _, one := range k.ListValue.GetValues() {
			s.value(one)
		}
	}
}

// text scrubs a text, which may be a URL, or have some in it.
func (s *scrubber) text(text string) string {
	if isURL(text) {
		return s.url(text)
	}
	return s.mail(withoutUsers(text))
}

// isURL reports whether a text is a URL of a server, as far as its beginning tells.
func isURL(text string) bool {
	scheme, _, found := strings.Cut(text, ":")
	return found && isServer(scheme)
}

// isServer reports whether URLs of a scheme name a server, also where "//" was forgotten, as browsers
// have it.
func isServer(scheme string) bool {
	switch strings.ToLower(scheme) {
	case "http", "https", "ws", "wss", "ftp":
		return true
	}
	return false
}

// withoutUsers takes users and passwords out of the URLs within a text.
func withoutUsers(text string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, "://")
		if !found {
			break
		}
		b.WriteString(before)
		b.WriteString("://")
		end := strings.IndexAny(after, "/?# \t\r\n\"'<>\\")
		if end < 0 {
			end = len(after)
		}
		text = after[strings.LastIndexByte(after[:end], '@')+1:]
	}
	if b.Len() == 0 {
		return text
	}
	b.WriteString(text)
	return b.String()
}

// mail masks what looks like an e-mail address, where that is asked for.
func (s *scrubber) mail(text string) string {
	if !s.mails {
		return text
	}
	return maskMails(text)
}

// url takes the user, the fragment and most of the query out of a URL, or of a path. What is no URL
// loses all behind the first "?" or "#", and what may be a user.
func (s *scrubber) url(text string) string {
	if text == "" {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil {
		return s.mail(withoutUser(text))
	}
	if lacksServer(u) {
		// "user:password@host" has a user for a scheme, and browsers take "https:user@host" for
		// "https://user@host".
		if u.Fragment, u.RawFragment = "", ""; strings.IndexByte(u.String(), '@') >= 0 {
			return s.mail(withoutUser(text))
		}
	}
	if u.User == nil && u.Fragment == "" && u.RawQuery == "" && !u.ForceQuery && !strings.HasSuffix(text, "#") {
		return s.mail(text)
	}
	u.User, u.Fragment, u.RawFragment, u.ForceQuery = nil, "", "", false
	u.RawQuery = s.query(u.RawQuery)
	return s.mail(u.String())
}

// lacksServer reports whether what stands where a server is expected was not understood as one, so that
// it may have a user.
func lacksServer(u *url.URL) bool {
	switch {
	case u.Host != "" || u.User != nil:
		return false
	case u.Opaque != "", isServer(u.Scheme):
		return true
	}
	first, _, _ := strings.Cut(u.Path, "/") // "" for a path from the root, where "/@ann" may be a page
	return strings.IndexByte(first, '@') >= 0
}

// withoutUser takes them out of what is no URL: the user with the password stands before an "@".
func withoutUser(text string) string {
	if i := strings.IndexAny(text, "?#"); i >= 0 {
		text = text[:i]
	}
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		return text
	}
	front := ""
	if i := strings.Index(text[:at], "//"); i >= 0 {
		front = text[:i+2]
	} else if scheme, _, _ := strings.Cut(text, ":"); isServer(scheme) {
		front = scheme + ":"
	}
	return front + text[at+1:]
}

// query keeps the parameters that may be told.
func (s *scrubber) query(query string) string {
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		if err == nil && pair != "" && s.keeps(plain) {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "&")
}

func (s *scrubber) keeps(name string) bool {
	if s.names[name] {
		return true
	}
	for _, p := range s.prefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}
