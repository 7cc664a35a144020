package toolargs

import "encoding/json"

// Property describes one argument of a tool.
type Property struct {
	Name        string
	Required    bool
	Types       string // "integer", "string or null"; "any" if the schema does not restrict the type
	JSON        bool   // the argument must be given as JSON, because text is not converted to its type
	Description string // at most the first two kilobytes
	Default     json.RawMessage
	Enum        []json.RawMessage // at most the first fifty values
}

// Properties lists the arguments of a tool, required ones first, in the order of the schema.
func (s *Schema) Properties() []Property {
	top := s.top()
	var required, optional []Property
	needed, descriptions := map[string]bool{}, map[*jsonValue]string{}
	for _, name := range top.requiredNames() {
		needed[name] = true
	}
	for _, name := range top.propertyNames() {
		p, _ := top.propertySchema(name)
		k := p.allowedKinds()
		d := p.keywordValue("description")
		if _, ok := descriptions[d]; !ok { // many properties may refer to the same description
			descriptions[d] = d.stringPrefix()
		}
		out := Property{Name: name, Required: needed[name], Types: k.String(), JSON: k == anything || k&scalar == 0 || k&scalar == boolean|integer,
			Description: descriptions[d]}
		if d := p.keywordValue("default"); d != nil {
			out.Default = d.printable()
		}
		for _, e := range p.listedValues() {
			out.Enum = append(out.Enum, e.printable())
		}
		if out.Required {
			required = append(required, out)
		} else {
			optional = append(optional, out)
		}
	}
	return append(required, optional...)
}
