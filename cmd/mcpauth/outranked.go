package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"mcpauth/pkg/flow"
)

// checkStoredLogin returns an error if a project's file would change a setting of a stored login. The file may only add settings that the
// stored login does not have. The same holds if the server has ended the grant of the login, because the next login uses the stored settings.
// The file may add headers only if the user has trusted the file.
func (p *program) checkStoredLogin(ctx context.Context, given server) error {
	if !given.inProject {
		return nil
	}
	t := given.target
	s, err := p.flowClient.Load().Status(ctx, t)
	if err != nil || s.Grant == "" { // without a grant, the record contains no login, but at most a client registration
		return err
	}
	if (s.Bound || strings.EqualFold(s.TokenType, "DPoP")) && t.DPoP != "" && t.DPoP != flow.DPoPAlways {
		return changedLoginError(s, "auth.dpop", string(t.DPoP), "always")
	}
	if t.Header.Get("Authorization") != "" {
		return changedLoginError(s, "headers.Authorization", "another credential", "its own")
	}
	if given.untrusted != nil {
		return given.untrusted
	}
	for _, each := range []struct{ what, given, stored string }{
		{"auth.issuer", t.Issuer, s.Issuer}, {"auth.grant", string(t.Grant), string(s.Grant)},
		{"auth.clientId", t.ClientID, s.ClientID}, {"auth.clientMetadataUrl", t.ClientMetadataURL, s.ClientID},
	} {
		if each.given != "" && each.given != each.stored {
			return changedLoginError(s, each.what, each.given, each.stored)
		}
	}
	for _, scope := range t.Scopes {
		if !slices.Contains(s.Scopes, scope) && !slices.Contains(s.Asked, scope) {
			return changedLoginError(s, "auth.scope", strings.Join(t.Scopes, " "), strings.Join(s.Asked, " "))
		}
	}
	return nil
}

func changedLoginError(s flow.Status, what, given, stored string) error {
	return &configError{message: fmt.Sprintf("the project's file sets %s to %s, but the stored login %s has %s; a project's file cannot change a login",
		what, quote(given), quote(*s.Name), quote(stored)), hint: "if the file is right: mcpauth logout " + shellWord(*s.Name)}
}
