// Package toolargs converts words of a command line to the arguments that the input schema of a tool describes. Text is converted only if
// the schema allows exactly one type. JSON that the caller gave is never changed. The package reads no files and sends no requests.
package toolargs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"mcpauth/internal/jsonscan"
)

// Arguments of a call. If both Object and Args are set, they are merged, and Args take precedence.
type Arguments struct {
	Object  json.RawMessage // the whole object; nil: none
	Args    []Arg
	Private bool // true: errors do not quote the values of Object, for example because they come from a file
}

// Arg is one argument. If the schema has no property with the whole name, dots in the name separate the names of nested members. Several
// arguments with the same name become an array if the schema allows an array.
type Arg struct {
	Name    string
	Value   string
	JSON    bool // true: Value is JSON and is sent unchanged; false: Value is text and is converted if the schema requires another scalar type
	Private bool // true: errors do not quote Value
}

// Error reports an invalid argument. Its texts quote the server's schema, and are not safe to print.
type Error struct {
	Argument     string // name of the argument; several names are joined by ", "; empty: the error is about the whole object
	Reason       string // quotes text of the caller, and in Fill also the default of a property
	Listed       string // the values that the schema allows, as JSON separated by ", "; the end of the sentence that Reason begins; may be empty
	Nearest      string // a known name that is similar to the given one; may be empty
	NearestValue string // an allowed text that is similar to the given one; may be empty
}

func (e *Error) Error() string { return strings.TrimPrefix(e.Argument+": "+e.Reason+e.Listed, ": ") }

// NeedSchema reports whether Build needs the tool's schema for these arguments.
func (a Arguments) NeedSchema() bool {
	return slices.ContainsFunc(a.Args, func(x Arg) bool { return !x.JSON || strings.Contains(x.Name, ".") })
}

// Build returns the arguments object. If validate is set, Build refuses arguments that the schema does not allow. The error is an *Error.
func (a Arguments) Build(s *Schema, validate bool) (json.RawMessage, error) {
	b := objectBuilder{root: s.top(), validate: validate && s != nil}
	whole := bytes.TrimSpace(a.Object)
	if len(whole) == 0 {
		whole = []byte("{}")
	}
	root := parseObject(whole)
	if root == nil {
		return nil, wrong("", "the arguments are not a JSON object")
	}
	if err := b.checkObject(root, a.Private); err != nil {
		return nil, err
	}
	for _, group := range groupByName(a.Args) {
		if err := b.setArgument(root, group); err != nil {
			return nil, err
		}
	}
	if err := b.checkRequired(root); err != nil {
		return nil, err
	}
	if len(a.Args) == 0 {
		return whole, nil
	}
	return root.encode(), nil
}

// maxDefaults limits the defaults in the result of Fill, in bytes, because many properties may refer to the same large default.
const maxDefaults = 1 << 20

// Fill returns an object with a value for each property of the schema: the member of values, or else the default. Fill omits a property
// that has neither a value nor a default. Fill returns an error if a required property has no value, if the schema does not allow a value,
// or if the defaults are too large.
func (s *Schema) Fill(values json.RawMessage) (json.RawMessage, error) {
	top, given, out := s.top(), parse(values, 1), &jsonValue{}
	size := 0 // of the defaults
	for _, name := range top.propertyNames() {
		p, _ := top.propertySchema(name)
		v := given.member(name)
		if v == nil {
			v = p.keywordValue("default")
			if v == nil {
				continue
			}
			if size += len(v.raw); size > maxDefaults {
				return nil, wrong("", "the defaults have more than %d bytes", maxDefaults)
			}
		}
		if err := (objectBuilder{validate: true}).checkValue(name, p, v.raw, true); err != nil {
			return nil, err
		}
		out.put(name, v)
	}
	for _, name := range top.requiredNames() {
		if out.member(name) == nil {
			return nil, wrong(name, "it is required but has no value")
		}
	}
	return out.encode(), nil
}

// groupByName collects arguments with the same name, in the order in which the names first appear.
func groupByName(args []Arg) [][]Arg {
	var out [][]Arg
	at := map[string]int{}
	for _, a := range args {
		i, ok := at[a.Name]
		if !ok {
			i = len(out)
			at[a.Name], out = i, append(out, nil)
		}
		out[i] = append(out[i], a)
	}
	return out
}

// objectBuilder builds one arguments object.
type objectBuilder struct {
	root     subschema
	validate bool
}

