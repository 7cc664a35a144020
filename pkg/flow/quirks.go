// This file is the one table of tolerances: what a login did otherwise than the specification says, because the server or the user
// asked for it. The names are recorded with the credential and shown by status.

package flow

import (
	"strings"

	"mcpauth/pkg/discovery"
	"mcpauth/pkg/token"
)

// quirks lists what this login tolerates.
func quirks(o LoginOptions, r *discovery.Result) []string {
	var all []string
	for _, q := range []struct {
		name  string
		apply bool
	}{
		{"assume_pkce_s256", o.AssumePKCES256 && hasFinding(r, "pkce_assumed")},
		{"no_resource", o.NoResource},
		{"resource=" + o.Resource, o.Resource != "" && !o.NoResource},
		{"client_name=" + o.ClientName, o.ClientName != ""},
		{"legacy_2025_03_26", r.Legacy},
		{"default_endpoints", r.DefaultEndpoints},
	} {
		if q.apply {
			all = append(all, q.name)
		}
	}
	for _, p := range o.AuthParams {
		all = append(all, "auth_param="+p[0]) // the value may be private
	}
	for _, f := range r.Findings {
		if f.Code == "issuer_slash" || f.Code == "resource_parent" || f.Code == "resource_slash" {
			all = append(all, f.Code)
		}
	}
	return all
}

func hasFinding(r *discovery.Result, code string) bool {
	for _, f := range r.Findings {
		if f.Code == code {
			return true
		}
	}
	return false
}

// refreshTokenInvalid recognises Atlassian's way to say invalid_grant: unauthorized_client with "refresh_token is invalid".
func refreshTokenInvalid(e *token.Error) bool {
	return e.Code == "unauthorized_client" && strings.Contains(e.Description, "refresh_token is invalid")
}
