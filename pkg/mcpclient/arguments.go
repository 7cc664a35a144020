// This file makes the arguments of a call from single arguments, a whole object and the tool's input schema. It converts where the
// schema leaves one choice, and never guesses; JSON that the caller gave is not touched.

package mcpclient

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mcpauth/internal/httpx"
	"mcpauth/internal/jsonscan"
)

// Arguments of a call. Both kinds together merge: the single ones win.
type Arguments struct {
	Object json.RawMessage // the whole object; nil: none
	Args   []Arg
}

// Arg is one argument. Its name may be a path of names separated by dots, where the schema has no property of the whole name. Several
// of one name make an array, where the schema says array.
type Arg struct {
	Name  string
	Value string
	JSON  bool // Value is JSON and is sent as it stands; else text, converted to the one other scalar type that the schema gives, if any
}

// needSchema reports whether the arguments can be made without the tool's schema.
func (a Arguments) needSchema() bool {
	return slices.ContainsFunc(a.Args, func(x Arg) bool { return !x.JSON || strings.Contains(x.Name, ".") })
}

// build makes the arguments object. The error is an *ArgumentError.
func (a Arguments) build(t Tool, validate bool) (json.RawMessage, error) {
	b := builder{tool: t.Name, root: newSchema(t.InputSchema), validate: validate && t.InputSchema != nil}
	root, err := b.object(a.Object)
	if err != nil {
		return nil, err
	}
	if err := b.check(root); err != nil {
		return nil, err
	}
	for _, group := range grouped(a.Args) {
		if err := b.set(root, group); err != nil {
			return nil, err
		}
	}
	if err := b.required(root); err != nil {
		return nil, err
	}
	return root.raw(), nil
}

// grouped collects arguments of one name, in the order in which names appear first.
func grouped(args []Arg) [][]Arg {
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

// object is a JSON object under construction: names in order, values either raw or objects.
type object struct {
	names  []string
	values map[string]any // json.RawMessage or *object
}

func newObject(raw json.RawMessage) *object {
	o := &object{values: map[string]any{}}
	for name, v := range members(raw) {
		o.put(name, v)
	}
	return o
}

func (o *object) put(name string, v any) {
	if _, ok := o.values[name]; !ok {
		o.names = append(o.names, name)
	}
	o.values[name] = v
}

func (o *object) raw() json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, name := range o.names {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(quote(name))
		b.WriteByte(':')
		switch v := o.values[name].(type) {
		case *object:
			b.Write(v.raw())
		case json.RawMessage:
			b.Write(v)
		}
	}
	b.WriteByte('}')
	return b.Bytes()
}

// builder makes one arguments object.
type builder struct {
	tool     string
	root     schema
	validate bool
}

func (b builder) wrong(argument, format string, a ...any) *ArgumentError {
	return &ArgumentError{Tool: b.tool, Argument: argument, Reason: fmt.Sprintf(format, a...)}
}

func (b builder) object(raw json.RawMessage) (*object, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return newObject(nil), nil
	}
	if !valid(raw) || typeOf(raw) != "object" {
		return nil, b.wrong("", "the arguments are no JSON object")
	}
	return newObject(raw), nil
}

// check refuses members of the whole object that the server must refuse: a type that the schema does not allow, a name that it forbids.
// What it merely does not mention goes through; objects are often made by programs.
func (b builder) check(o *object) error {
	if !b.validate {
		return nil
	}
	for _, name := range o.names {
		p, ok := b.root.property(name)
		if !ok {
			if string(b.root.keyword("additionalProperties")) == "false" && !b.root.composed() {
				return b.unknown(name, b.root)
			}
			continue
		}
		v := o.values[name].(json.RawMessage)
		if types := p.types(); len(types) > 0 && !fits(v, types) {
			return b.wrong(name, "expected %s, got %s", strings.Join(types, " or "), httpx.Text(string(v), 60))
		}
	}
	return nil
}

