package mcpclient

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"mcpauth/internal/jsonscan"
)

// An entry whose name a command could read as a flag is in no list, no completion and no suggestion.
func TestFlagsAreNoNames(t *testing.T) {
	for _, tt := range []struct {
		name string
		flag bool
	}{
		{"--header=X-Key:$KEY", true}, {"-v", true}, {"-", true}, {"list --header=X-Key:@id_rsa", true}, {"list\n-v", true},
		{" -v", true}, {"\u200b--header=X-Key:@id_rsa", true}, {"\u3164-v", true}, {`"--header=X-Key:@id_rsa"`, true}, {`\-v`, true}, {"x '-v'", true}, {"x ?-header=evil", true}, {"*", true}, {"t x=@/home/u/.ssh/id_rsa", true}, {"x=@.env", true}, {"x:=@.env", true}, {"a @(-)-v", true}, {"+(-)v", true}, {"@scope/name", false}, {"a = b", false}, {"!x", false}, {"[-]v", true},
		{"read-file", false}, {"read--file", false}, {"Review - a short one", false}, {"notes://a-b/-c", false}, {"it's-x", false}, {"notes://x?y=*", false}, {"", false},
	} {
		entry := func(key string) string { return `{"` + key + `":` + string(jsonscan.Quote(tt.name)) + `}` }
		result := func(list string) []string {
			return []string{`"result":{"resultType":"complete","ttlMs":60000,` + list + `}`}
		}
		s := newServer(t, http.HandlerFunc(script{
			"server/discover":          {`"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{}}`},
			"tools/list":               result(`"tools":[` + entry("name") + `]`),
			"prompts/list":             result(`"prompts":[` + entry("name") + `]`),
			"prompts/get":              {`"error":{"code":-32602,"message":"no"}`},
			"resources/list":           result(`"resources":[` + entry("uri") + `]`),
			"resources/templates/list": result(`"resourceTemplates":[` + entry("uriTemplate") + `]`),
		}.serve))
		var warnings []string
		dir := t.TempDir()
		open := func() *Client {
			return client(t, s, func(c *Client) { c.CacheDir, c.Warn = dir, func(text string) { warnings = append(warnings, text) } })
		}
		c := open()
		tools, err1 := c.Tools(t.Context())
		prompts, err2 := c.Prompts(t.Context())
		resources, err3 := c.Resources(t.Context())
		if err1 != nil || err2 != nil || err3 != nil {
			t.Fatal(err1, err2, err3)
		}
		want, warned := 1, 0
		if tt.flag {
			want, warned = 0, 4
		}
		if len(tools.Tools) != want || len(prompts.Prompts) != want || len(resources.Resources) != 2*want {
			t.Errorf("%q: %d tools, %d prompts, %d resources and templates; want %d of each", tt.name, len(tools.Tools), len(prompts.Prompts), len(resources.Resources), want)
		}
		for member, raw := range map[string]json.RawMessage{"tools": tools.Raw, "prompts": prompts.Raw, "resources": resources.Raw, "resourceTemplates": resources.Raw} {
			n := 0
			for range jsonscan.Elements(jsonscan.Member(raw, member)) {
				n++
			}
			if n != want {
				t.Errorf("%q: the JSON contains %d %s, want %d", tt.name, n, member, want)
			}
		}
		if len(warnings) != warned {
			t.Errorf("%q: warnings %q, want %d", tt.name, warnings, warned)
		}
		for _, text := range warnings {
			if !strings.Contains(text, "is omitted, because a command could read a part of its ") {
				t.Errorf("%q: %q", tt.name, text)
			}
		}
		typed, err1 := c.Tools(t.Context(), tt.name) // the user typed the name
		typedPrompts, err2 := c.Prompts(t.Context(), tt.name)
		if err1 != nil || err2 != nil || len(typed.Tools) != 1 || len(typedPrompts.Prompts) != 1 {
			t.Errorf("%q: %d tools, %d prompts for the typed name, %v, %v", tt.name, len(typed.Tools), len(typedPrompts.Prompts), err1, err2)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if c = open(); len(c.KnownTools()) != want || len(c.KnownPrompts()) != want || len(c.KnownResources()) != 2*want {
			t.Errorf("%q: completion offers %d tools, %d prompts, %d resources", tt.name, len(c.KnownTools()), len(c.KnownPrompts()), len(c.KnownResources()))
		}
		if !tt.flag {
			continue
		}
		_, callErr := c.Call(t.Context(), tt.name+"x", Arguments{})
		_, promptErr := c.Prompt(t.Context(), tt.name+"x", nil)
		for _, err := range []error{callErr, promptErr} {
			if err == nil || nearest(err) != "" {
				t.Errorf("%q: nearest is %q: %v", tt.name, nearest(err), err)
			}
		}
	}
}

func nearest(err error) string {
	switch e := err.(type) {
	case *ArgumentError:
		return e.Nearest
	case *UnknownError:
		return e.Nearest
	}
	return ""
}
