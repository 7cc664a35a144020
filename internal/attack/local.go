package attack

import (
	"net/http"
	"net/url"
	"strings"
)

// Intrusion is a request to the local URL that `proxy --listen` and `exec` serve. The request comes from a page in the user's browser, or
// from another user of this machine, who can reach the port but does not know the secret in the URL.
type Intrusion struct {
	Name   string
	Change func(*http.Request) // changes a valid request so that mcpauth must refuse it
}

// Intrusions returns the intrusions at address. mcpauth must answer each intrusion with 404 and send no other data.
func Intrusions(address string) []Intrusion {
	good, err := url.Parse(address)
	if err != nil {
		return nil
	}
	secret := strings.Split(good.Path, "/")[1]
	path := func(p string) func(*http.Request) { return func(r *http.Request) { r.URL.Path = p } }
	host := func(h string) func(*http.Request) { return func(r *http.Request) { r.Host = h } }
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header[name] = []string{value} }
	}
	method := func(m string, change func(*http.Request)) func(*http.Request) {
		return func(r *http.Request) {
			r.Method = m
			change(r)
		}
	}
	return []Intrusion{
		{"no secret", path("/mcp")},
		{"no path", path("/")},
		{"a wrong secret", path("/" + strings.Repeat("0", 64) + "/mcp")},
		{"a secret that is one character short", path("/" + secret[:63] + "/mcp")},
		{"the secret in capitals", path("/" + strings.ToUpper(secret) + "/mcp")},
		{"another path behind the secret", path("/" + secret + "/other")},
		{"a longer path", path(good.Path + "/")},
		{"dots in the path", path("/x/../" + secret + "/mcp")},
		{"a query", func(r *http.Request) { r.URL.RawQuery = "a=b" }},
		{"a name that a page has bound to 127.0.0.1 (DNS rebinding)", host("evil.example:" + good.Port())},
		{"localhost as host", host("localhost:" + good.Port())},
		{"another port as host", host("127.0.0.1:1")},
		{"a host without the port", host("127.0.0.1")},
		{"a page of another site", header("Origin", "https://evil.example")},
		{"a page served from the address itself", header("Origin", "http://"+good.Host)},
		{"a page in a sandbox", header("Origin", "null")},
		{"an empty origin", header("Origin", "")},
		{"an image in a page of another site", method(http.MethodGet, header("Sec-Fetch-Site", "cross-site"))},
		{"a page of another port of this machine", header("Sec-Fetch-Site", "same-site")},
		{"a preflight request of a page", method(http.MethodOptions, header("Origin", "https://evil.example"))},
		{"a preflight request for no path", method(http.MethodOptions, func(r *http.Request) { r.URL.Opaque = "*" })},
		{"a preflight request without the secret", method(http.MethodOptions, path("/mcp"))},
	}
}
