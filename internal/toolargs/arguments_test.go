package toolargs

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// built calls Build with arguments in the form name=text or name:=JSON. It returns the object, or "wrong: " with the error and the nearest
// name.
func built(schema, whole, args string, validate bool) string {
	a := Arguments{Object: json.RawMessage(whole)}
	for word := range strings.FieldsSeq(args) {
		name, value, _ := strings.Cut(word, "=")
		name, isJSON := strings.CutSuffix(name, ":")
		a.Args = append(a.Args, Arg{Name: name, Value: value, JSON: isJSON})
	}
	got, err := a.Build(Parse(json.RawMessage(schema)), validate)
	var wrong *Error
	switch {
	case errors.As(err, &wrong):
		return strings.TrimSuffix("wrong: "+wrong.Argument+": "+wrong.Reason+wrong.Listed+"; "+wrong.Nearest+wrong.NearestValue, "; ")
	case err != nil:
		return err.Error()
	}
	return string(got)
}

// Build converts single arguments to JSON by the schema. An expected result that begins with "wrong:" stands for an *Error that Build must
// return.
func TestArguments(t *testing.T) {
	const plain = `{"properties":{"s":{"type":"string"},"i":{"type":"integer"},"n":{"type":"number"},"b":{"type":"boolean"},"any":{},
		"list":{"type":"array","items":{"type":"integer"}},"o":{"type":"object","properties":{"deep":{"properties":{"x":{"type":"integer"}}},"y":{"type":"integer"}}},
		"a.b":{"type":"integer"},"ni":{"type":["integer","null"]},"is":{"type":["integer","string"]},"il":{"anyOf":[{"type":"integer"},{"type":"array","items":{"type":"integer"}}]},
		"size":{"enum":["small","large"]},"num":{"enum":[1,2]},"k":{"const":7},"ref":{"$ref":"#/$defs/int"},"lost":{"$ref":"https://example.com/x"}},"$defs":{"int":{"type":"integer"}}}`
	for _, tt := range []struct {
		name, schema, object string
		args                 string // blanks between them
		want                 string
	}{
		{"text stays text", plain, "", "s=5 any=true", `{"s":"5","any":"true"}`},
		{"by the one scalar type", plain, "", "i=5 n=1.50 b=true", `{"i":5,"n":1.50,"b":true}`},
		{"large numbers are not touched", plain, "", "i=123456789012345678901234567890 n=1e400", `{"i":123456789012345678901234567890,"n":1e400}`},
		{"a whole number with a fraction of zeros", plain, "", "i=5.0", `{"i":5.0}`},
		{"null is no type of its own", plain, "", "ni=5", `{"ni":5}`},
		{"two scalar types: text", plain, "", "is=5", `{"is":"5"}`},
		{"a scalar or an array: the scalar", plain, "", "il=5", `{"il":5}`},
		{"by reference", plain, "", "ref=5", `{"ref":5}`},
		{"a reference elsewhere says nothing", plain, "", "lost=5", `{"lost":"5"}`},
		{"by the constant", plain, "", "k=7", `{"k":7}`},
		{"by the enumeration", plain, "", "size=large num=2", `{"size":"large","num":2}`},
		{"no integer", plain, "", "i=five", `wrong: i: expected integer, got "five"`},
		{"a fraction", plain, "", "i=1.5", `wrong: i: expected integer, got "1.5"`},
		{"no leading zeros, plus, hexadecimal", plain, "", "i=007", `wrong: i: expected integer`},
		{"empty", plain, "", "i=", `wrong: i: expected integer, got ""`},
		{"no number", plain, "", "n=NaN", `wrong: n: expected number`},
		{"no boolean", plain, "", "b=yes", `wrong: b: expected true or false, got "yes"`},
		{"not listed", plain, "", "size=big", `wrong: size: "big" is not one of "small", "large"`},
		{"letters in escapes", `{"properties":{"a":{"enum":["gr\u00fcn","\u0061\u200bb","a\nb"]}}}`, "", "a=rot", `wrong: a: "rot" is not one of "grün", "\u0061\u200bb", "a\nb"`},
		{"an object as text", plain, "", "o=x", `wrong: o: expected object (write it as JSON)`},

		{"one element", plain, "", "list=1", `{"list":[1]}`},
		{"elements by repetition", plain, "", "list=1 s=x list=2", `{"list":[1,2],"s":"x"}`},
		{"a wrong element", plain, "", "list=1 list=x", `wrong: list: expected integer, got "x"`},
		{"repetition where no array is", plain, "", "s=1 s=2", `wrong: s: it is given 2 times`},
		{"an array or a scalar by repetition", plain, "", "il=1 il=2", `{"il":[1,2]}`},
		{"JSON where text is expected is not taken for one element", plain, "", `list=[1,2]`, `wrong: list: [1,2] could be JSON or text: write it as JSON, list:=…`},
		{"also if the elements are strings", `{"properties":{"tags":{"type":"array","items":{"type":"string"}}}}`, "", `tags=["a","b"]`, `wrong: tags: ["a","b"] could be JSON or text`},
		{"an array as JSON", plain, "", "list:=[1,2]", `{"list":[1,2]}`},

		{"nested", plain, "", "o.y=1 o.deep.x=2", `{"o":{"y":1,"deep":{"x":2}}}`},
		{"a property with a dot", plain, "", "a.b=1", `{"a.b":1}`},
		{"nested, wrong", plain, "", "o.deep.x=two", `wrong: o.deep.x: expected integer`},
		{"nested, unknown", plain, "", "o.deep.z=2", `wrong: o.deep.z: the tool has no such argument`},
		{"below a value", plain, "", "o:=1 o.y=2", `wrong: o: expected object, got 1`},
		{"a value above names", plain, "", "o.y=2 o:=null", `wrong: o: it is given both as a value and by its members`},
		{"below an integer", plain, "", "i.max=5", `wrong: i.max: "i" is of type integer, which has no members: write it as JSON, i:=…`},
		{"below an array", plain, "", "list.0.name=x", `wrong: list.0.name: "list" is of type array, which has no members`},
		{"below an object or null", `{"properties":{"o":{"type":["object","null"]}}}`, "", "o.x=1", `{"o":{"x":"1"}}`},
		{"a map of strings has names with dots", `{"properties":{"labels":{"additionalProperties":{"type":"string"}}}}`, "", "labels.k8s.io/name=x", `{"labels":{"k8s.io/name":"x"}}`},
		{"an empty part", plain, "", "o..y=1", `wrong: o..y: `},

		{"JSON as it stands", plain, "", `any:={"b":1.0,"a":[]}`, `{"any":{"b":1.0,"a":[]}}`},
		{"JSON of another type", plain, "", "i:=\"5\"", `wrong: i: expected integer, got "5"`},
		{"null fits everywhere", plain, "", "i:=null", `{"i":null}`},
		{"null for a nullable number", plain, "", "ni=null", `{"ni":null}`},
		{"null if an enumeration lists it", `{"properties":{"e":{"enum":["a",null]},"n":{"enum":[1,null]}}}`, "", "e=null n=null", `{"e":null,"n":null}`},
		{"null if nothing else is allowed", `{"properties":{"e":{"type":"null"},"c":{"const":null}}}`, "", "e=null c=null", `{"e":null,"c":null}`},
		{"the word null for a nullable string", `{"properties":{"s":{"type":["string","null"]}}}`, "", "s=null", `{"s":"null"}`},
		{"the word null for an array", `{"properties":{"a":{"type":["array","null"]}}}`, "", "a=null", `wrong: a: null could be JSON or text`},
		{"JSON that is not listed", plain, "", `size:="big"`, `wrong: size: "big" is not one of "small", "large"`},
		{"a number that is not listed", plain, "", `num=3`, `wrong: num: 3 is not one of 1, 2`},
		{"a number that is listed in another form", plain, "", `num=2.0`, `{"num":2.0}`},
		{"an optional enumeration", `{"properties":{"e":{"anyOf":[{"enum":["a","b"]},{"type":"null"}]}}}`, "", "e=c", `wrong: e: "c" is not one of "a", "b"`},
		{"no JSON", plain, "", "i:={", `wrong: i: its value is not JSON`},

		{"single ones win", plain, `{"i": 1, "s": "x"}`, "i=2", `{"i":2,"s":"x"}`},
		{"into the object", plain, `{"o": {"y": 1}}`, "o.deep.x=2", `{"o":{"y":1,"deep":{"x":2}}}`},
		{"the object's types", plain, `{"i": "x"}`, "", `wrong: i: expected integer, got "x"`},
		{"the object may say more", plain, `{"other": 1}`, "", `{"other": 1}`},
		{"unless it is forbidden", `{"properties":{"limit":{}},"additionalProperties":false}`, `{"limti": 1}`, "", `wrong: limti: the tool has no such argument; limit`},
		{"no object", plain, `[1]`, "", `wrong: : the arguments are not a JSON object`},

		{"unknown", plain, "", "siez=large", `wrong: siez: the tool has no such argument; size`},
		{"what a schema allows beside its properties", `{"properties":{"a":{}},"additionalProperties":{"type":"integer"}}`, "", "b=1", `{"b":1}`},
		{"a composed schema is not closed", `{"properties":{"a":{}},"allOf":[{"properties":{"b":{"type":"integer"}}}]}`, "", "b=1 c=2", `{"b":1,"c":"2"}`},
		{"no schema", `{}`, "", "a=1 b:=2", `{"a":"1","b":2}`},
		{"alternatives that disagree: text", `{"oneOf":[{"properties":{"v":{"type":"integer"}}},{"properties":{"v":{"type":"string"}}}]}`, "", "v=5", `{"v":"5"}`},
		{"alternatives that agree", `{"oneOf":[{"properties":{"v":{"type":"integer"}}},{"properties":{"w":{"type":"string"}}}]}`, "", "v=5", `{"v":5}`},
		{"two types, neither of them string", `{"properties":{"v":{"type":["integer","boolean"]}}}`, "", "v=5", `wrong: v: expected boolean or integer (write it as JSON)`},
		{"all of several schemas", `{"properties":{"v":{"allOf":[{"type":["integer","string"]},{"type":["integer","boolean"]}]}}}`, "", "v=5", `{"v":5}`},
		{"a contradiction is left to the server", `{"properties":{"v":{"allOf":[{"type":"integer"},{"type":"string"}]}}}`, "", "v=5", `{"v":"5"}`},
		{"a reference into a list, encoded", `{"properties":{"v":{"$ref":"#/$defs/A%3CB%3E/anyOf/0"}},"$defs":{"A<B>":{"anyOf":[{"type":"integer"}]}}}`, "", "v=5", `{"v":5}`},
		{"a default beside a reference", `{"properties":{"v":{"$ref":"#/$defs/a","default":1}},"required":["v"],"$defs":{"a":{}}}`, "", "", `{}`},
		{"missing", `{"properties":{"a":{},"b":{},"c":{"default":1}},"required":["a","b","c"]}`, "", "", `wrong: a, b: required arguments are missing`},
		{"one is missing", `{"properties":{"a":{},"b":{}},"required":["a","b"]}`, "", "b=x", `wrong: a: a required argument is missing`},
		{"a schema that refers to itself", `{"$ref":"#/$defs/x","$defs":{"x":{"$ref":"#/$defs/x"}}}`, "", "a=1", `{"a":"1"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := built(tt.schema, tt.object, tt.args, true)
			if reason, wrong := strings.CutPrefix(tt.want, "wrong: "); wrong && strings.HasPrefix(got, "wrong: ") && strings.Contains(got, reason) {
				return
			}
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// Without validation Build refuses nothing, but still converts text by the schema.
func TestArgumentsUnchecked(t *testing.T) {
	const schema = `{"properties":{"i":{"type":"integer"},"size":{"enum":["small"]}},"required":["i"],"additionalProperties":false}`
	for args, want := range map[string]string{
		"":           `{}`,
		"i=5":        `{"i":5}`,
		"i=five":     `{"i":"five"}`,
		"size=large": `{"size":"large"}`,
		"other.x=1":  `{"other":{"x":"1"}}`,
		"i.x=1":      `wrong: i.x: "i" is of type integer, which has no members: write it as JSON, i:=…`,
		"i:={":       `wrong: i: its value is not JSON`,
	} {
		if got := built(schema, "", args, false); got != want {
			t.Errorf("%s: got %s, expected %s", args, got, want)
		}
	}
}

// Errors do not quote private values, such as the content of a file.
func TestPrivateArguments(t *testing.T) {
	const schema = `{"properties":{"i":{"type":"integer"},"size":{"enum":["small"]},"list":{"type":"array","items":{"type":"integer"}},"o":{"type":"object"}}}`
	s := Parse(json.RawMessage(schema))
	for object, want := range map[string]string{
		`{"i":"canary"}`:            "i: expected integer, got a value of type string",
		`{"i":{"canary":"canary"}}`: "i: expected integer, got a value of type object",
		`{"size":"canary"}`:         `size: a value of type string is not one of "small"`,
	} {
		if _, err := (Arguments{Object: json.RawMessage(object), Private: true}).Build(s, true); err == nil || err.Error() != want {
			t.Errorf("%s: %v", object, err)
		}
	}
	for _, tt := range []struct {
		args []Arg
		want string
	}{
		{[]Arg{{Name: "i", Value: "canary", Private: true}}, "i: expected integer, got another text"},
		{[]Arg{{Name: "i", Value: `"canary"`, JSON: true, Private: true}}, "i: expected integer, got a value of type string"},
		{[]Arg{{Name: "size", Value: "canary", Private: true}}, `size: a value of type string is not one of "small"`},
		{[]Arg{{Name: "list", Value: "[canary", Private: true}}, "list: a value of type array could be JSON or text: write it as JSON, list:=…"},
		{[]Arg{{Name: "o", Value: `"canary"`, JSON: true, Private: true}, {Name: "o.x", Value: "1"}}, `o.x: "o" is given as a value of type string, which has no members`},
	} {
		if _, err := (Arguments{Args: tt.args}).Build(s, tt.args[0].Name != "o"); err == nil || err.Error() != tt.want {
			t.Errorf("%+v: %v", tt.args, err)
		}
	}
}

// hostile returns schemas whose evaluation would take exponential or quadratic time without the caches. Some schemas have recursion in
// several alternatives. Others have long chains of references, or wide unions to which many properties refer.
func hostile() map[string]string {
	var wide, chain, properties, whole, named strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&named, `"p%d":{"$ref":"#/$defs/list","default":"x"},`, i)
		fmt.Fprint(&whole, `{"properties":{"filter":{"$ref":"#"}}},`)
		fmt.Fprintf(&wide, `{"$ref":"#/$defs/f"},`)
		fmt.Fprintf(&chain, `"c%d":{"$ref":"#/$defs/c%d"},`, i, i+1)
		fmt.Fprintf(&properties, `"p%d":{"$ref":"#/$defs/wide"},`, i)
	}
	const filter = `"f":{"type":"object","anyOf":[{"properties":{"and":{"type":"array","items":{"$ref":"#/$defs/f"}}}},{"$ref":"#/$defs/f"},{"allOf":[{"$ref":"#/$defs/f"},{"$ref":"#/$defs/g"}]}]},
		"g":{"oneOf":[{"$ref":"#/$defs/f"},{"$ref":"#/$defs/g"},{"anyOf":[{"$ref":"#/$defs/f"},{"$ref":"#/$defs/g"}]}]}`
	return map[string]string{
		"a filter of and, or, not": `{"$ref":"#/$defs/f","$defs":{` + filter + `}}`,
		"a property of a filter":   `{"properties":{"filter":{"$ref":"#/$defs/f"}},"$defs":{` + filter + `}}`,
		"a wide union":             `{"properties":{"filter":{"$ref":"#/$defs/wide"},` + properties.String() + `"z":{}},"$defs":{"wide":{"anyOf":[` + wide.String() + `{}]},` + filter + `}}`,
		"a chain of references":    `{"properties":{"filter":{"$ref":"#/$defs/c0"}},"$defs":{` + chain.String() + `"c20000":{"$ref":"#/$defs/f"},` + filter + `}}`,
		"a long description":       `{"properties":{` + properties.String() + `"z":{}},"$defs":{"wide":{"description":"` + strings.Repeat(`\n`, 300000) + `"}}}`,
		"deep nesting":             strings.Repeat(`{"anyOf":[`, 50000) + `{}` + strings.Repeat(`]}`, 50000),
		"the whole in each part":   `{"allOf":[` + whole.String() + `{}]}`,
		"the whole in some parts":  `{"allOf":[` + whole.String()[:50*len(`{"properties":{"filter":{"$ref":"#"}}},`)] + `{}]}`,
		"a list for each property": `{"required":[` + strings.TrimSuffix(strings.ReplaceAll(named.String(), `:{"$ref":"#/$defs/list","default":"x"}`, ""), ",") + `],"properties":{` + strings.TrimSuffix(named.String(), ",") +
			`},"$defs":{"list":{"enum":[` + strings.Repeat(`"v",`, 20000) + `"x"]}}}`,
		"many required": `{"required":[` + strings.Repeat(`"a",`, 200000) + `"a"]}`,
	}
}

// Parse, Build and Properties finish for every hostile schema. The test needs no time limit of its own, because exponential or quadratic
// time would exceed the time limit of go test.
func TestHostileSchemas(t *testing.T) {
	for name, text := range hostile() {
		s := Parse(json.RawMessage(text))
		a := Arguments{Object: json.RawMessage(`{"and":[],"filter":{"or":1}}`), Args: []Arg{{Name: "filter.and.x", Value: "1"}, {Name: "missing", Value: "x"}}}
		_, _ = a.Build(s, true)
		_, _ = s.Fill(nil)
		a.Args[0].Name = strings.Repeat("filter.", 30) + "x"
		_, _ = a.Build(s, true)
		_, _ = s.Fill(json.RawMessage(`{"filter":1}`))
		t.Log(name, len(s.Properties()))
	}
}

// Many properties may refer to one large default, but the answer to a form does not contain the default any number of times.
func TestDefaultsAreBounded(t *testing.T) {
	for count, ok := range map[int]bool{10: true, 1000: false} {
		var properties strings.Builder
		for i := range count {
			fmt.Fprintf(&properties, `"p%d":{"$ref":"#/$defs/d"},`, i)
		}
		schema := `{"properties":{` + properties.String() + `"z":{}},"$defs":{"d":{"default":"` + strings.Repeat("x", 10_000) + `"}}}`
		out, err := Parse(json.RawMessage(schema)).Fill(nil)
		if (err == nil) != ok || len(out) > 2*maxDefaults || err != nil && !strings.Contains(err.Error(), "defaults have more than") {
			t.Errorf("%d properties: %d bytes, %v", count, len(out), err)
		}
	}
}

// A schema of 1 MiB is evaluated within two seconds, whatever it repeats.
func TestLargeSchemas(t *testing.T) {
	var parts, values, numbers, properties strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&parts, `{"properties":{"a":{"x":%d}}},`, i)
		fmt.Fprintf(&values, `"%d",`, i)
		fmt.Fprintf(&numbers, `%d,`, i)
		fmt.Fprintf(&properties, `"p%d":{"$ref":"#/$defs/d"},`, i)
	}
	long, digits := strings.Repeat("x", 500_000), strings.Repeat("1", 500_000)
	for name, schema := range map[string]string{
		"a name that is required again and again": `{"allOf":[` + parts.String() + `{}],"required":[` + strings.Repeat(`"a",`, 100_000) + `"a"]}`,
		"a long default and many values":          `{"properties":{"a":{"default":"` + long + `","enum":[` + values.String() + `""]}}}`,
		"a long number and many values":           `{"properties":{"a":{"default":` + digits + `,"enum":[` + numbers.String() + `0]}}}`,
		"a long value of many properties":         `{"$defs":{"d":{"enum":["` + long + `","y"],"default":"y"}},"properties":{` + properties.String() + `"z":{}}}`,
		"a long number of many properties":        `{"$defs":{"d":{"enum":[` + digits + `,1],"default":1}},"properties":{` + properties.String() + `"z":{}}}`,
	} {
		const limit = 10 * time.Second // the race detector makes the test ten times slower
		fastest := time.Hour
		for range 3 { // the machine may be busy
			if fastest < limit {
				break
			}
			began := time.Now()
			s := Parse(json.RawMessage(schema))
			_, _ = s.Fill(nil)
			_, _ = Arguments{Object: json.RawMessage(`{"b":1}`)}.Build(s, true)
			s.Properties()
			fastest = min(fastest, time.Since(began))
		}
		if fastest > limit {
			t.Errorf("%s: %v", name, fastest)
		}
	}
}

func BenchmarkHostile(b *testing.B) {
	for name, text := range hostile() {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				s := Parse(json.RawMessage(text))
				a := Arguments{Object: json.RawMessage(`{"and":[],"filter":{"or":1}}`), Args: []Arg{{Name: "filter.and.x", Value: "1"}, {Name: "missing", Value: "x"}}}
				_, _ = a.Build(s, true)
				s.Properties()
			}
		})
	}
}

func TestProperties(t *testing.T) {
	s := Parse(json.RawMessage(`{"required":["b"],"properties":{"a":{"type":["integer","null"],"default":5},"b":{"$ref":"#/$defs/b"},"c":true,"d":{"default":"\u00fc","enum":["\u00fc",1]}},
		"$defs":{"b":{"description":"which","enum":["x","y"]}}}`))
	var got []string
	for _, p := range s.Properties() {
		got = append(got, fmt.Sprintf("%s %v %s %q %s %s", p.Name, p.Required, p.Types, p.Description, p.Default, p.Enum))
	}
	want := []string{`b true string "which"  ["x" "y"]`, `a false integer or null "" 5 []`, `c false any ""  []`, `d false integer or string "" "ü" ["ü" 1]`}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q", got)
	}
}

func TestNearest(t *testing.T) {
	for _, test := range []struct{ name, known, want string }{
		{"lienar", "linear notion", "linear"},
		{"stat", "status login", "status"},
		{"x", "linear notion", ""},
		{"LINEAR", "linear", "linear"},
		{"lgoin", "login logout", "login"},
		{"ad", "add echo", "add"},
		{"lgin", "login login", "login"},
		{"list", "list_issues get_issue", "list_issues"},
		{"create-issue", "get_issue create_issue", "create_issue"},
		{"update", "paste", ""},
		{strings.Repeat("a", 65), strings.Repeat("a", 65) + " " + strings.Repeat("a", 64), ""},
		{"aa", strings.Repeat("a", 65), ""},
		{"", "login", ""},
	} {
		if got := strings.Join(Nearest(test.name, strings.Fields(test.known)), " "); got != test.want {
			t.Errorf("%s among %s: got %q, want %q", test.name, test.known, got, test.want)
		}
	}
}
