package flow

import (
	"slices"
	"strings"

	"mcpauth/pkg/discovery"
	"mcpauth/pkg/token"
)

// Deviation is a way in which a server may deviate from a specification although a login goes on. The packages below flow notice most of
// them and name them by their code; those that were met are recorded in the credential and shown by status. With Settings.Strict each of
// them is an error that names its section.
type Deviation struct {
	Code    string // as status shows it; a value follows if it ends in =
	Section string // of the rule that is not kept
	Text    string // what is tolerated
	Seen    string // at whose servers
}

// Deviations returns the registry: every deviation that is tolerated.
func Deviations() []Deviation {
	return []Deviation{
		// By rule, on the way to the authorization server (package discovery).
		{"no_challenge", "RFC 6750 §3", "a 401 without a Bearer challenge", "servers behind proxies"},
		{"resource_metadata_dead", "RFC 9728 §5.1", "the challenge names resource metadata that is not there; the well-known addresses are tried", "servers behind proxies"},
		{"well_known_failed", "RFC 8414 §3.2, RFC 9728 §3.2", "5xx, a page or no answer at one well-known address; the next one is tried", "several"},
		{"content_type", "RFC 8414 §3.2, RFC 9728 §3.2", "metadata that is not served as application/json", "static hosting"},
		{"resource_query", "RFC 9728 §3.3", "resource differs by its query", "several"},
		{"resource_slash", "RFC 9728 §3.3", "resource differs by a slash at its end", "GitHub"},
		{"resource_parent", "RFC 9728 §3.3", "resource is a parent path of the server's address", "several"},
		{"issuer_slash", "RFC 8414 §3.3", "the issuer differs by the slash of an empty path, and by nothing else", "JumpCloud, Expo, Google"},
		{"legacy_2025_03_26", "MCP Authorization Server Location", "no resource metadata: the server's origin is its authorization server, as in MCP 2025-03-26", "servers of 2025"},
		{"default_endpoints", "MCP 2025-03-26 Fallbacks for Servers without Metadata Discovery", "no metadata at all: /authorize, /token and /register", "servers of 2025"},
		{"member_type", "RFC 8414 §2, RFC 9728 §2", "an optional member of metadata that is not of its type; it is taken as absent", "several"},

		// By rule, when registering (package dcr).
		{"registration_status", "RFC 7591 §3.2.1", "a registration answered 200 instead of 201", "several"},
		{"registration_scope", "RFC 7591 §2", "a registration refused because of its scope; it is tried without", "Keycloak, Supabase"},
		{"registration_redirect_uris", "RFC 7591 §3.2.1", "an answer with other redirect addresses; the one that was sent is used", "LiteLLM"},
		{"registration_member_type", "RFC 7591 §3.2.1", "a member of a registration answer that is not of its type; it is taken as absent", "several"},
		{"registration_auth_method", "RFC 7591 §3.2.1", "a secret that nobody asked for, without the method to send it by", "servers on the TypeScript SDK"},

		// By rule, at the token endpoint (package token).
		{"token_status", "RFC 6749 §5.1", "tokens with another status than 200", "Supabase"},
		{"token_content_type", "RFC 6749 §5.1", "tokens that are not served as application/json", "several"},
		{"token_nested", "RFC 6749 §5.1", "tokens inside authed_user", "Slack"},
		{"token_type", "RFC 6749 §7.1", "a token_type that is unknown or missing: taken for Bearer", "Slack"},
		{"token_scope", "RFC 6749 §3.3", "scopes separated by commas, as a list, or with odd characters", "Slack"},
		{"token_expires_in", "RFC 6749 §5.1", "expires_in as text, or as no number at all", "Entra"},
		{"issued_token_type", "RFC 8693 §2.2.1", "a token exchange without issued_token_type", "several"},
		{"verification_url", "RFC 8628 §3.2", "verification_url in place of verification_uri", "Google"},
		{"other_auth_method", "RFC 6749 §2.3.1", "a client's secret goes where neither metadata nor registration says", "servers on the TypeScript SDK"},

		// By rule, in the authorization request.
		{"google_offline", "OpenID Connect Core §11", "access_type=offline and prompt=consent in place of offline_access", "Google"},

		// At the user's word.
		{"issuer_given", "MCP Authorization Server Location", "no authorization server is named: --issuer URL", "servers behind a company's identity provider"},
		{"assume_pkce_s256", "MCP Authorization Code Protection", "PKCE support is not announced: --assume-pkce-s256", "Entra, Cognito"},
		{"no_resource", "MCP Resource Parameter Implementation", "no resource parameter: --no-resource", "Entra"},
		{"resource=", "MCP Resource Parameter Implementation", "another resource: --resource URI", "Entra"},
		{"client_name=", "RFC 7591 §2", "another name when registering: --client-name NAME", "Figma"},
		{"auth_param=", "OAuth 2.1 §4.1.1", "more parameters in the authorization request: --auth-param NAME=VALUE", "Auth0, Slack"},
	}
}

// extraParams are the parameters that a deviation of the server and the user add to the authorization request; the user's own win.
func extraParams(issuer string, s Settings) (params [][2]string, code string) {
	if !s.Strict && strings.TrimSuffix(issuer, "/") == "https://accounts.google.com" {
		// Google lists no offline_access; it gives a refresh token for these alone, and without the prompt only the first time.
		params, code = [][2]string{{"access_type", "offline"}, {"prompt", "consent"}}, "google_offline"
	}
	return append(slices.Clone(params), s.AuthParams...), code
}

// deviations lists what a login tolerates, as far as it is known before the browser opens.
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

// ofRegistration returns the deviations that were met when a client registered.
func ofRegistration(codes []string) []string {
	return slices.DeleteFunc(slices.Clone(codes), func(code string) bool { return !strings.HasPrefix(code, "registration_") })
}

// refreshTokenInvalid recognises Atlassian's way to say invalid_grant: unauthorized_client with "refresh_token is invalid".
func refreshTokenInvalid(e *token.Error) bool {
	return e.Code == "unauthorized_client" && strings.Contains(e.Description, "refresh_token is invalid")
}
