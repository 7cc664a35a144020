package main

import (
	"strings"
	"testing"

	"mcpauth/internal/demo"
)

// A server of login --all issues the address of another server, and the beginnings of our lines, as tokens. The lines about the other server
// stay as they are.
func TestLoginAllKeepsTheLinesOfOthers(t *testing.T) {
	u := newUser(t)
	evil, err := demo.Start(demo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(evil.Close)
	address := strings.TrimSuffix(strings.TrimPrefix(u.good.URL(), "http://"), "/mcp")
	u.own(t, `{"mcpServers":{"a":{"url":"`+evil.URL()+`"},"b":{"url":"`+u.good.URL()+`"}}}`)
	if err := u.good.Set("metadata:no-pkce"); err != nil {
		t.Fatal(err)
	}
	var want string
	for _, word := range []string{"", address + "~zzzz", "warning:~b:~auth", "code_challenge_methods_supported~", "https://example.com/x?a='b"} {
		if word != "" {
			u.must(t, exitDone, "logout", "a")
			if err := evil.Set(`token:set.refresh_token="` + word + `",set.access_token="` + word + `"`); err != nil {
				t.Fatal(err)
			}
		}
		u.must(t, exitSecurity, "login", "--all")
		_, lines, ok := strings.Cut(u.stderr.String(), "warning: b: ")
		if want == "" {
			want = lines
		}
		if !ok || lines != want || !strings.Contains(lines, "http://"+address+": ") {
			t.Errorf("after %q: stderr is\n%s\nwant\n%s", word, u.stderr.String(), want)
		}
	}
}
