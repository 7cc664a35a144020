package toolargs

import (
	"encoding/json"
	"slices"
	"strings"
)

// Schema is a parsed JSON Schema (2020-12). Only properties, types and allowed values are evaluated. References to other documents are not
// fetched, and allow everything (MCP 2026-07-28, JSON Schema Usage). Each subschema is evaluated once, however many references lead to it,
// so the time is proportional to the size of the schema.
//
// A Schema must not be used by several goroutines at the same time. A nil Schema allows everything.
type Schema struct {
	root     *value
	kinds    map[*value]kinds
	flat     map[*value]*properties
	resolved map[*value]*value
	steps    int // number of steps of admits so far, see maxSteps
}

// Parse parses a schema and never fails. An invalid schema allows everything, because the server checks the arguments too.
func Parse(raw json.RawMessage) *Schema { return of(parse(raw, maxDepth)) }

func of(root *value) *Schema {
	return &Schema{root: root, kinds: map[*value]kinds{}, flat: map[*value]*properties{}, resolved: map[*value]*value{}}
}

// Again returns a Schema of the same document for another call. Several goroutines may call Again at the same time.
func (s *Schema) Again() *Schema {
	if s == nil {
		return nil
	}
	return of(s.root)
}

// schema is a subschema of a Schema. If several parts of a oneOf describe the same property, the schema of that property has several
// alternatives. A schema without alternatives allows every value.
type schema struct {
	doc *Schema
	any []*value
}

func (s *Schema) top() schema {
	if s == nil || s.root == nil {
		return schema{doc: s}
	}
	return schema{s, []*value{s.root}}
}

// target returns the target of a $ref, or nil if it is in another document.
func (s *Schema) target(v *value) *value {
	ref := v.member("$ref")
	if ref == nil {
		return nil
	}
	if known, ok := s.resolved[ref]; ok {
		return known
	}
	path, ok := strings.CutPrefix(ref.text(), "#")
	to := s.root
	switch {
	case !ok || path != "" && path[0] != '/':
		to = nil
	case path != "":
		for part := range strings.SplitSeq(path[1:], "/") {
			to = to.child(part)
		}
	}
	s.resolved[ref] = to
	return to
}

// self yields each alternative of a schema. After an alternative with a $ref, self yields the schema to which the $ref points, then the
// target of that schema's $ref, and so on.
func (s schema) self(yield func(*value) bool) {
	for _, v := range s.any {
		var chain []*value
		for ; v != nil && !slices.Contains(chain, v) && len(chain) < 100; v = s.doc.target(v) {
			if chain = append(chain, v); !yield(v) {
				return
			}
		}
	}
}

// kindsOf returns the types that a schema allows. A reference back to a schema that is being evaluated allows everything.
func (s *Schema) kindsOf(v *value) kinds {
	if k, ok := s.kinds[v]; ok {
		return k
	}
	s.kinds[v] = anything
	k := ownKinds(v)
	if to := s.target(v); to != nil {
		k &= s.kindsOf(to)
	}
	for _, part := range v.member("allOf").elements() {
		k &= s.kindsOf(part)
	}
	for _, keyword := range []string{"anyOf", "oneOf"} {
		var union kinds
		for _, part := range v.member(keyword).elements() {
			union |= s.kindsOf(part)
		}
		if union != 0 {
			k &= union
		}
	}
	if k == 0 { // the schema contradicts itself, so the server decides
		k = anything
	}
	s.kinds[v] = k
	return k
}

// ownKinds returns the types that the schema's own keywords allow.
func ownKinds(v *value) kinds {
	k := kinds(anything)
	if t := v.member("type"); t != nil {
		union := kinds(0)
		for _, each := range append([]*value{t}, t.elements()...) {
			if name := each.text(); name != "" {
				union |= namedKind(name)
			}
		}
		k &= union
	}
	if listed := listed(v); len(listed) > 0 {
		union := kinds(0)
		for _, each := range listed {
			union |= kindOf(each.raw)
		}
		k &= union
	}
	return k
}

// listed returns the values of const or enum.
func listed(v *value) []*value {
	if c := v.member("const"); c != nil {
		return []*value{c}
	}
	return v.member("enum").elements()
}

// kinds returns the types that any of the alternatives allows.
func (s schema) kinds() kinds {
	if len(s.any) == 0 {
		return anything
	}
	var k kinds
	for _, v := range s.any {
		k |= s.doc.kindsOf(v)
	}
	return k
}

// maxSteps limits how many subschemas and listed values are compared for all arguments of a call, because many properties may refer to the
// same long list.
const maxSteps = 1_000_000

// admits reports whether the schema allows the type and the value of x. admits follows $ref, allOf, anyOf and oneOf, but does not check
// properties. After maxSteps steps, admits allows everything, and the server decides.
func (s schema) admits(x *value) bool {
	known := map[*value]bool{}
	var admits func(v *value) bool
	admits = func(v *value) bool {
		if ok, seen := known[v]; seen {
			return ok
		}
		known[v] = true // while v is being evaluated, a reference back to v counts as allowed
		listed := listed(v)
		if s.doc.steps += 1 + len(listed); s.doc.steps > maxSteps {
			return true
		}
		ok := ownKinds(v)&kindOf(x.raw) != 0 && (len(listed) == 0 || slices.ContainsFunc(listed, func(e *value) bool { return equal(e, x) }))
		if to := s.doc.target(v); ok && to != nil {
			ok = admits(to)
		}
		for _, part := range v.member("allOf").elements() {
			ok = ok && admits(part)
		}
		for _, keyword := range []string{"anyOf", "oneOf"} {
			if all := v.member(keyword).elements(); ok && len(all) > 0 {
				ok = slices.ContainsFunc(all, admits)
			}
		}
		known[v] = ok
		return ok
	}
	return len(s.any) == 0 || slices.ContainsFunc(s.any, admits)
}

