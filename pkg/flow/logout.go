package flow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"mcpauth/internal/task"
	"mcpauth/pkg/dcr"
	"mcpauth/pkg/keystore"
	"mcpauth/pkg/token"
)

// LogoutOptions are the options of Client.Logout.
type LogoutOptions struct {
	KeepClient bool // keep the dynamic registration for the next login
}

// LogoutReport describes what a logout did. The JSON form of LogoutReport is stable.
type LogoutReport struct {
	Name          *string  `json:"name"`
	URL           string   `json:"url"`
	LoggedIn      bool     `json:"logged_in"` // a login or a client registration was stored
	Revoked       bool     `json:"revoked"`
	ClientDeleted bool     `json:"client_deleted"`
	Warnings      []string `json:"warnings"`
}

func (r *LogoutReport) warn(format string, args ...any) {
	r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...))
}

// The time limit for deleting the stored login is forgetLimit, or forgetGrace after the caller's context has ended.
const (
	forgetGrace = 1500 * time.Millisecond
	forgetLimit = time.Minute
)

// Logout revokes the tokens (RFC 7009), deletes the dynamic registration (RFC 7592), and deletes the stored credential and pending logins.
// Logout also revokes the tokens of replaced grants. If a request to the server fails, the report contains a warning. An error means that
// the store failed.
func (c *Client) Logout(ctx context.Context, t Target, o LogoutOptions) (LogoutReport, error) {
	report := LogoutReport{Name: nullableName(t.Profile), URL: t.URL, Warnings: []string{}}
	unlock, err := c.Store.Lock(ctx, t.key(), keystore.LockCredential)
	if err != nil {
		return report, err
	}
	defer unlock()
	local, cancel := task.Outlive(ctx, forgetGrace, forgetLimit)
	defer cancel()
	cred, err := c.loadCredential(ctx, t)
	switch {
	case errors.Is(err, ErrLoginRequired):
		return report, c.forget(local, t)
	case errors.Is(err, ErrCredential), errors.Is(err, keystore.ErrCorrupt):
		report.LoggedIn = true
		report.warn("%v; deleting it without revoking tokens", err)
		return report, c.forget(local, t)
	case err != nil:
		return report, err
	}
	report.LoggedIn = cred.hasToken() || cred.Client.ID != "" || cred.NextClient != nil || cred.IDP != nil || cred.NextIDP != nil
	unlockLogin, err := c.Store.TryLock(ctx, t.key(), keystore.LockLogin) // a login that holds the lock needs the registration
	switch {
	case errors.Is(err, keystore.ErrBusy):
		if !o.KeepClient {
			report.warn("a login to this server is running; keeping its client registration")
		}
		o.KeepClient = true
	case err != nil:
		return report, err
	default:
		defer unlockLogin()
	}
	asked, done := false, true
	for _, login := range []credential{cred, cred.providerLogin(), cred.nextProviderLogin()} {
		if all := append(login.currentTokens(), login.Retired...); len(all) > 0 {
			asked, done = true, c.revokeTokens(ctx, login, all, &report) && done
		}
	}
	report.Revoked = asked && done
	kept := credential{Server: cred.Server, Profile: cred.Profile, generation: cred.generation}
	if o.KeepClient && (cred.Client.Kind == dcr.Dynamic || cred.NextClient != nil) {
		kept.NextClient, kept.OldClients = cred.NextClient, cred.OldClients
		if cred.Client.Kind == dcr.Dynamic {
			kept.Issuer, kept.Client = cred.Issuer, cred.Client
		}
		return report, errors.Join(c.saveCredential(local, t, &kept), c.forgetPending(local, t, true))
	}
	if len(cred.deletableClients()) > 0 {
		// Remove the registrations from the store before deleting them at the server. If a stored registration were already deleted at the
		// server, the next login would end on an error page in the browser. An error of saveCredential is ignored, because forget may still
		// delete the record.
		_ = c.saveCredential(local, t, &kept)
	}
	for _, client := range cred.deletableClients() {
		if err := c.deleteClient(ctx, cred, client); err != nil {
			report.warn("client registration %q: %v", client.ID, err)
			continue
		}
		report.ClientDeleted = true
	}
	return report, c.forget(local, t)
}

func (c *Client) forget(ctx context.Context, t Target) error {
	return errors.Join(c.Store.Delete(ctx, t.key()), c.Store.DeleteNote(ctx, t.key(), intentNote), c.Store.DeleteNote(ctx, t.key(), journalNote),
		c.forgetPending(ctx, t, true))
}

// currentTokens returns the credential's tokens. The refresh token is first, because its revocation ends the grant.
func (c credential) currentTokens() []retiredToken {
	var all []retiredToken
	for _, t := range []retiredToken{{c.Token.RefreshToken, "refresh_token"}, {c.Token.AccessToken, "access_token"}} {
		if t.Token != "" {
			all = append(all, t)
		}
	}
	return all
}

// deleteClient deletes a registration at the authorization server that made it, which may be that of an earlier login.
func (c *Client) deleteClient(ctx context.Context, cred credential, client dcr.Client) error {
	hc, err := c.endpointHTTP(cred.target(), cmp.Or(client.Issuer, cred.Issuer))
	if err != nil {
		return err
	}
	return dcr.Delete(ctx, hc, client)
}

// deletableClients returns the registrations that can be deleted (RFC 7592 §2.3).
func (c credential) deletableClients() []dcr.Client {
	all := []dcr.Client{c.Client}
	if c.NextClient != nil {
		all = append(all, *c.NextClient)
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(append(all, c.OldClients...), func(client dcr.Client) bool {
		double := seen[client.ID]
		seen[client.ID] = true
		return double || client.Kind != dcr.Dynamic || client.RegistrationURI == "" || client.RegistrationToken == ""
	})
}

// revokeTokens revokes tokens at the credential's authorization server (RFC 7009) and reports whether all of them are now invalid.
func (c *Client) revokeTokens(ctx context.Context, cred credential, tokens []retiredToken, report *LogoutReport) bool {
	if cred.Endpoints.Revocation == "" {
		report.warn("%s has no revocation endpoint; the tokens stay valid until they expire", cred.Issuer)
		return false
	}
	e, err := c.tokenEndpoint(cred)
	if err != nil {
		report.warn("%v", stage("revocation", err))
		return false
	}
	done := true
	for _, t := range tokens {
		if err := e.Revoke(ctx, cred.Endpoints.Revocation, t.Token, t.Hint); err != nil && !alreadyGone(err) {
			report.warn("revocation of the %s: %v", t.Hint, err)
			if done = false; ctx.Err() != nil {
				return false
			}
		}
	}
	return done
}

// alreadyGone reports whether a failed revocation is harmless, because the token is already invalid or cannot be revoked separately (RFC
// 7009 §2.2.1).
func alreadyGone(err error) bool {
	var e *token.Error
	return errors.As(err, &e) && (e.Code == "invalid_token" || e.Code == "unsupported_token_type" || e.Code == "invalid_grant")
}
