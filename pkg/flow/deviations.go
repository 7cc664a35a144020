package flow

import (
	"slices"
	"strings"

	"mcpauth/pkg/discovery"
	"mcpauth/pkg/token"
)

// The tolerated deviations of servers from the specifications are listed in docs/quirks.md. A login records the code of each deviation that
// it tolerates. With Settings.Strict, every deviation is an error that names the section of the specification.

// extraParams returns additional parameters of the authorization request: those for a known deviation of the server, followed by those of
// the user. If a name appears twice, the later parameter takes precedence.
func extraParams(issuer string, s Settings) (params [][2]string, code string) {
	if !s.Strict && strings.TrimSuffix(issuer, "/") == "https://accounts.google.com" {
		// Google does not support offline_access, and issues a refresh token only if access_type is offline. Without prompt=consent, only
		// the first login of a user gets a refresh token.
		params, code = [][2]string{{"access_type", "offline"}, {"prompt", "consent"}}, "google_offline"
	}
	return append(slices.Clone(params), s.AuthParams...), code
}

// knownDeviations returns the codes of the tolerated deviations that are known before the browser opens.
func knownDeviations(s Settings, r *discovery.Result) []string {
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
	return mergeLists(all)
}

// registrationCodes returns those deviation codes that are about a client registration.
func registrationCodes(codes []string) []string {
	return slices.DeleteFunc(slices.Clone(codes), func(code string) bool { return !strings.HasPrefix(code, "registration_") })
}

// refreshTokenInvalid reports whether the server refused the refresh token in the way that Atlassian does: with unauthorized_client and the
// text "refresh_token is invalid" instead of invalid_grant.
func refreshTokenInvalid(e *token.Error) bool {
	return e.Code == "unauthorized_client" && strings.Contains(e.Description, "refresh_token is invalid")
}