// walk visits the schema and all schemas that it includes with $ref, allOf, anyOf or oneOf. walk visits each schema once, and stops if
// visit returns false.
func (s schema) walk(visit func(*value) bool) {
	seen := map[*value]bool{}
	more := true
	var walk func(v *value)
	walk = func(v *value) {
		if v == nil || seen[v] || !more {
			return
		}
		seen[v] = true
		if more = visit(v); !more {
			return
		}
		walk(s.doc.target(v))
		for _, keyword := range []string{"allOf", "anyOf", "oneOf"} {
			for _, part := range v.member(keyword).elements() {
				if walk(part); !more {
					return
				}
			}
		}
	}
	for _, v := range s.any {
		walk(v)
	}
}

// choices returns the values that the schema lists. The number of visited schemas is limited, because choices is called for every property.
func (s schema) choices() []*value {
	const most = 50
	var out []*value
	steps := 0
	s.walk(func(v *value) bool {
		values := listed(v)
		out = append(out, values[:min(len(values), most-len(out))]...)
		steps++
		return steps < most && len(out) < most
	})
	return out
}

// properties are the properties of a schema and of all schemas that it includes with $ref, allOf, anyOf or oneOf.
type properties struct {
	names []string
	named map[string][]*value
}

// properties collects the properties once per schema.
func (s *Schema) properties(v *value) *properties {
	if p := s.flat[v]; p != nil {
		return p
	}
	p := &properties{named: map[string][]*value{}}
	schema{s, []*value{v}}.walk(func(part *value) bool {
		if all := part.member("properties"); all != nil {
			for i, name := range all.names {
				if p.named[name] == nil {
					p.names = append(p.names, name)
				}
				p.named[name] = append(p.named[name], all.list[i])
			}
		}
		return true
	})
	s.flat[v] = p
	return p
}

// property returns the schema of a property.
func (s schema) property(name string) (schema, bool) {
	p := schema{doc: s.doc}
	for _, v := range s.any {
		for _, part := range s.doc.properties(v).named[name] {
			p.add(part)
		}
	}
	return p.bounded(), len(p.any) > 0
}

// maxAlternatives limits the alternatives of one property. Without the limit, the number of alternatives could multiply with each part of a
// dotted name, because an alternative may refer to the whole schema again.
const maxAlternatives = 100

// add adds an alternative unless it is there already.
func (s *schema) add(v *value) {
	if len(s.any) <= maxAlternatives && !slices.Contains(s.any, v) {
		s.any = append(s.any, v)
	}
}

// bounded returns the schema, or a schema that allows everything if there are too many alternatives.
func (s schema) bounded() schema {
	if len(s.any) > maxAlternatives {
		return schema{doc: s.doc}
	}
	return s
}

// names returns the names of all properties.
func (s schema) names() []string {
	var names []string
	for _, v := range s.any {
		names = append(names, s.doc.properties(v).names...)
	}
	return names
}

// below returns the schema that a keyword such as items or additionalProperties contains.
func (s schema) below(keyword string) schema {
	out := schema{doc: s.doc}
	s.walk(func(v *value) bool {
		if below := v.member(keyword); below != nil && below.raw[0] == '{' {
			out.add(below)
		}
		return true
	})
	return out.bounded()
}

// composing are the keywords that may allow properties that "properties" does not list.
var composing = []string{"allOf", "anyOf", "oneOf", "if", "patternProperties", "dependentSchemas", "unevaluatedProperties", "$dynamicRef"}

// forbids reports whether the schema forbids properties that it does not list. silent reports whether the schema has no keyword about
// unlisted properties.
func (s schema) forbids() (forbids, silent bool) {
	silent = true
	for v := range s.self {
		if slices.ContainsFunc(composing, func(k string) bool { return v.member(k) != nil }) {
			return false, false
		}
		if a := v.member("additionalProperties"); a != nil {
			silent = false
			forbids = string(a.raw) == "false"
		}
	}
	return forbids, silent
}

// closed reports whether a name that the schema does not list is probably a mistake. An unlisted name is probably a mistake if the schema
// forbids unlisted names, or if the schema lists names and has no keyword about unlisted names.
func (s schema) closed() bool {
	forbids, silent := s.forbids()
	return forbids || silent && len(s.names()) > 0
}

// required returns the names of the required properties.
func (s schema) required() []string {
	var names []string
	for v := range s.self {
		for _, e := range v.member("required").elements() {
			names = append(names, e.text())
		}
	}
	return names
}

// keyword returns the first value of a keyword in the schema or in the schemas that its references lead to, or nil.
func (s schema) keyword(name string) *value {
	for v := range s.self {
		if found := v.member(name); found != nil {
			return found
		}
	}
	return nil
}
