package toolargs

import (
	"encoding/json"
	"iter"
	"math"
	"slices"
	"strings"
)

// Schema is a parsed JSON Schema (2020-12). Only properties, types and allowed values are evaluated. References to other documents are not
// fetched, and allow everything (MCP 2026-07-28, JSON Schema Usage). Each subschema is evaluated once, even if many references lead to it,
// so the time is proportional to the size of the schema.
//
// A Schema must not be used by several goroutines at the same time. A nil Schema allows everything.
type Schema struct {
	root       *jsonValue
	knownKinds map[*jsonValue]kindSet
	flat       map[*jsonValue]*propertySet
	resolved   map[*jsonValue]*jsonValue
	steps      int // number of steps of allowsValue so far, see maxSteps
}

// Parse parses a schema and never fails. An invalid schema allows everything, because the server checks the arguments too.
func Parse(raw json.RawMessage) *Schema { return of(parse(raw, maxDepth)) }

func of(root *jsonValue) *Schema {
	return &Schema{root: root, knownKinds: map[*jsonValue]kindSet{}, flat: map[*jsonValue]*propertySet{}, resolved: map[*jsonValue]*jsonValue{}}
}

// Again returns a Schema of the same document for another call. Several goroutines may call Again at the same time.
func (s *Schema) Again() *Schema {
	if s == nil {
		return nil
	}
	return of(s.root)
}

// subschema is a part of a Schema. If several parts of a oneOf describe the same property, the subschema of that property has several
// alternatives. A subschema without alternatives allows every value.
type subschema struct {
	doc *Schema
	any []*jsonValue
}

func (s *Schema) top() subschema {
	if s == nil || s.root == nil {
		return subschema{doc: s}
	}
	return subschema{s, []*jsonValue{s.root}}
}

// refTarget returns the schema that the $ref of v names. The result is nil if v has no $ref, or if the $ref names another document.
func (s *Schema) refTarget(v *jsonValue) *jsonValue {
	ref := v.member("$ref")
	if ref == nil {
		return nil
	}
	if known, ok := s.resolved[ref]; ok {
		return known
	}
	path, ok := strings.CutPrefix(ref.decodeString(), "#")
	to := s.root
	switch {
	case !ok || path != "" && path[0] != '/':
		to = nil
	case path != "":
		for part := range strings.SplitSeq(path[1:], "/") {
			to = to.pointerChild(part)
		}
	}
	s.resolved[ref] = to
	return to
}

