package proxy

import (
	"strconv"
	"sync"
	"testing"
)

// room is a Room by its function.
type room func(bytes int) bool

func (r room) Take(bytes int) bool { return r(bytes) }

// TestForms: what is made of a message is kept as long as there is memory for it, and the oldest
// gives way where there is too much; what it took is given back.
func TestForms(t *testing.T) {
	free := 10_000
	forms := NewForms(room(func(n int) bool {
		if n > free {
			return false
		}
		free -= n
		return true
	}))
	var kinds [mostForms + 2]FormKind
	for i := range kinds {
		of := &kinds[i]
		if forms.Get(of, "") != nil {
			t.Fatalf("form %d is there already", i)
		}
		forms.Keep(&Form{Of: of, Text: []byte(strconv.Itoa(i))})
		forms.Keep(&Form{Of: of, Text: []byte("another")}) // somebody was faster
		if got := forms.Get(of, ""); got == nil || string(got.Text) != strconv.Itoa(i) {
			t.Errorf("form %d is %v", i, got)
		}
		if forms.Get(of, "gzip") != nil {
			t.Errorf("form %d is there compressed", i)
		}
	}
	if forms.Get(&kinds[0], "") != nil || forms.Get(&kinds[1], "") != nil || forms.Get(&kinds[2], "") == nil {
		t.Error("others than the oldest gave way")
	}
	if used := 10_000 - free; used != mostForms*(formBytes+1) {
		t.Errorf("%d bytes are taken", used)
	}
	forms.Keep(&Form{Of: &kinds[0], Text: make([]byte, 10_000)})
	if forms.Get(&kinds[0], "") != nil || forms.Get(&kinds[2], "") == nil {
		t.Error("a form is kept without memory, or another one was dropped for it")
	}
}

// TestFormsConcurrently: many ask for forms, and make them, at once.
func TestFormsConcurrently(t *testing.T) {
	forms := NewForms(room(func(int) bool { return true }))
	var kinds [3]FormKind
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 1000 {
				of := &kinds[i%len(kinds)]
				form := forms.Get(of, "")
				if form == nil {
					form = &Form{Of: of, Text: []byte{byte(i % len(kinds))}}
					forms.Keep(form)
				}
				if form.Of != of || int(form.Text[0]) != i%len(kinds) {
					t.Errorf("a form of another kind: %v", form)
				}
			}
		})
	}
	all.Wait()
}

// TestSmallFrames: messages of each size are whole, and what is given back is nobody else's.
func TestSmallFrames(t *testing.T) {
	for _, size := range []int{0, 1, smallMessage, smallMessage + 1, 1 << 10, 1<<10 + 1, 1 << 16} {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(i)
		}
		f := NewFrame(b)
		second := f.Ref()
		clear(b)
		f.Free()
		got := second.Bytes()
		if len(got) != size || second.Len() != size {
			t.Errorf("%d bytes became %d", size, len(got))
		}
		for i := range got {
			if got[i] != byte(i) {
				t.Fatalf("byte %d of %d is %d", i, size, got[i])
			}
		}
		second.Free()
	}
}
