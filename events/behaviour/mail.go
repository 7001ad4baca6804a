package behaviour

import "strings"

// mask stands for an e-mail address.
const mask = "[email]"

// maskMails masks all that looks like name@host.domain, also with "@" as "%40".
func maskMails(text string) string {
	m := masker{text: text}
	return m.mask()
}

// masker masks e-mail addresses. It looks at each byte a few times at most, whatever the text.
type masker struct {
	text   string
	looked int // bytes
}

func (m *masker) mask() string {
	var b strings.Builder
	done := 0 // what is before it is written
	for at, width := m.sign(0); at >= 0; at, width = m.sign(done) {
		from := at
		for from > done && isLocal(m.text[from-1]) {
			from--
		}
		to, dot := m.host(at + width)
		m.looked += at - from
		if from == at || !dot {
			b.WriteString(m.text[done : at+width])
			done = at + width
			continue
		}
		b.WriteString(m.text[done:from])
		b.WriteString(mask)
		done = to
	}
	if done == 0 {
		return m.text
	}
	b.WriteString(m.text[done:])
	return b.String()
}

// sign is where the next "@" or "%40" stands, and how long it is; -1 for none.
func (m *masker) sign(from int) (at, width int) {
	for at = from; at < len(m.text); at++ {
		m.looked++
		switch {
		case m.text[at] == '@':
			return at, 1
		case m.text[at] == '%' && strings.HasPrefix(m.text[at:], "%40"):
			return at, 3
		}
	}
	return -1, 0
}

// host is where a host ends that begins at from, and whether it has a dot.
func (m *masker) host(from int) (to int, dot bool) {
	text := m.text
	for to = from; to < len(text) && (isHost(text[to]) || text[to] == '.' && to+1 < len(text) && isHost(text[to+1]) && to > from); to++ {
		dot = dot || text[to] == '.'
	}
	m.looked += to - from
	return to, dot
}

func isLocal(c byte) bool {
	return isHost(c) || strings.IndexByte(".!#$%'*+^_`{|}~", c) >= 0
}

// isHost takes letters of other scripts, too, whose bytes are above those of ASCII.
func isHost(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c >= 0x80
}