// required lists the arguments that are missing. One with a default is not missed: some generators of schemas list it all the same.
func (b builder) required(o *object) error {
	if !b.validate {
		return nil
	}
	var missing []string
	for e := range elements(b.root.keyword("required")) {
		name := unquote(e)
		p, _ := b.root.property(name)
		if _, ok := o.values[name]; !ok && p.keyword("default") == nil {
			missing = append(missing, name)
		}
	}
	switch len(missing) {
	case 0:
		return nil
	case 1:
		return b.wrong(missing[0], "a required argument is missing")
	}
	return b.wrong(strings.Join(missing, ", "), "required arguments are missing")
}

// set puts the arguments of one name in their place.
func (b builder) set(root *object, group []Arg) error {
	name := group[0].Name
	path, s, err := b.path(name)
	if err != nil {
		return err
	}
	v, err := b.value(s, group)
	if err != nil {
		return err
	}
	o := root
	for i, part := range path[:len(path)-1] {
		switch inner := o.values[part].(type) {
		case *object:
			o = inner
			continue
		case json.RawMessage:
			if typeOf(inner) != "object" {
				return b.wrong(name, "%q is given as %s, which holds no names", strings.Join(path[:i+1], "."), httpx.Text(string(inner), 60))
			}
			o.put(part, newObject(inner))
		default:
			o.put(part, newObject(nil))
		}
		o = o.values[part].(*object)
	}
	last := path[len(path)-1]
	if _, ok := o.values[last].(*object); ok && typeOf(v) != "object" {
		return b.wrong(name, "it is given as a value and by names below it")
	}
	o.put(last, v)
	return nil
}

// path takes a name apart: at each level the longest part that the schema has as a property, else what stands before the first dot.
func (b builder) path(name string) ([]string, schema, error) {
	var path []string
	s, rest := b.root, name
	for {
		part, known := rest, false
		p, ok := s.property(rest)
		for end := len(rest); !ok && end > 0; {
			if end = strings.LastIndexByte(rest[:end], '.'); end > 0 {
				part = rest[:end]
				p, ok = s.property(part)
			}
		}
		if known = ok; !known {
			part, _, _ = strings.Cut(rest, ".")
			p = s.additional()
			if part == "" {
				return nil, s, b.wrong(name, "a part of the name is empty")
			}
			if b.validate && s.closed() {
				return nil, s, b.unknown(strings.Join(append(path, rest), "."), s, path...)
			}
		}
		path = append(path, part)
		if len(part) == len(rest) {
			return path, p, nil
		}
		s, rest = p, rest[len(part)+1:]
		if rest == "" {
			return nil, s, b.wrong(name, "a part of the name is empty")
		}
	}
}

// additional is the schema of properties that have none of their own.
func (s schema) additional() schema {
	if raw := s.keyword("additionalProperties"); typeOf(raw) == "object" {
		return s.sub(raw)
	}
	return schema{}
}

// closed reports whether a name that the schema does not list is likely a mistake: it forbids others, or lists some and says nothing.
func (s schema) closed() bool {
	if s.composed() {
		return false
	}
	switch a := s.keyword("additionalProperties"); {
	case a == nil:
		return len(s.names()) > 0
	default:
		return string(a) == "false"
	}
}

func (b builder) unknown(name string, s schema, path ...string) *ArgumentError {
	e := b.wrong(name, "the tool has no such argument")
	last := name
	prefix := strings.Join(path, ".")
	if prefix != "" {
		prefix += "."
		last = strings.TrimPrefix(name, prefix)
	}
	if near := nearest(last, s.names()); near != "" {
		e.Nearest = prefix + near
	}
	return e
}

