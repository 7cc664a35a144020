package toolargs

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// For every schema and every argument, Build returns one JSON object that contains the values given as JSON, or an *Error.
func FuzzArguments(f *testing.F) {
	f.Add(`{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"array","items":{"type":"string"}}},"required":["a"]}`, `{"x":1}`, "a", "1", false)
	f.Add(`{"$ref":"#/$defs/x","$defs":{"x":{"$ref":"#/$defs/x"}}}`, "", "a.b.c", "[1]", true)
	f.Add(`{"anyOf":[{"properties":{"a":{"const":1}}}],"additionalProperties":false}`, `{"a":{"b":1}}`, "a.b", "x", false)
	f.Fuzz(func(t *testing.T, schema, object, name, value string, asJSON bool) {
		if !json.Valid([]byte(schema)) {
			return // the client refuses a list of tools that is not valid JSON, so Parse never receives such a schema
		}
		args := Arguments{Object: json.RawMessage(object), Args: []Arg{{Name: name, Value: value, JSON: asJSON}}}
		for _, validate := range []bool{true, false} {
			got, err := args.Build(Parse(json.RawMessage(schema)), validate)
			var wrong *Error
			if err != nil && !errors.As(err, &wrong) {
				t.Fatalf("an error of another type: %v", err)
			}
			if err == nil && (!json.Valid(got) || !strings.HasPrefix(string(got), "{")) {
				t.Errorf("%q %q %q=%q: %q", schema, object, name, value, got)
			}
		}
	})
}
