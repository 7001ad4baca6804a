package gateway

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/httprule"
	"github.com/transom-gateway/transom/internal/schema"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// policyRules are the configuration's policies.
type policyRules struct {
	list      []*transomv1.PolicyRule
	selectors httprule.Selectors
	used      []bool
}

// unused refuses policies that hold for no method: who wrote one believes that
// something is protected. "*" promises nothing of the kind.
func (p *policyRules) unused(b *builder) {
	for i, used := range p.used {
		if text := p.selectors[i].String(); !used && text != "" && text != "*" {
			hint := b.meant(text)
			if hint == "" {
				hint = "; the services are " + b.serviceNames()
			}
			b.refuse(fmt.Sprintf("policies[%d]: no method is %s%s", i, text, hint), "policies", i, "selector")
		}
	}
}

// serviceNames lists the services for people, the first of them at least.
func (b *builder) serviceNames() string {
	const most = 5
	names := make([]string, 0, len(b.services))
	for name := range b.services {
		names = append(names, string(name))
	}
	slices.Sort(names)
	switch {
	case len(names) == 0:
		return "none"
	case len(names) > most:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// layers lists what is said of a method, the widest first.
func (b *builder) layers(r *schema.Registry, d protoreflect.MethodDescriptor) []policy.Layer {
	service, ok := d.Parent().(protoreflect.ServiceDescriptor)
	if !ok || b.gateway.options.Unguarded {
		return nil // a method's parent is a service
	}
	layers := []policy.Layer{{
		Policy:   b.file.Config.GetDefaults(),
		Where:    b.configPosition("defaults"),
		Position: func(path string) string { return b.configPosition("defaults." + path) },
	}}
	if p := schema.ServicePolicy(service); p != nil {
		layers = append(layers, protoLayer(r, service, schema.PolicyOption, policy.Layer{Policy: p}))
	}
	if p := schema.MethodPolicy(d); p != nil {
		layers = append(layers, protoLayer(r, d, schema.PolicyOption, policy.Layer{Policy: p, Exact: true}))
	}
	for _, i := range b.policies.selectors.Matching(string(d.FullName())) {
		b.policies.used[i] = true
		path := fmt.Sprintf("policies[%d].policy", i)
		layers = append(layers, policy.Layer{
			Policy:   b.policies.list[i].GetPolicy(),
			Where:    b.configPosition(path),
			Exact:    b.policies.selectors[i].Exact(),
			Position: func(field string) string { return b.configPosition(path + "." + field) },
		})
	}
	return layers
}

func protoLayer(r *schema.Registry, d protoreflect.Descriptor, option int32, l policy.Layer) policy.Layer {
	at := func(path ...int32) string {
		return place(r.Position(d, path...))
	}
	l.Where = at(option)
	l.Position = func(field string) string { return at(append([]int32{option}, fieldNumbers(field)...)...) }
	return l
}

// place is where something stands, without the line and column that nobody knows.
func place(file string, line, column int) string {
	if line == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d:%d", file, line, column)
}

// fieldNumbers makes the path of numbers of a path of names in Policy, such as
// "rate_limit[0].cel", as far as it knows them.
func fieldNumbers(path string) []int32 {
	var numbers []int32
	message := (&transomv1.Policy{}).ProtoReflect().Descriptor()
	for part := range strings.SplitSeq(path, ".") {
		name, index, indexed := strings.Cut(strings.TrimSuffix(part, "]"), "[")
		if message == nil {
			return numbers
		}
		field := message.Fields().ByName(protoreflect.Name(name))
		if field == nil {
			return numbers
		}
		numbers = append(numbers, int32(field.Number()))
		if indexed {
			i, err := strconv.ParseInt(index, 10, 32)
			if err != nil {
				return numbers
			}
			numbers = append(numbers, int32(i))
		}
		message = field.Message()
	}
	return numbers
}
