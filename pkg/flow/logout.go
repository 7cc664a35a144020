// This file ends a login: revocation (RFC 7009), the end of a dynamic registration (RFC 7592), and the local deletion that happens
// whatever the server says.

package flow

import (
	"context"
	"errors"
	"fmt"

	"mcpauth/pkg/dcr"
	"mcpauth/pkg/keystore"
	"mcpauth/pkg/token"
)

// LogoutOptions are the user's choices. The zero value ends everything.
type LogoutOptions struct {
	KeepClient bool // leave a dynamic registration in place, stored for the next login
}

// LogoutReport says what a logout did; its JSON form is printed by the command.
type LogoutReport struct {
	Name          *string  `json:"name"`
	URL           string   `json:"url"`
	LoggedIn      bool     `json:"logged_in"` // there was something to end
	Revoked       bool     `json:"revoked"`
	ClientDeleted bool     `json:"client_deleted"`
	Warnings      []string `json:"warnings"`
}

// Logout revokes the refresh and the access token, ends a dynamic registration, and deletes the credential here. What the server
// refuses or cannot be asked is a warning in the report; the error is about the local store alone.
func (c *Client) Logout(ctx context.Context, t Target, o LogoutOptions) (LogoutReport, error) {
	report := LogoutReport{Name: name(t.Profile), URL: t.URL, Warnings: []string{}}
	unlock, err := c.Store.Lock(ctx, t.key(), "credential")
	if err != nil {
		return report, err
	}
	defer unlock()
	cred, err := c.load(ctx, t)
	switch {
	case errors.Is(err, ErrLoginRequired):
		return report, nil
	case errors.Is(err, ErrCredential), errors.Is(err, keystore.ErrCorrupt):
		report.LoggedIn = true
		report.Warnings = append(report.Warnings, fmt.Sprintf("%v; it is deleted without revoking anything", err))
		return report, c.forget(ctx, t)
	case err != nil:
		return report, err
	}
	report.LoggedIn = cred.hasToken() || cred.Client.ID != ""
	unlockLogin, err := c.keepLoginsOut(ctx, t)
	if errors.Is(err, keystore.ErrBusy) {
		if !o.KeepClient {
			report.Warnings = append(report.Warnings, "a login to this server is under way; its client registration is left in place")
		}
		o.KeepClient = true
	} else if err != nil {
		return report, err
	} else {
		defer unlockLogin()
	}
	if cred.hasToken() {
		report.Revoked = c.revokeAll(ctx, cred, &report)
	}
	if o.KeepClient && (cred.Client.Kind == dcr.Dynamic || cred.NextClient != nil) {
		kept := Credential{Server: cred.Server, Profile: cred.Profile, NextClient: cred.NextClient, generation: cred.generation}
		if cred.Client.Kind == dcr.Dynamic {
			kept.Issuer, kept.Client = cred.Issuer, cred.Client
		}
		return report, c.save(context.WithoutCancel(ctx), t, &kept)
	}
	if deletable(cred.Client) || cred.NextClient != nil {
		// A login that found a client which the server has deleted would end at an error page that nobody sees. If this process dies
		// here, the next one is not to use it; what cannot be written now may still be deleted below.
		_ = c.save(context.WithoutCancel(ctx), t, &Credential{Server: cred.Server, Profile: cred.Profile, generation: cred.generation})
	}
	report.ClientDeleted = c.deleteClient(ctx, cred, &report)
	return report, c.forget(context.WithoutCancel(ctx), t)
}

// keepLoginsOut holds the lock of logins, or fails with keystore.ErrBusy at once: a login that waits for its answer uses the registration.
func (c *Client) keepLoginsOut(ctx context.Context, t Target) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, 0)
	defer cancel()
	return c.Store.Lock(ctx, t.key(), "login")
}

// forget deletes the credential and its notes.
func (c *Client) forget(ctx context.Context, t Target) error {
	return errors.Join(c.Store.Delete(ctx, t.key()), c.Store.DeleteNote(ctx, t.key(), intentNote), c.Store.DeleteNote(ctx, t.key(), journalNote))
}

// revokeAll revokes the refresh token first: that ends the grant; then the access token, which may live on otherwise.
func (c *Client) revokeAll(ctx context.Context, cred Credential, report *LogoutReport) bool {
	if cred.Endpoints.Revocation == "" {
		report.Warnings = append(report.Warnings, "the authorization server has no revocation endpoint; the tokens stay good there until they expire")
		return false
	}
	e, err := c.endpoint(cred)
	if err != nil {
		report.Warnings = append(report.Warnings, stage("revocation", err).Error())
		return false
	}
	done := true
	for _, tok := range []struct{ value, hint string }{{cred.Token.RefreshToken, "refresh_token"}, {cred.Token.AccessToken, "access_token"}} {
		if tok.value == "" {
			continue
		}
		if err := e.Revoke(ctx, cred.Endpoints.Revocation, tok.value, tok.hint); err != nil && !alreadyGone(err) {
			report.Warnings = append(report.Warnings, fmt.Sprintf("revocation of the %s: %v", tok.hint, err))
			done = false
		}
	}
	return done
}

// alreadyGone reports answers that mean the token is good for nothing any more, or was never revocable by itself (RFC 7009 §2.2.1).
func alreadyGone(err error) bool {
	var e *token.Error
	return errors.As(err, &e) && (e.Code == "invalid_token" || e.Code == "unsupported_token_type" || e.Code == "invalid_grant")
}

// deletable reports whether the server said how to end a registration (RFC 7592 §2.3).
func deletable(client dcr.Client) bool {
	return client.Kind == dcr.Dynamic && client.RegistrationURI != "" && client.RegistrationToken != ""
}

// deleteClient ends a dynamic registration where the server said how.
func (c *Client) deleteClient(ctx context.Context, cred Credential, report *LogoutReport) bool {
	clients := []dcr.Client{cred.Client}
	if cred.NextClient != nil {
		clients = append(clients, *cred.NextClient)
	}
	deleted := false
	for _, client := range clients {
		if !deletable(client) {
			continue
		}
		if err := dcr.Delete(ctx, c.HTTP, client); err != nil {
			report.Warnings = append(report.Warnings, fmt.Sprintf("client registration %q: %v", client.ID, err))
			continue
		}
		deleted = true
	}
	return deleted
}

// revokeReplaced ends a grant that a new login replaced. The new one works, so that a failure here is worth no more than a word.
func (c *Client) revokeReplaced(ctx context.Context, old, stored Credential) {
	if !old.hasToken() || old.Endpoints.Revocation == "" || old.Token.RefreshToken == stored.Token.RefreshToken && old.same(stored.Token.AccessToken) {
		return
	}
	var report LogoutReport
	if !c.revokeAll(ctx, old, &report) {
		for _, w := range report.Warnings {
			c.progress("the replaced login: " + w)
		}
	}
}
