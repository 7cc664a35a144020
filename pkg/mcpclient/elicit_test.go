package mcpclient

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
)

// A Policy fills a form with its values and the form's defaults, or declines it with a reason.
func TestFillForm(t *testing.T) {
	const form = `{"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer","default":30},"news":{"type":"boolean","default":false}},"required":["name"]}`
	for _, tt := range []struct {
		name, form, values string
		want, reason       string
	}{
		{"defaults are not enough", form, "", "", `name: it is required but has no value`},
		{"values and defaults", form, `{"name": "Lin"}`, `{"name":"Lin","age":30,"news":false}`, ""},
		{"a value goes before a default", form, `{"name":"Lin","age":31}`, `{"name":"Lin","age":31,"news":false}`, ""},
		{"what is not asked for is not told", form, `{"name":"Lin","password":"x"}`, `{"name":"Lin","age":30,"news":false}`, ""},
		{"of another type", form, `{"name":5}`, "", `name: expected string, got a value of type integer`},
		{"a default of another type", `{"properties":{"a":{"type":"integer","default":"x"}}}`, "", "", `a: expected integer, got a value of type string`},
		{"large numbers stay as they are", `{"properties":{"a":{"type":"integer","default":12345678901234567890123}}}`, "", `{"a":12345678901234567890123}`, ""},
		{"nothing is asked", `{"type":"object","properties":{}}`, `{"a":1}`, `{}`, ""},
		{"no schema", "", "", `{}`, ""},
	} {
		p := Policy{Defaults: true, Values: json.RawMessage(tt.values)}
		a, err := p.Elicit(t.Context(), Elicitation{Mode: "form", Schema: json.RawMessage(tt.form)})
		if err != nil {
			t.Error(err)
		}
		action := "accept"
		if tt.want == "" {
			action = "decline"
		}
		if a.Action != action || string(a.Content) != tt.want || a.Reason != tt.reason {
			t.Errorf("%s: %s %s %q\nexpected %s %s %q", tt.name, a.Action, a.Content, a.Reason, action, tt.want, tt.reason)
		}
	}
}

// The URL of an elicitation request is checked before the Elicitor receives it.
func TestAddressOfAQuestion(t *testing.T) {
	visited := ""
	policy := Policy{Visit: func(_ context.Context, e Elicitation) error { visited = e.URL; return nil }}
	for address, good := range map[string]bool{
		"https://example.com/form?id=1":           true,
		"http://example.com/form":                 false,
		"http://127.0.0.1:1/form":                 false,
		"https://user:password@example.com/":      false,
		"https://169.254.169.254/latest":          false,
		"javascript:alert(1)":                     false,
		"file:///etc/passwd":                      false,
		"data:text/html,x":                        false,
		"-https://example.com":                    false,
		"https://example.com/\x1b[2J":             false,
		"https://example.com/\nhttps://other.org": false,
		"": false,
	} {
		visited = ""
		c := &Client{URL: "https://mcp.example.com/mcp", Elicit: policy.Elicit}
		c.init()
		a, err := c.askElicitor(t.Context(), Elicitation{Mode: "url", URL: address})
		if good != (err == nil) || good != (visited != "") || good != (a.Action == "accept") {
			t.Errorf("%q: visited %q, answered %q, %v", address, visited, a.Action, err)
		}
	}
}

// The zero Policy declines every request, and an error of Visit is returned.
func TestPolicy(t *testing.T) {
	failed := errors.New("no browser")
	for _, tt := range []struct {
		name string
		p    Policy
		e    Elicitation
		want string
		err  error
	}{
		{"nothing is answered", Policy{}, Elicitation{Mode: "form", Schema: json.RawMessage(`{}`)}, "decline", nil},
		{"an address neither", Policy{Defaults: true}, Elicitation{Mode: "url"}, "decline", nil},
		{"defaults", Policy{Defaults: true}, Elicitation{Mode: "form", Schema: json.RawMessage(`{}`)}, "accept", nil},
		{"values", Policy{Values: json.RawMessage(`{}`)}, Elicitation{Mode: "form", Schema: json.RawMessage(`{}`)}, "accept", nil},
		{"visited in vain", Policy{Visit: func(context.Context, Elicitation) error { return failed }}, Elicitation{Mode: "url"}, "decline", failed},
	} {
		reported := 0
		tt.p.Report = func(Elicitation, Answer) { reported++ }
		a, err := tt.p.Elicit(t.Context(), tt.e)
		if a.Action != tt.want || !errors.Is(err, tt.err) || (reported == 1) != (tt.err == nil) {
			t.Errorf("%s: %q, %v, reported %d times", tt.name, a.Action, err, reported)
		}
	}
}
