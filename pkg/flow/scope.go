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

// union returns the scopes of all lists in the order of their first appearance.
func union(lists ...[]string) []string {
	var all []string
	for _, l := range lists {
		for _, s := range l {
			if s != "" && !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
	}
	return all
}

// missing returns the wanted scopes that are not among those granted.
func missing(wanted, granted []string) []string {
	var out []string
	for _, s := range wanted {
		if s != offlineAccess && !slices.Contains(granted, s) { // many servers never name offline_access as granted
			out = append(out, s)
		}
	}
	return out
}

func splitScope(s string) []string { return union(strings.Fields(s)) }

func joinScopes(scopes []string) string { return strings.Join(scopes, " ") }
