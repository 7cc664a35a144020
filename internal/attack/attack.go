// Package attack simulates hostile servers. Each attack runs in a World: servers on loopback that a program reaches through a proxy under
// the host names of remote servers, so that the program applies its rules for remote servers.
//
//	w, err := attack.Start("address/token-endpoint-http")
//	defer w.Close()
//	cmd := exec.Command("mcpauth", "--cacert", w.CAFile(), "login", w.URL())
//	cmd.Env = append(os.Environ(), w.Env()...)
//	…
//	w.Leaks() // secrets that arrived where they do not belong
//
// The honest servers behind the proxy are those of package demo. Only tests use this package.
package attack

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"mcpauth/internal/demo"
)

// Origins in a World. Every other origin belongs to a server that must not receive secrets.
const (
	MCP  = "https://mcp.attack.example" // the MCP server
	AS   = "https://as.attack.example"  // its authorization server
	AS2  = "https://as2.attack.example" // another origin of the authorization server, to which it may move
	IDP  = "https://idp.attack.example" // the enterprise's identity provider
	Evil = "https://evil.example"       // a server of the attacker
)

// Attack is one attack.
type Attack struct {
	Name  string                                      // SUBJECT/WHAT
	What  string                                      // what the attacker does, for docs/attacks.md
	Later bool                                        // the attack starts with World.Begin, after an honest exchange
	Words []string                                    // settings and faults of the honest server, see demo.Server.Set
	At    string                                      // endpoint that Do replaces: a path, or "METHOD path"; empty: none
	Do    http.HandlerFunc                            // responds instead of the honest server
	Edit  func(r *http.Request, answer string) string // changes the responses of the honest server
	Set   demo.Settings

	Provider string // setting or fault of the identity provider; empty: there is no identity provider
}

// All returns every attack.
func All() []Attack {
	return slices.Concat(addresses(), identity(), providers(), answers(), callbacks(), tokens(), reflections(), calls(), terminal(), blanks())
}

// The function find returns the attack with a name.
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

// Paths of the honest server's endpoints.
const (
	mcpPath      = "/mcp"
	rootPath     = "/.well-known/oauth-protected-resource"
	resourcePath = rootPath + mcpPath
	serverPath   = "/.well-known/oauth-authorization-server"
	tokenPath    = "/token"
	registerPath = "/register"
	providerPath = "/idp/token"
	tenantPath   = "/b/" // URLs of another tenant of a host
)
