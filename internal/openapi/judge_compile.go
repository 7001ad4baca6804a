package openapi

import (
	"time"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/transom-gateway/transom/internal/schema"
)

// compiledRules are what the documents of one source know of rules, which take long to compile.
type compiledRules struct {
	api   *API
	rules map[protoreflect.MessageDescriptor]*exprRules
	// enforced are the validators of policies, by the messages that they have compiled; nil before it is needed.
	enforced map[protoreflect.MessageDescriptor]protovalidate.Validator
	// own checks all other messages; nil before it is needed.
	own protovalidate.Validator
	// sizes are how many messages each file and all those that it imports have.
	sizes map[protoreflect.FileDescriptor]int
}

func newCompiledRules(api *API) *compiledRules {
	return &compiledRules{api: api, rules: map[protoreflect.MessageDescriptor]*exprRules{}, sizes: map[protoreflect.FileDescriptor]int{}}
}

// of are the rules of a message; nil for none.
func (c *compiledRules) of(m protoreflect.MessageDescriptor) *exprRules {
	found, known := c.rules[m]
	if !known {
		found = readRules(m)
		c.rules[m] = found
	}
	return found
}

// enforce finds the messages that policies have compiled: those that the requests of their methods lead to.
func (c *compiledRules) enforce() {
	c.enforced = map[protoreflect.MessageDescriptor]protovalidate.Validator{}
	for i := range c.api.Routes {
		r := &c.api.Routes[i]
		input := r.Method.Descriptor.Input()
		if r.Validator == nil || c.enforced[input] != nil {
			continue
		}
		c.enforced[input] = r.Validator
		for queue := []protoreflect.MessageDescriptor{input}; len(queue) > 0; queue = queue[1:] {
			for below := range schema.FieldMessages(queue[0]) {
				if c.enforced[below] == nil {
					c.enforced[below] = r.Validator
					queue = append(queue, below)
				}
			}
		}
	}
}

// size is how many messages a file and all those that it imports have.
func (c *compiledRules) size(f protoreflect.FileDescriptor) int {
	if n, known := c.sizes[f]; known {
		return n
	}
	n, files := 0, map[string]bool{f.Path(): true}
	for queue := []protoreflect.FileDescriptor{f}; len(queue) > 0; queue = queue[1:] {
		n += countMessages(queue[0].Messages())
		for i := range queue[0].Imports().Len() {
			if file := queue[0].Imports().Get(i); !files[file.Path()] {
				files[file.Path()] = true
				queue = append(queue, file)
			}
		}
	}
	c.sizes[f] = n
	return n
}

func countMessages(all protoreflect.MessageDescriptors) int {
	n := all.Len()
	for i := range all.Len() {
		n += countMessages(all.Get(i).Messages())
	}
	return n
}

// maxCompiled bounds what one document compiles, as protovalidate registers all messages of a file, and of
// those that it imports, for each message with rules in CEL: it is how many are registered.
const maxCompiled = 40_000

// validatorOf is what checks a message: that of a policy, which has compiled it already, or the judge's own,
// as far as the document has not compiled too much; nil beyond.
func (j *judge) validatorOf(m protoreflect.MessageDescriptor) protovalidate.Validator {
	if j.enforced == nil {
		j.enforce()
	}
	if v := j.enforced[m]; v != nil {
		return v
	}
	may, known := j.seen[m]
	if !known {
		may = j.spend(m)
		j.seen[m] = may
	}
	if !may || j.open() != nil {
		return nil
	}
	return j.own
}

// spend reports whether a message and those below it may be compiled, too.
func (j *judge) spend(m protoreflect.MessageDescriptor) bool {
	for one := range schema.Reachable(m) {
		if j.spent > maxCompiled {
			return false
		}
		if _, known := j.seen[one]; !known && j.of(one) != nil {
			j.seen[one] = true
			j.spent += j.size(one.ParentFile())
		}
	}
	return true
}

// open makes the judge's own validator.
func (c *compiledRules) open() (err error) {
	if c.own == nil {
		var options []protovalidate.ValidatorOption
		if c.api.Extensions != nil {
			options = append(options, protovalidate.WithExtensionTypeResolver(c.api.Extensions))
		}
		c.own, err = protovalidate.New(options...)
	}
	return err
}

// check checks a message as of a time, or of one field of it that field's own rules.
func check(v protovalidate.Validator, m proto.Message, at time.Time, field protoreflect.FieldDescriptor) error {
	options := []protovalidate.ValidationOption{protovalidate.WithNowFunc(func() *timestamppb.Timestamp { return timestamppb.New(at) })}
	if field != nil {
		options = append(options, protovalidate.WithFilter(protovalidate.FilterFunc(
			func(_ protoreflect.Message, d protoreflect.Descriptor) bool { return d == field })))
	}
	return v.Validate(m, options...)
}