func wrong(argument, format string, a ...any) *Error {
	return &Error{Argument: argument, Reason: fmt.Sprintf(format, a...)}
}

// checkObject refuses a member of the whole object if the schema does not allow its value or forbids its name. Names that the schema does
// not list are accepted, because schemas are often incomplete.
func (b objectBuilder) checkObject(o *jsonValue, private bool) error {
	if !b.validate {
		return nil
	}
	forbids, _ := b.root.forbidsUnlisted()
	for i, name := range o.names {
		p, ok := b.root.propertySchema(name)
		switch {
		case ok:
			if err := b.checkValue(name, p, o.list[i].raw, private); err != nil {
				return err
			}
		case forbids:
			return unknownArgument(nil, name, b.root)
		}
	}
	return nil
}

// checkRequired refuses a call that lacks required arguments. A required argument with a default may be missing, because some schema
// generators list such arguments as required.
func (b objectBuilder) checkRequired(o *jsonValue) error {
	if !b.validate {
		return nil
	}
	missing := map[string]bool{}
	for _, name := range b.root.requiredNames() {
		if p, _ := b.root.propertySchema(name); o.member(name) == nil && p.keywordValue("default") == nil {
			missing[name] = true
		}
	}
	names := slices.Sorted(maps.Keys(missing))
	switch len(names) {
	case 0:
		return nil
	case 1:
		return wrong(names[0], "a required argument is missing")
	}
	return wrong(strings.Join(names, ", "), "required arguments are missing")
}

// checkValue refuses a value that the schema does not allow. checkValue always accepts null, because servers take null for "not given".
func (b objectBuilder) checkValue(name string, s subschema, raw json.RawMessage, private bool) error {
	k := s.allowedKinds()
	switch kind := kindOf(raw); {
	case !b.validate || kind == null:
		return nil
	case kind&k == 0:
		return wrong(name, "expected %s, got %s", k&^null, shown(raw, private))
	case kind&scalar == 0 || s.allowsValue(&jsonValue{raw: raw}):
		return nil
	}
	var texts, names []string
	for _, e := range s.listedValues() {
		texts = append(texts, string(e.printable()))
		if kindOf(e.raw) == text {
			names = append(names, e.decodeString())
		}
	}
	if len(texts) == 0 {
		return nil // parts of the schema contradict each other
	}
	e := wrong(name, "%s is not one of ", shown(raw, private))
	e.Listed = strings.Join(texts, ", ")
	e.NearestValue = NearestOne((&jsonValue{raw: raw}).decodeString(), names)
	return e
}

// setArgument adds a member to the object. group contains the arguments with the member's name. Dots in the name separate nested members.
func (b objectBuilder) setArgument(root *jsonValue, group []Arg) error {
	name := group[0].Name
	path, s, err := b.splitName(name)
	if err != nil {
		return err
	}
	v, err := b.propertyValue(s, group)
	if err != nil {
		return err
	}
	o := root
	for i, part := range path[:len(path)-1] {
		inner := o.member(part)
		if inner == nil {
			inner = &jsonValue{}
		} else if inner.raw != nil {
			given := shown(inner.raw, true)
			if inner = parseObject(inner.raw); inner == nil {
				return wrong(name, "%q is given as %s, which has no members", strings.Join(path[:i+1], "."), given)
			}
		}
		o.put(part, inner)
		o = inner
	}
	last := path[len(path)-1]
	if old := o.member(last); old != nil && old.raw == nil && kindOf(v) != object {
		return wrong(name, "it is given both as a value and by its members")
	}
	o.put(last, &jsonValue{raw: v})
	return nil
}

// splitName splits a name into the names of nested members. At each level, splitName takes the longest prefix that is a property in the
// schema, or else the text before the first dot.
func (b objectBuilder) splitName(name string) ([]string, subschema, error) {
	var path []string
	for s, rest := b.root, name; ; {
		part, p, known := longestProperty(s, rest)
		switch {
		case known:
		case b.validate && s.unlistedIsMistake():
			return nil, s, unknownArgument(path, rest, s)
		default:
			p = s.childSchema("additionalProperties")
			if p.allowedKinds()&object != 0 {
				part, _, _ = strings.Cut(rest, ".")
			}
		}
		if part == "" || rest[len(part):] == "." {
			return nil, s, wrong(name, "a part of the name is empty")
		}
		path = append(path, part)
		if len(part) == len(rest) {
			return path, p, nil
		}
		if k := p.allowedKinds(); k&object == 0 {
			above := strings.Join(path, ".")
			return nil, s, wrong(name, "%q is of type %s, which has no members: write it as JSON, %s:=…", above, k&^null, above)
		}
		s, rest = p, rest[len(part)+1:]
	}
}

