package discovery

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"mcpauth/internal/httpx"
)

// ResourceMetadata contains the members of protected resource metadata that mcpauth uses (RFC 9728 §2).
type ResourceMetadata struct {
	Resource                      string   `json:"resource"`
	AuthorizationServers          []string `json:"authorization_servers,omitempty"`
	ScopesSupported               []string `json:"scopes_supported,omitempty"`
	DPoPBoundAccessTokensRequired bool     `json:"dpop_bound_access_tokens_required,omitempty"`
}

const (
	resourceSection = "RFC 9728 §3.3"
	locationSection = "MCP Authorization Server Location"
)

// fetchResource fetches the resource metadata (MCP, Protected Resource Metadata Discovery Requirements). It tries the URL in the challenge
// first, then the well-known URL with the server's path and query, and then the well-known URL at the root. If a document fails a check,
// the search ends with an error. A document for a parent of the server's URL, or for that URL with another query, is used only if there is no
// document at the more specific well-known URLs, because a tenant's challenge can name the document of the whole host.
func (f *finder) fetchResource(ctx context.Context) (found bool, err error) {
	first := 0 // the first attempt that counts
	if named := f.r.Challenge.ResourceMetadata(); named != "" {
		if found, err := f.fetchResourceAt(ctx, named); found || err != nil {
			return found, err
		}
		dead := Finding{stageResource, "resource_metadata_dead", "the challenge names " + httpx.Text(named, 200) + ", but there is no document; trying the well-known URLs", "RFC 9728 §5.1"}
		if err := f.recordDeviation("", dead, nil); err != nil {
			return false, err
		}
		if f.o.Issuer != "" && f.r.Attempts[len(f.r.Attempts)-1].needsCertificate() {
			first = len(f.r.Attempts) // the caller names what the document would name
		}
	}
	if found, err := f.fetchWellKnown(ctx, ""); found || err != nil {
		return found, err
	}
	if !f.isAbsent(stageResource, first) {
		return false, &Error{Stage: stageResource, Reason: "no document could be fetched, and not every URL answered 404", Section: "RFC 9728 §3", Attempts: f.r.Attempts}
	}
	return false, nil
}

// fetchWellKnown tries the well-known URLs. If an address is given, fetchWellKnown leaves out the URLs that are not more specific than this
// address, and those that were tried before.
func (f *finder) fetchWellKnown(ctx context.Context, address string) (found bool, err error) {
	for _, next := range f.resourceAddresses() {
		if next == address {
			break
		}
		if address != "" && slices.ContainsFunc(f.r.Attempts, func(a Attempt) bool { return a.Stage == stageResource && a.URL == next }) {
			continue
		}
		if found, err := f.fetchResourceAt(ctx, next); found || err != nil {
			return found, err
		}
	}
	return false, nil
}

// resourceAddresses returns the well-known URLs of the server and of its redirect target, the most specific first. The URLs keep the query of
// the resource (RFC 9728 §3.1), because tenants may differ only in the query. The server's URL without the query and the root follow.
func (f *finder) resourceAddresses() []string {
	var all []string
	for _, u := range []*url.URL{f.server, f.endpoint} {
		all = append(all, withQuery(wellKnownURLs(u, "oauth-protected-resource")[0], u))
	}
	own := wellKnownURLs(f.server, "oauth-protected-resource")
	if f.server.RawQuery == "" {
		own = own[len(own)-1:]
	}
	return slices.Compact(append(all, own...))
}

func (f *finder) fetchResourceAt(ctx context.Context, address string) (bool, error) {
	var m ResourceMetadata
	own := f.isOwnWellKnown(address) || f.isBelowServer(address) || slices.Contains(f.resourceAddresses(), address)
	found, err := f.fetchDocument(ctx, own, stageResource, address, &m, "resource")
	if !found || err != nil {
		return false, err
	}
	quirk, why := checkResource(m.Resource, f.server)
	if isWider(quirk) {
		because := ""
		if !f.isOwnWellKnown(f.from) {
			because = "which only the server's own well-known URL may claim"
		} else if found, err := f.fetchWellKnown(ctx, address); found || err != nil {
			return found, err
		} else if f.ownOriginFailed() {
			because = "and another metadata URL of the server failed"
		}
		if because != "" {
			quirk, why = "", fmt.Sprintf("resource is %s, a parent of the server's URL or that URL with another query, %s; expected %q", httpx.Quote(m.Resource, 200), because, f.r.URL)
		}
	}
	if other, refused := checkResource(m.Resource, f.endpoint); refused == "" && other == "" {
		quirk, why = "", ""
	}
	if why != "" {
		return false, &Error{Stage: stageResource, URL: address, Reason: why, Section: resourceSection, Err: ErrResource}
	}
	if quirk != "" {
		n := Finding{stageResource, quirk, fmt.Sprintf("resource is %s for the server %q", httpx.Quote(m.Resource, 200), f.r.URL), resourceSection}
		if err := f.recordDeviation(address, n, ErrResource); err != nil {
			return false, err
		}
	}
	if len(m.AuthorizationServers) == 0 {
		if f.o.Issuer == "" {
			return false, &Error{Stage: stageResource, URL: address, Err: ErrUnnamed, Section: locationSection,
				Reason: "authorization_servers is missing or empty"}
		}
		n := Finding{stageResource, "issuer_given", "authorization_servers is missing or empty; using the given issuer: " + f.o.Issuer, locationSection}
		if err := f.recordDeviation(address, n, ErrUnnamed); err != nil {
			return false, err
		}
		m.AuthorizationServers = []string{f.o.Issuer}
	}
	f.r.ResourceMetadataURL, f.r.Resource, f.r.ResourceID = address, m, m.Resource
	return true, f.checkScopes(stageResource, address, "scopes_supported", strings.Join(m.ScopesSupported, " "))
}

