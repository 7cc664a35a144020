package main

import (
	"strings"
	"testing"

	"mcpauth/pkg/discovery"
	"mcpauth/pkg/flow"
)

// discover prints signs and colours only on a terminal, and no control characters of the server.
func TestTree(t *testing.T) {
	var d flow.Discovery
	d.URL = "https://mcp.example.com/mcp"
	d.Attempts = make([]flow.Attempt, 2)
	d.Attempts[0].Stage, d.Attempts[0].Method, d.Attempts[0].URL, d.Attempts[0].OK = "server", "POST", d.URL, true
	d.Attempts[0].Status, d.Attempts[0].Outcome, d.Attempts[0].Meaning = 401, "Unauthorized", "the server asks for authorization"
	d.Attempts[1].Stage, d.Attempts[1].Method, d.Attempts[1].URL, d.Attempts[1].Outcome = "resource metadata", "GET", d.URL+"\x1b[2J", "no answer"
	d.Plan = &flow.Plan{Grant: flow.GrantJWTBearer, Scopes: []string{"a", "b\x1b]0;x\x07"}, DPoP: true}
	d.Grants = []flow.Grant{flow.GrantCode, flow.GrantJWTBearer}
	want := `https://mcp.example.com/mcp

server
  ok        POST https://mcp.example.com/mcp
            401 Unauthorized: the server asks for authorization

resource metadata
  no        GET 'https://mcp.example.com/mcp[2J'
            no answer:

login would
  grant     jwt_bearer; also offered: --grant authorization_code
  client    none: the assertion is enough
  scopes    a ` + foreignName("b]0;x") + `
  resource  not sent
  tokens    bound to a key (DPoP)
`
	if got := discoveryTree(d, false); got != want {
		t.Errorf("plain:\ngot  %q\nwant %q", got, want)
	}
	d.Checks = []discovery.Check{{State: discovery.Passed, Message: "good"}, {State: discovery.Missing}, {State: discovery.Tolerated}, {State: discovery.Failed, Message: "bad", Section: "RFC 1"}}
	got := discoveryTree(d, true)
	for _, line := range []string{"\n\x1b[1mserver\x1b[0m\n", "\n  \x1b[32m✓ ok\x1b[0m        POST https://", "\n              401 Unauthorized", "\n  \x1b[33m! no\x1b[0m        GET", "\n    grant     jwt",
		"\n  \x1b[32m✓ passed\x1b[0m    good\n", "\n  \x1b[33m! missing\x1b[0m   ", "\n  \x1b[33m! tolerated\x1b[0m ", "\n  \x1b[31m✗ failed\x1b[0m    bad (RFC 1)\n"} {
		if !strings.Contains(got, line) {
			t.Errorf("on a terminal: no %q in %q", line, got)
		}
	}
	if plain := discoveryTree(d, false); strings.ContainsAny(plain, "\x1b✓✗!") {
		t.Errorf("elsewhere: %q", plain)
	}
}