// longestProperty returns the longest prefix of a name that is the name of a property. The prefix ends at a dot or at the end of the name.
// If no prefix is a property, longestProperty returns the whole name.
func longestProperty(s subschema, name string) (part string, p subschema, known bool) {
	for end := len(name); end > 0; end = strings.LastIndexByte(name[:end], '.') {
		if p, known := s.propertySchema(name[:end]); known {
			return name[:end], p, true
		}
	}
	return name, p, false
}

// unknownArgument returns the error for a name that is not a property of the schema s, which describes the member at path.
func unknownArgument(path []string, name string, s subschema) *Error {
	prefix := strings.Join(append(path, ""), ".")
	e := wrong(prefix+name, "the tool has no such argument")
	if near := NearestOne(name, s.propertyNames()); near != "" {
		e.Nearest = prefix + near
	}
	return e
}

// propertyValue returns the JSON value of one property. group contains the arguments with the property's name.
func (b objectBuilder) propertyValue(s subschema, group []Arg) (json.RawMessage, error) {
	k, name := s.allowedKinds(), group[0].Name
	switch {
	case len(group) == 1 && (group[0].JSON || k&^null != array):
		return b.singleValue(s, group[0])
	case k == anything || k&array == 0:
		return nil, wrong(name, "it is given %d times, but it is not an array in the tool's schema", len(group))
	}
	items := s.childSchema("items")
	var out bytes.Buffer
	for i, a := range group {
		if !a.JSON && (strings.HasPrefix(a.Value, "[") || a.Value == "null" && k&null != 0) {
			return nil, wrong(name, "%s could be JSON or text: write it as JSON, %s:=…", shown([]byte(a.Value), a.Private), name)
		}
		v, err := b.singleValue(items, a)
		if err != nil {
			return nil, err
		}
		out.WriteByte("[,"[min(i, 1)])
		out.Write(v)
	}
	out.WriteByte(']')
	return out.Bytes(), nil
}

// singleValue converts a single argument.
func (b objectBuilder) singleValue(s subschema, a Arg) (json.RawMessage, error) {
	if a.JSON {
		v := json.RawMessage(strings.TrimSpace(a.Value))
		if !jsonscan.Valid(v) {
			return nil, wrong(a.Name, "its value is not JSON")
		}
		return v, b.checkValue(a.Name, s, v, a.Private)
	}
	v, reason := convertText(a.Value, s)
	switch {
	case reason == "" || !b.validate:
		return v, b.checkValue(a.Name, s, v, a.Private)
	case a.Private:
		return nil, wrong(a.Name, "%s, got another text", reason)
	}
	return nil, wrong(a.Name, "%s, got %q", reason, shorten(a.Value))
}

// shown returns the beginning of a value for an error or, if the value is private, its type.
func shown(raw json.RawMessage, private bool) string {
	if private {
		return "a value of type " + jsonscan.Type(raw)
	}
	return shorten(string(raw))
}

// convertText converts text to JSON. If the schema allows only one scalar type, and that type is not string, convertText returns a value of
// that type. For every other schema, convertText returns a string. As an exception, the word null becomes the JSON value null if the schema
// allows null but not the string "null". If the text does not fit the type, convertText returns a string and a reason.
func convertText(word string, s subschema) (v json.RawMessage, reason string) {
	k := s.allowedKinds()
	if word == "null" && k&null != 0 && (k&text == 0 || !s.allowsValue(&jsonValue{raw: jsonscan.Quote(word)})) {
		return json.RawMessage(word), ""
	}
	fits, reason := false, "expected "+(k&^null).String()
	switch k & scalar {
	case boolean:
		fits, reason = word == "true" || word == "false", "expected true or false"
	case integer:
		fits = isNumber(word) && jsonscan.Integer([]byte(word))
	case number, fraction:
		fits = isNumber(word)
	default:
		if k&text != 0 {
			return jsonscan.Quote(word), ""
		}
		reason += " (write it as JSON)"
	}
	if fits {
		return json.RawMessage(word), ""
	}
	return jsonscan.Quote(word), reason
}
