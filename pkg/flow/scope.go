package flow

import (
	"fmt"
	"slices"
	"strings"

	"mcpauth/internal/httpx"
	"mcpauth/pkg/discovery"
)

// chooseScopes returns the scopes of a first login: those that the user named, else those of the challenge, else those in the resource
// metadata. If the result is empty, the server chooses. If the authorization server lists offline_access, the result also contains
// offline_access, because the server may issue no refresh token without this scope (MCP authorization, Refresh Tokens).
func chooseScopes(user []string, challenge string, resource, server []string) []string {
	var chosen []string
	switch {
	case len(user) > 0:
		chosen = mergeLists(user)
	case challenge != "":
		chosen = splitScope(challenge)
	default:
		chosen = mergeLists(resource)
	}
	if len(chosen) > 0 && slices.Contains(server, offlineAccess) {
		chosen = mergeLists(chosen, []string{offlineAccess})
	}
	return chosen
}

// scopesOf returns the scopes in resource metadata. It leaves out words that are not scopes.
func scopesOf(m discovery.ResourceMetadata) []string {
	scopes, _ := httpx.SplitScopes(joinScopes(m.ScopesSupported))
	return scopes
}

// keepScopes adds the scopes of the stored login to the chosen scopes, so that a later login does not lose what a step-up obtained. If the
// stored login requested no scopes or used another issuer, keepScopes adds no scopes.
func keepScopes(chosen []string, old credential, issuer string) []string {
	if old.Issuer != issuer || len(old.Scopes) == 0 {
		return chosen
	}
	return mergeLists(chosen, old.grantedScopes())
}

// maxScopes limits the scopes that a login requests in addition to those that the user names, in bytes. Otherwise a server could make the
// stored login larger with each login.
const maxScopes = 16 << 10

func checkScopes(scopes []string, t Target) error {
	if len(joinScopes(scopes)) > maxScopes+len(joinScopes(t.Scopes)) {
		return fmt.Errorf("%s: %w: more than %d kB", t.URL, ErrManyScopes, maxScopes>>10)
	}
	return nil
}

// scopeSetKey returns a map key for a set of scopes.
func scopeSetKey(scopes []string) string {
	return joinScopes(slices.Sorted(slices.Values(scopes)))
}

const offlineAccess = "offline_access"

// mergeLists returns the elements of all lists without duplicates, in the order in which they first appear. It takes linear time, because a
// server may name any number of scopes.
func mergeLists(lists ...[]string) []string {
	seen := map[string]bool{"": true}
	return slices.DeleteFunc(slices.Concat(lists...), func(s string) bool {
		double := seen[s]
		seen[s] = true
		return double
	})
}

// missingScopes returns the wanted scopes that are not granted.
func missingScopes(wanted, granted []string) []string {
	have := map[string]bool{offlineAccess: true} // offline_access counts as granted, because many servers never list it among the granted scopes
	for _, s := range granted {
		have[s] = true
	}
	return slices.DeleteFunc(slices.Clone(wanted), func(s string) bool { return have[s] })
}

func splitScope(s string) []string { return mergeLists(strings.Fields(s)) }

func joinScopes(scopes []string) string { return strings.Join(scopes, " ") }
