// Package attack plays hostile servers. Each attack of the table is a world of its own on loopback, which a program reaches through a
// proxy under names of the outside, so that the rules for remote servers hold:
//
//	w, err := attack.Start("address/token-endpoint-http")
//	defer w.Close()
//	cmd := exec.Command("mcpauth", "--cacert", w.CAFile(), "login", w.URL())
//	cmd.Env = append(os.Environ(), w.Env()...)
//	…
//	w.Leaks() // secrets that arrived where they do not belong
//
// The good server behind is package demo; world.go is the proxy and the record of what arrives, rewrite.go gives the good server its
// outside name, the other files are the attacks by subject. Only tests use it.
package attack

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"mcpauth/internal/demo"
)

// The names of the world. Every other name is a stranger's.
const (
	MCP  = "https://mcp.attack.example" // the MCP server
	AS   = "https://as.attack.example"  // its authorization server
	AS2  = "https://as2.attack.example" // another of its names, to which it may move
	IDP  = "https://idp.attack.example" // the enterprise's identity provider
	Evil = "https://evil.example"       // somebody else
)

// Attack is one attack.
type Attack struct {
	Name  string // SUBJECT/WHAT
	What  string // what the attacker does, for docs/attacks.md
	Later bool   // begins only with World.Begin, after something honest has happened
	Words []string
	At    string                                      // endpoint that Do answers for: a path, or "METHOD path"; empty: none
	Do    http.HandlerFunc                            // answers instead of the good server
	Edit  func(r *http.Request, answer string) string // changes the good server's answers
	Set   demo.Settings

	Provider string // what is wrong with the identity provider, in words for it; empty: there is none
}

// All returns the table.
func All() []Attack {
	return slices.Concat(addresses(), identity(), providers(), answers(), callbacks(), tokens(), calls(), terminal())
}

// find returns an attack by its name.
func find(name string) (Attack, error) {
	for _, a := range All() {
		if a.Name == name {
			return a, nil
		}
	}
	return Attack{}, fmt.Errorf("no attack is called %q", name)
}

// matches reports whether Do answers a request.
func (a Attack) matches(r *http.Request) bool {
	if a.Do == nil {
		return false
	}
	method, path, ok := strings.Cut(a.At, " ")
	if !ok {
		method, path = r.Method, a.At
	}
	return method == r.Method && path == r.URL.Path
}

// Paths of the good server's endpoints.
const (
	mcpPath      = "/mcp"
	resourcePath = "/.well-known/oauth-protected-resource/mcp"
	serverPath   = "/.well-known/oauth-authorization-server"
	tokenPath    = "/token"
	registerPath = "/register"
	providerPath = "/idp/token"
)