// kindsOf returns the types that a schema allows. A schema that refers to itself counts as allowing everything while it is being evaluated.
func (s *Schema) kindsOf(v *jsonValue) kindSet {
	if k, ok := s.knownKinds[v]; ok {
		return k
	}
	s.knownKinds[v] = anything
	k := ownKinds(v)
	if to := s.refTarget(v); to != nil {
		k &= s.kindsOf(to)
	}
	for _, part := range v.member("allOf").elements() {
		k &= s.kindsOf(part)
	}
	for _, keyword := range []string{"anyOf", "oneOf"} {
		var union kindSet
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
	s.knownKinds[v] = k
	return k
}

// ownKinds returns the types that the schema's own keywords allow.
func ownKinds(v *jsonValue) kindSet {
	k := kindSet(anything)
	if t := v.member("type"); t != nil {
		union := kindSet(0)
		for _, each := range append([]*jsonValue{t}, t.elements()...) {
			if name := each.decodeString(); name != "" {
				union |= namedKind(name)
			}
		}
		k &= union
	}
	if listed := constOrEnum(v); len(listed) > 0 {
		union := kindSet(0)
		for _, each := range listed {
			union |= kindOf(each.raw)
		}
		k &= union
	}
	return k
}

// constOrEnum returns the value of const, or the values of enum.
func constOrEnum(v *jsonValue) []*jsonValue {
	if c := v.member("const"); c != nil {
		return []*jsonValue{c}
	}
	return v.member("enum").elements()
}

// allowedKinds returns the types that at least one alternative allows.
func (s subschema) allowedKinds() kindSet {
	if len(s.any) == 0 {
		return anything
	}
	var k kindSet
	for _, v := range s.any {
		k |= s.doc.kindsOf(v)
	}
	return k
}

// maxSteps limits how many subschemas and listed values are compared for all arguments of a call, because many properties may refer to the
// same long list or the same long value. A value counts once more for each 64 bytes.
const maxSteps = 1_000_000

// allowsValue reports whether the schema allows the type and the value of x. allowsValue follows $ref, allOf, anyOf and oneOf, but does not
// check properties. After maxSteps steps, allowsValue allows everything, because the server checks the arguments too.
func (s subschema) allowsValue(x *jsonValue) bool {
	known, value := map[*jsonValue]bool{}, scalarOf(x)
	var allows func(v *jsonValue) bool
	allows = func(v *jsonValue) bool {
		if ok, seen := known[v]; seen {
			return ok
		}
		known[v] = true // while v is being evaluated, a reference back to v counts as allowed
		listed := constOrEnum(v)
		s.doc.steps += 1 + len(listed)
		for _, e := range listed {
			s.doc.steps += len(e.raw) / 64
		}
		if s.doc.steps > maxSteps {
			return true
		}
		ok := ownKinds(v)&kindOf(x.raw) != 0 && (len(listed) == 0 || slices.ContainsFunc(listed, func(e *jsonValue) bool { return scalarOf(e) == value }))
		if to := s.doc.refTarget(v); ok && to != nil {
			ok = allows(to)
		}
		for _, part := range v.member("allOf").elements() {
			ok = ok && allows(part)
		}
		for _, keyword := range []string{"anyOf", "oneOf"} {
			if all := v.member(keyword).elements(); ok && len(all) > 0 {
				ok = slices.ContainsFunc(all, allows)
			}
		}
		known[v] = ok
		return ok
	}
	return len(s.any) == 0 || slices.ContainsFunc(s.any, allows)
}

// compositions are the keywords whose subschemas describe the same value as the schema itself.
var compositions = []string{"allOf", "anyOf", "oneOf"}

// includedSchemas yields the alternatives of a subschema, and the schemas that these include with $ref or one of the keywords. Each schema is
// yielded once, and at most limit schemas are yielded.
func (s subschema) includedSchemas(limit int, keywords ...string) iter.Seq[*jsonValue] {
	return func(yield func(*jsonValue) bool) {
		seen := map[*jsonValue]bool{}
		var visit func(v *jsonValue) bool
		visit = func(v *jsonValue) bool {
			if v == nil || seen[v] {
				return true
			}
			seen[v] = true
			if len(seen) > limit || !yield(v) || !visit(s.doc.refTarget(v)) {
				return false
			}
			for _, keyword := range keywords {
				if slices.ContainsFunc(v.member(keyword).elements(), func(part *jsonValue) bool { return !visit(part) }) {
					return false
				}
			}
			return true
		}
		for _, v := range s.any {
			if !visit(v) {
				return
			}
		}
	}
}

// refChain yields the alternatives of a subschema and the schemas in their chains of references.
func (s subschema) refChain() iter.Seq[*jsonValue] { return s.includedSchemas(maxAlternatives + 100) }

// listedValues returns the values that the schema lists. The number of visited schemas is limited, because listedValues is called for every
// property.
func (s subschema) listedValues() []*jsonValue {
	const most = 50
	var out []*jsonValue
	for v := range s.includedSchemas(most, compositions...) {
		values := constOrEnum(v)
		out = append(out, values[:min(len(values), most-len(out))]...)
	}
	return out
}

// propertySet contains the properties of a schema and of all schemas that it includes with $ref, allOf, anyOf or oneOf.
type propertySet struct {
	names []string
	named map[string][]*jsonValue
}

// collectProperties returns the properties of a schema, and collects them only once.
func (s *Schema) collectProperties(v *jsonValue) *propertySet {
	if p := s.flat[v]; p != nil {
		return p
	}
	p := &propertySet{named: map[string][]*jsonValue{}}
	for part := range (subschema{s, []*jsonValue{v}}).includedSchemas(math.MaxInt, compositions...) {
		if all := part.member("properties"); all != nil {
			for i, name := range all.names {
				if p.named[name] == nil {
					p.names = append(p.names, name)
				}
				p.named[name] = append(p.named[name], all.list[i])
			}
		}
	}
	s.flat[v] = p
	return p
}

// propertySchema returns the schema of a property. The result is false if the schema has no such property.
func (s subschema) propertySchema(name string) (subschema, bool) {
	p := subschema{doc: s.doc}
	for _, v := range s.any {
		for _, part := range s.doc.collectProperties(v).named[name] {
			p.addAlternative(part)
		}
	}
	return p.withinLimit(), len(p.any) > 0
}

// maxAlternatives limits the alternatives of one property. Without the limit, the number of alternatives could multiply with each part of a
// dotted name, because an alternative may refer to the whole schema again.
const maxAlternatives = 100

// addAlternative adds an alternative, unless s already has the alternative.
func (s *subschema) addAlternative(v *jsonValue) {
	if len(s.any) <= maxAlternatives && !slices.Contains(s.any, v) {
		s.any = append(s.any, v)
	}
}

// withinLimit returns s, or a schema that allows everything if s has too many alternatives.
func (s subschema) withinLimit() subschema {
	if len(s.any) > maxAlternatives {
		return subschema{doc: s.doc}
	}
	return s
}

func (s subschema) propertyNames() []string {
	var names []string
	for _, v := range s.any {
		names = append(names, s.doc.collectProperties(v).names...)
	}
	return names
}

// childSchema returns the schema that a keyword such as items or additionalProperties contains.
func (s subschema) childSchema(keyword string) subschema {
	out := subschema{doc: s.doc}
	for v := range s.includedSchemas(math.MaxInt, compositions...) {
		if below := v.member(keyword); below != nil && below.raw[0] == '{' {
			out.addAlternative(below)
		}
	}
	return out.withinLimit()
}

// composingKeywords are the keywords that may allow properties that "properties" does not list.
var composingKeywords = []string{"allOf", "anyOf", "oneOf", "if", "patternProperties", "dependentSchemas", "unevaluatedProperties", "$dynamicRef"}

// forbidsUnlisted reports whether the schema forbids properties that it does not list. noKeyword is true if the schema has no keyword about
// unlisted properties.
func (s subschema) forbidsUnlisted() (forbids, noKeyword bool) {
	noKeyword = true
	for v := range s.refChain() {
		if slices.ContainsFunc(composingKeywords, func(k string) bool { return v.member(k) != nil }) {
			return false, false
		}
		if a := v.member("additionalProperties"); a != nil {
			noKeyword = false
			forbids = string(a.raw) == "false"
		}
	}
	return forbids, noKeyword
}

// unlistedIsMistake reports whether a name that the schema does not list is probably a mistake. An unlisted name is probably a mistake if
// the schema forbids unlisted names, or if the schema lists names and has no keyword about unlisted names.
func (s subschema) unlistedIsMistake() bool {
	forbids, silent := s.forbidsUnlisted()
	return forbids || silent && len(s.propertyNames()) > 0
}

// requiredNames returns the names of the required properties, each once.
func (s subschema) requiredNames() []string {
	var names []string
	seen := map[string]bool{}
	for v := range s.refChain() {
		for _, e := range v.member("required").elements() {
			if name := e.decodeString(); !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	return names
}

// keywordValue returns the value of a keyword in the schema or in a schema that it names by $ref, or nil.
func (s subschema) keywordValue(name string) *jsonValue {
	for v := range s.refChain() {
		if found := v.member(name); found != nil {
			return found
		}
	}
	return nil
}
