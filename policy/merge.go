package policy

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// merge lays the layers over each other, the widest first: a field that is set
// at a narrower one replaces the wider one's whole. origin tells the layer each
// field came from. The result shares the layers' messages and must not be
// changed.
func merge(layers []Layer) (*transomv1.Policy, map[protoreflect.Name]int) {
	merged := &transomv1.Policy{}
	origin := map[protoreflect.Name]int{}
	for i, layer := range layers {
		if layer.Policy == nil {
			continue
		}
		layer.Policy.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
			merged.ProtoReflect().Set(field, value)
			origin[field.Name()] = i
			return true
		})
	}
	return merged, origin
}

// at is the place of a field of the layer's policy.
func (l Layer) at(path string) string {
	if l.Position != nil {
		if where := l.Position(path); where != "" {
			return where
		}
	}
	return l.Where
}

// topField is the first name of a path: "auth" of "auth.jwt.issuers[0]".
func topField(path string) protoreflect.Name {
	if i := strings.IndexAny(path, ".["); i >= 0 {
		path = path[:i]
	}
	return protoreflect.Name(path)
}

// Matching lists the rules whose selector names the method, by their index,
// the least specific first: "*" before "a.*" before "a.b.*" before the method
// itself; of equal ones the later wins.
func Matching(rules []*transomv1.PolicyRule, method protoreflect.FullName) []int {
	var found []int
	for i, rule := range rules {
		if selects(rule.GetSelector(), string(method)) {
			found = append(found, i)
		}
	}
	slices.SortStableFunc(found, func(a, b int) int {
		return specificity(rules[a].GetSelector()) - specificity(rules[b].GetSelector())
	})
	return found
}

// selects tells whether a selector names a method: "package.Service.Method",
// "package.Service.*", "package.*" or "*".
func selects(selector, method string) bool {
	if selector == "*" {
		return true
	}
	if prefix, ok := strings.CutSuffix(selector, "*"); ok {
		return strings.HasSuffix(prefix, ".") && strings.HasPrefix(method, prefix)
	}
	return selector == method
}

// specificity orders selectors of one method: the number of bytes that must
// match, and a whole name above all.
func specificity(selector string) int {
	if strings.HasSuffix(selector, "*") {
		return len(selector)
	}
	return len(selector) + 1<<20
}
