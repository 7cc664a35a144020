package flow

import (
	"slices"
	"strings"
)

// chooseScopes returns the scopes of a first login: those the user named, else those of the challenge, else all that the resource
// metadata lists, else none, which leaves the choice to the server. With any at all, offline_access is added where the authorization
// server lists it, since without it such servers give no refresh token (MCP authorization, Refresh Tokens).
func chooseScopes(user []string, challenge string, resource, server []string) []string {
	var chosen []string
	switch {
	case len(user) > 0:
		chosen = union(user)
	case challenge != "":
		chosen = splitScope(challenge)
	default:
		chosen = union(resource)
	}
	if len(chosen) > 0 && slices.Contains(server, offlineAccess) {
		chosen = union(chosen, []string{offlineAccess})
	}
	return chosen
}

// keepScopes adds the scopes that were granted before, so that a later login does not lose what a step-up obtained. If no scope was ever
// asked for, none is: the choice stays the server's. Another authorization server has other scopes.
func keepScopes(chosen []string, old Credential, issuer string) []string {
	if old.Issuer != issuer || len(old.Scopes) == 0 {
		return chosen
	}
	return union(chosen, old.granted())
}

const offlineAccess = "offline_access"

// union returns the scopes of all lists in the order of their first appearance. A server may name any number of them.
func union(lists ...[]string) []string {
	var all []string
	seen := map[string]bool{"": true}
	for _, l := range lists {
		for _, s := range l {
			if !seen[s] {
				seen[s] = true
				all = append(all, s)
			}
		}
	}
	return all
}

// missing returns the wanted scopes that are not among those granted.
func missing(wanted, granted []string) []string {
	have := map[string]bool{offlineAccess: true} // many servers never name it as granted
	for _, s := range granted {
		have[s] = true
	}
	return slices.DeleteFunc(slices.Clone(wanted), func(s string) bool { return have[s] })
}

func splitScope(s string) []string { return union(strings.Fields(s)) }

func joinScopes(scopes []string) string { return strings.Join(scopes, " ") }