// value makes the value of the arguments of one name.
func (b builder) value(s schema, group []Arg) (json.RawMessage, error) {
	types := s.types()
	array := slices.Contains(types, "array")
	if len(group) == 1 && (group[0].JSON || !array || len(types) > 1) {
		return b.one(s, group[0])
	}
	if !array {
		return nil, b.wrong(group[0].Name, "it is given %d times, and the tool's schema does not call it an array", len(group))
	}
	items := s.items()
	var out bytes.Buffer
	for i, a := range group {
		v, err := b.one(items, a)
		if err != nil {
			return nil, err
		}
		out.WriteByte("[,"[min(i, 1)])
		out.Write(v)
	}
	out.WriteByte(']')
	return out.Bytes(), nil
}

// items is the schema of an array's elements, also where the array is one of several choices.
func (s schema) items() schema {
	if raw := s.keyword("items"); raw != nil {
		return s.sub(raw)
	}
	for _, keyword := range []string{"anyOf", "oneOf", "allOf"} {
		for _, p := range s.all(keyword) {
			if raw := p.keyword("items"); raw != nil {
				return p.sub(raw)
			}
		}
	}
	return schema{}
}

// one converts a single argument.
func (b builder) one(s schema, a Arg) (json.RawMessage, error) {
	types := s.types()
	if a.JSON {
		v := json.RawMessage(strings.TrimSpace(a.Value))
		switch {
		case !valid(v):
			return nil, b.wrong(a.Name, "its value is not JSON")
		case b.validate && len(types) > 0 && !fits(v, types):
			return nil, b.wrong(a.Name, "expected %s, got %s", strings.Join(types, " or "), httpx.Text(a.Value, 60))
		}
		return v, nil
	}
	v, err := convert(a.Value, types)
	switch {
	case err != nil && b.validate:
		return nil, b.wrong(a.Name, "%v, got %q", err, httpx.Text(a.Value, 60))
	case err != nil:
		return quote(a.Value), nil
	case b.validate && !s.allows(v):
		e := b.wrong(a.Name, "%q is not one of %s", httpx.Text(a.Value, 60), s.choices())
		e.Nearest = nearest(a.Value, s.words())
		return nil, e
	}
	return v, nil
}

// convert makes JSON of text: by the one scalar type there is, else text.
func convert(text string, types []string) (json.RawMessage, error) {
	number := jsonscan.Number([]byte(text)) == len(text)
	switch t := scalar(types); t {
	case "integer":
		if !number || !isInteger([]byte(text)) {
			return nil, errors.New("expected integer")
		}
		return json.RawMessage(text), nil
	case "number":
		if !number {
			return nil, errors.New("expected number")
		}
		return json.RawMessage(text), nil
	case "boolean":
		if text != "true" && text != "false" {
			return nil, errors.New("expected true or false")
		}
		return json.RawMessage(text), nil
	}
	if len(types) > 0 && !slices.ContainsFunc(types, func(t string) bool { return t != "object" && t != "array" }) {
		return nil, errors.New("expected " + strings.Join(types, " or ") + " (write it as JSON)")
	}
	return quote(text), nil
}

// allows reports whether a value is among those that the schema lists, where it lists any.
func (s schema) allows(v json.RawMessage) bool {
	values := slices.Collect(elements(s.keyword("enum")))
	return len(values) == 0 || slices.ContainsFunc(values, func(e json.RawMessage) bool {
		return string(e) == string(v) || typeOf(v) == "string" && typeOf(e) == "string" && unquote(e) == unquote(v) || typeOf(v) != "string" && typeOf(v) == typeOf(e) && typeOf(v) != "boolean"
	})
}

// words are the texts among the values that the schema lists.
func (s schema) words() []string {
	var out []string
	for e := range elements(s.keyword("enum")) {
		if typeOf(e) == "string" {
			out = append(out, unquote(e))
		}
	}
	return out
}

func (s schema) choices() string {
	var out []string
	for e := range elements(s.keyword("enum")) {
		out = append(out, string(e))
	}
	return httpx.Text(strings.Join(out, ", "), 200)
}
