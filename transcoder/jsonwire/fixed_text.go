package jsonwire

// shortText is what fixedText copies without a call, in bytes: the length of
// nearly all names of fields, quoted.
const shortText = 32

// fixedText is text known when a plan is made, ready to be appended.
type fixedText struct {
	text   string
	padded [shortText]byte // the text again, if it fits
}

func newFixedText(s string) *fixedText {
	t := &fixedText{text: s}
	copy(t.padded[:], s)
	return t
}

// appendTo appends the text. Where there is room, it writes all of padded, in two
// or four machine words, and keeps what counts.
func (t *fixedText) appendTo(dst []byte) []byte {
	at := len(dst)
	if len(t.text) <= shortText && cap(dst)-at >= shortText {
		*(*[shortText]byte)(dst[at : at+shortText]) = t.padded
		return dst[:at+len(t.text)]
	}
	return append(dst, t.text...)
}