// isWider reports whether checkResource found a parent of the server's URL, or that URL with another query.
func isWider(deviation string) bool {
	return deviation == "resource_parent" || deviation == "resource_query"
}

// ResourceIsWider reports whether ResourceID is a parent of the server's URL, or that URL with another query.
func (r *Result) ResourceIsWider() bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return isWider(f.Code) })
}

// isOwnWellKnown reports whether a URL is one of the server's well-known URLs. The URL may have parameters of the server's query and one final
// slash. A tenant of the server's origin can publish metadata at other URLs.
func (f *finder) isOwnWellKnown(address string) bool {
	u, err := url.Parse(address)
	if err != nil || !httpx.SameOrigin(u, f.server) || !hasQueryOf(f.server, u) {
		return false
	}
	bare := url.URL{Scheme: f.server.Scheme, Host: f.server.Host}
	return slices.Contains(wellKnownURLs(f.server, "oauth-protected-resource"), bare.String()+strings.TrimSuffix(u.EscapedPath(), "/"))
}

// isBelowServer reports whether a URL is at or below the server's URL, so that it belongs to no other tenant of the host. The server can also
// redirect the first request there.
func (f *finder) isBelowServer(address string) bool {
	u, err := url.Parse(address)
	return err == nil && httpx.SameOrigin(u, f.server) && httpx.IsBelow(u, f.server) && hasQueryOf(f.server, u)
}

// ownOriginFailed reports whether a metadata URL on the server's origin failed, so that metadata for exactly the server's URL may exist there.
// The status 500 counts as absence, because some servers answer 500 at every URL that they do not know.
func (f *finder) ownOriginFailed() bool {
	return slices.ContainsFunc(f.r.Attempts, func(a Attempt) bool {
		u, err := url.Parse(a.URL)
		return a.Stage == stageResource && (a.Status == 0 || a.Status != http.StatusInternalServerError && a.hasServerError()) && err == nil && httpx.SameOrigin(u, f.server)
	})
}

// hasQueryOf reports whether every parameter in the query of part is in the query of whole, with the same values.
func hasQueryOf(whole, part *url.URL) bool {
	have, err := url.ParseQuery(whole.RawQuery)
	want, partErr := url.ParseQuery(part.RawQuery)
	if err != nil || partErr != nil {
		return whole.RawQuery == part.RawQuery
	}
	for name, values := range want {
		if !slices.Equal(have[name], values) {
			return false
		}
	}
	return true
}

// withQuery appends the query of u to an address.
func withQuery(address string, u *url.URL) string {
	if u.RawQuery == "" {
		return address
	}
	return address + "?" + u.RawQuery
}

// checkResource compares the resource in the metadata with the server's URL. The origins must be equal. The path of the resource must be
// the path of the server's URL or a parent of that path, and may differ in a trailing slash. If both URLs have a query, the parameters of
// the resource must be parameters of the server's URL, because tenants may differ only in the query. Other parameters of the server's URL,
// such as those that select tools, may be missing in the resource. If a deviation is tolerated, the first result is its code. If the
// resource must be refused, the second result is the reason. If the URLs are equal, both results are empty.
func checkResource(resource string, server *url.URL) (deviation, refusal string) {
	if resource == "" {
		return "", "resource is missing"
	}
	u, err := httpx.CheckServer(resource) // the resource becomes a parameter of the authorization URL
	shown := httpx.Quote(resource, 200)
	if err != nil || !httpx.SameOrigin(u, server) {
		return "", fmt.Sprintf("resource is %s, expected %q", shown, httpx.Canonical(server))
	}
	have, want := strings.TrimSuffix(u.EscapedPath(), "/"), strings.TrimSuffix(server.EscapedPath(), "/")
	switch {
	case httpx.Canonical(u) == httpx.Canonical(server):
		return "", ""
	case u.RawQuery != "" && server.RawQuery != "" && !hasQueryOf(server, u):
		return "", fmt.Sprintf("resource is %s, expected %q: the query differs", shown, httpx.Canonical(server))
	case have == want && u.RawQuery != server.RawQuery:
		return "resource_query", ""
	case have == want:
		return "resource_slash", ""
	case httpx.IsBelow(server, u):
		return "resource_parent", ""
	}
	return "", fmt.Sprintf("resource is %s, expected %q or a parent of it", shown, httpx.Canonical(server))
}

// wellKnownURLs returns the well-known URLs with a suffix (RFC 8615). The first URL contains the path of u (RFC 9728 §3.1), and the last
// URL is at the root.
func wellKnownURLs(u *url.URL, suffix string) []string {
	root := url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/.well-known/" + suffix}
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	if path == "" {
		return []string{root.String()}
	}
	return []string{root.String() + path, root.String()}
}
