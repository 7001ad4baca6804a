package gateway

import (
	"fmt"
	"slices"
	"strings"

	"github.com/transom-gateway/transom/internal/tag"
	"github.com/transom-gateway/transom/policy"
)

// droppedTag is a tag of answers that a method drops.
type droppedTag struct {
	where string // the policy cache of the method
	tag   tag.Template
}

// suspectTags notes the tags of one method: of the answers that are kept, and that are dropped.
func (b *builder) suspectTags(layers []policy.Layer, set *policy.Set) {
	if part, ok := policy.Find[interface{ Tags() []tag.Template }](set); ok {
		b.snapshot.cacheTags = append(b.snapshot.cacheTags, part.Tags()...)
	}
	at := written(layers, "cache")
	if part, ok := policy.Find[interface{ Drops() []tag.Template }](set); ok && at != nil {
		for _, t := range part.Drops() {
			b.suspicions.drops = append(b.suspicions.drops, droppedTag{at.Where, t})
		}
	}
}

// warnOfTags says which writes drop nothing. With Redis, which tells other gateways what is
// dropped, all tags may be theirs.
func (b *builder) warnOfTags() {
	kept := b.snapshot.cacheTags
	b.snapshot.allCacheTags = b.file.Config.GetStores().GetRedis() == nil
	if len(kept) == 0 && !b.snapshot.allCacheTags {
		return
	}
	for _, d := range b.suspicions.drops {
		if slices.ContainsFunc(kept, func(t tag.Template) bool { return t.Meets(&d.tag) }) {
			continue
		}
		there := "no method has cache.tags"
		if len(kept) > 0 {
			there = "the tags of answers are " + strings.Join(b.snapshot.tagTexts(), ", ")
		}
		b.warnAt(d.where, fmt.Sprintf("cache.invalidates: found %q, which drops nothing: %s", d.tag.Text, there))
	}
}

// tagTexts are the tags of answers as they were written.
func (s *Snapshot) tagTexts() []string {
	texts := make([]string, 0, len(s.cacheTags))
	for i := range s.cacheTags {
		texts = append(texts, s.cacheTags[i].Text)
	}
	slices.Sort(texts)
	return slices.Compact(texts)
}

// knowsTag reports whether an answer may have a tag: one that a method has, or that of the URI
// which an answer of a route is about.
func (s *Snapshot) knowsTag(text string) bool {
	return !s.allCacheTags || s.cachedRoutes != nil && strings.Contains(text, "://") || slices.ContainsFunc(s.cacheTags, func(t tag.Template) bool {
		return tag.Fits(t.Pattern(), text)
	})
}

// errUnknownTag says which tags there are instead.
func (s *Snapshot) errUnknownTag(text string) error {
	tags := s.tagTexts()
	if s.cachedRoutes != nil {
		tags = append(tags, "the URIs of routes")
	}
	if len(tags) == 0 {
		return fmt.Errorf("tag: found %q, but no method has cache.tags", text)
	}
	return fmt.Errorf("tag: found %q, which no answer can have; the tags are %s", text, strings.Join(tags, ", "))
}
