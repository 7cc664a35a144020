package flow

import (
	"slices"
	"strings"

	"mcpauth/pkg/discovery"
	"mcpauth/pkg/token"
)

// Deviation is a tolerated deviation of a server from a specification. The deviations of a login are recorded in its credential and shown
// by status. With Settings.Strict, each is an error that names the section.
type Deviation struct {
	Code    string // as shown by status; if it ends in =, a value follows
	Section string // section of the rule that the server breaks
	Text    string // what is tolerated
	Seen    string // servers that do it
}

// Deviations returns all deviations that are tolerated.
func Deviations() []Deviation {
	return []Deviation{
		// Tolerated in discovery (package discovery).
		{"no_challenge", "RFC 6750 §3", "a 401 without a Bearer challenge", "servers behind proxies"},
		{"resource_metadata_dead", "RFC 9728 §5.1", "the challenge names a resource metadata URL without a document; mcpauth tries the well-known URLs", "servers behind proxies"},
		{"well_known_failed", "RFC 8414 §3.2, RFC 9728 §3.2", "5xx, an HTML page or no answer at one well-known URL; mcpauth tries the next one", "several"},
		{"content_type", "RFC 8414 §3.2, RFC 9728 §3.2", "metadata that is not served as application/json", "static hosting"},
		{"resource_query", "RFC 9728 §3.3", "resource differs only in its query", "several"},
		{"resource_slash", "RFC 9728 §3.3", "resource differs only in a slash at its end", "GitHub"},
		{"resource_parent", "RFC 9728 §3.3", "resource is a parent path of the server's URL", "several"},
		{"issuer_slash", "RFC 8414 §3.3", "the issuer differs only in the slash of an empty path", "JumpCloud, Expo, Google"},
		{"legacy_2025_03_26", "MCP Authorization Server Location", "no resource metadata; mcpauth uses the server's origin as the authorization server, as in MCP 2025-03-26", "servers of 2025"},
		{"default_endpoints", "MCP 2025-03-26 Fallbacks for Servers without Metadata Discovery", "no metadata; mcpauth uses /authorize, /token and /register", "servers of 2025"},
		{"member_type", "RFC 8414 §2, RFC 9728 §2", "an optional metadata member of the wrong type; mcpauth ignores it", "several"},

		// Tolerated in registrations (package dcr).
		{"registration_status", "RFC 7591 §3.2.1", "a registration answered with 200 instead of 201", "several"},
		{"registration_scope", "RFC 7591 §2", "a registration refused because of its scope; mcpauth registers without scope", "Keycloak, Supabase"},
		{"registration_redirect_uris", "RFC 7591 §3.2.1", "a registration answer with other redirect URIs; mcpauth uses the one that it sent", "LiteLLM"},
		{"registration_member_type", "RFC 7591 §3.2.1", "a member of a registration answer that has the wrong type; mcpauth ignores it", "several"},
		{"registration_auth_method", "RFC 7591 §3.2.1", "a registration answer with a client secret but without the matching authentication method", "servers on the TypeScript SDK"},

		// Tolerated at the token endpoint (package token).
		{"token_status", "RFC 6749 §5.1", "a token answer with another status than 200", "Supabase"},
		{"token_content_type", "RFC 6749 §5.1", "a token answer that is not application/json", "several"},
		{"token_nested", "RFC 6749 §5.1", "the access token inside authed_user", "Slack"},
		{"token_type", "RFC 6749 §7.1", "an unknown or missing token_type; mcpauth assumes Bearer", "Slack"},
		{"token_scope", "RFC 6749 §3.3", "scopes separated by commas, as a list, or with invalid characters", "Slack"},
		{"token_expires_in", "RFC 6749 §5.1", "expires_in as a string, or not a number", "Entra"},
		{"issued_token_type", "RFC 8693 §2.2.1", "a token exchange without issued_token_type", "several"},
		{"verification_url", "RFC 8628 §3.2", "verification_url instead of verification_uri", "Google"},
		{"other_auth_method", "RFC 6749 §2.3.1", "an authentication method that neither the metadata nor the registration names", "servers on the TypeScript SDK"},

		// Added to the authorization request.
		{"google_offline", "OpenID Connect Core §11", "access_type=offline and prompt=consent instead of offline_access", "Google"},

		// Requested with a flag.
		{"issuer_given", "MCP Authorization Server Location", "the metadata names no authorization server: --issuer URL", "servers behind a company's identity provider"},
		{"assume_pkce_s256", "MCP Authorization Code Protection", "the metadata does not announce PKCE: --assume-pkce-s256", "Entra, Cognito"},
		{"no_resource", "MCP Resource Parameter Implementation", "no resource parameter: --no-resource", "Entra"},
		{"resource=", "MCP Resource Parameter Implementation", "another resource parameter: --resource URI", "Entra"},
		{"client_name=", "RFC 7591 §2", "another client name in the registration: --client-name NAME", "Figma"},
		{"auth_param=", "OAuth 2.1 §4.1.1", "additional parameters in the authorization request: --auth-param NAME=VALUE", "Auth0, Slack"},
	}
}

// extraParams returns the parameters to add to the authorization request: those for a known deviation of the server, and those of the user,
// which take precedence.
func extraParams(issuer string, s Settings) (params [][2]string, code string) {
	if !s.Strict && strings.TrimSuffix(issuer, "/") == "https://accounts.google.com" {
		// Google does not support offline_access. It issues a refresh token only with these parameters, and without the prompt only at the
		// first login.
		params, code = [][2]string{{"access_type", "offline"}, {"prompt", "consent"}}, "google_offline"
	}
	return append(slices.Clone(params), s.AuthParams...), code
}

// deviations returns the tolerated deviations of a login, as far as they are known before the browser opens.
func deviations(s Settings, r *discovery.Result) []string {
	var all []string
	for _, f := range r.Findings {
		all = append(all, f.Code)
	}
	if _, code := extraParams(r.Server.Issuer, s); code != "" {
		all = append(all, code)
	}
	if s.NoResource {
		all = append(all, "no_resource")
	}
	if s.Resource != "" && !s.NoResource {
		all = append(all, "resource="+s.Resource)
	}
	if s.ClientName != "" {
		all = append(all, "client_name="+s.ClientName)
	}
	for _, p := range s.AuthParams {
		all = append(all, "auth_param="+p[0]) // the value may be private
	}
	return union(all)
}

// ofRegistration returns those codes that are about a client registration.
func ofRegistration(codes []string) []string {
	return slices.DeleteFunc(slices.Clone(codes), func(code string) bool { return !strings.HasPrefix(code, "registration_") })
}

// refreshTokenInvalid reports whether a refusal is Atlassian's form of invalid_grant: unauthorized_client with "refresh_token is invalid".
func refreshTokenInvalid(e *token.Error) bool {
	return e.Code == "unauthorized_client" && strings.Contains(e.Description, "refresh_token is invalid")
}
