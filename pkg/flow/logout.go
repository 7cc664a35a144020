package flow

import (
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

// LogoutReport says what a logout did. Its JSON form is stable.
type LogoutReport struct {
	Name          *string  `json:"name"`
	URL           string   `json:"url"`
	LoggedIn      bool     `json:"logged_in"` // there was something to end
	Revoked       bool     `json:"revoked"`
	ClientDeleted bool     `json:"client_deleted"`
	Warnings      []string `json:"warnings"`
}

func (r *LogoutReport) warn(format string, args ...any) {
	r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...))
}

// Local work of a logout goes on so long after the caller has left, and so long in all.
const (
	forgetGrace = 1500 * time.Millisecond
	forgetLimit = time.Minute
)

// Logout revokes the tokens, including those of replaced grants, deletes a dynamic registration and pending logins, and then deletes the
// stored credential. If the server refuses or cannot be reached, the report contains a warning; an error is only returned for the local
// store.
func (c *Client) Logout(ctx context.Context, t Target, o LogoutOptions) (LogoutReport, error) {
	report := LogoutReport{Name: name(t.Profile), URL: t.URL, Warnings: []string{}}
	unlock, err := c.Store.Lock(ctx, t.key(), keystore.LockCredential)
	if err != nil {
		return report, err
	}
	defer unlock()
	local, cancel := task.Outlive(ctx, forgetGrace, forgetLimit)
	defer cancel()
	cred, err := c.load(ctx, t)
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
	report.LoggedIn = cred.hasToken() || cred.Client.ID != "" || cred.IDP != nil || cred.NextIDP != nil
	now, cancelNow := context.WithTimeout(ctx, 0) // a login that waits for its answer uses the registration
	defer cancelNow()
	unlockLogin, err := c.Store.Lock(now, t.key(), keystore.LockLogin)
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
	for _, login := range []Credential{cred, cred.provider(), cred.next()} {
		if all := append(login.live(), login.Retired...); len(all) > 0 {
			asked, done = true, c.revoke(ctx, login, all, &report) && done
		}
	}
	report.Revoked = asked && done
	kept := Credential{Server: cred.Server, Profile: cred.Profile, generation: cred.generation}
	if o.KeepClient && (cred.Client.Kind == dcr.Dynamic || cred.NextClient != nil) {
		kept.NextClient, kept.OldClients = cred.NextClient, cred.OldClients
		if cred.Client.Kind == dcr.Dynamic {
			kept.Issuer, kept.Client = cred.Issuer, cred.Client
		}
		return report, errors.Join(c.save(local, t, &kept), c.forgetPending(local, t))
	}
	if len(cred.clients()) > 0 {
		// A login that found a client which the server has deleted would end at an error page that nobody sees. If this process dies
		// here, the next one is not to use it; what cannot be written now may still be deleted below.
		_ = c.save(local, t, &kept)
	}
	for _, client := range cred.clients() {
		hc, err := c.endpointHTTP(cred.Settings, cred.Issuer, cred.Server)
		if err == nil {
			err = dcr.Delete(ctx, hc, client)
		}
		if err != nil {
			report.warn("client registration %q: %v", client.ID, err)
			continue
		}
		report.ClientDeleted = true
	}
	return report, c.forget(local, t)
}

// forget deletes the credential, its notes, and its pending logins.
func (c *Client) forget(ctx context.Context, t Target) error {
	return errors.Join(c.Store.Delete(ctx, t.key()), c.Store.DeleteNote(ctx, t.key(), intentNote), c.Store.DeleteNote(ctx, t.key(), journalNote),
		c.forgetPending(ctx, t))
}

func (c *Client) forgetPending(ctx context.Context, t Target) error {
	entries, err := c.pendingOf(ctx, t)
	if errors.Is(err, keystore.ErrCorrupt) {
		err = nil // of another server
	}
	for _, e := range entries {
		err = errors.Join(err, c.Store.Delete(ctx, e.Key))
	}
	return err
}

// live returns the credential's own tokens, with the refresh token first, because its revocation ends the grant.
func (c Credential) live() []Retired {
	var all []Retired
	for _, t := range []Retired{{c.Token.RefreshToken, "refresh_token"}, {c.Token.AccessToken, "access_token"}} {
		if t.Token != "" {
			all = append(all, t)
		}
	}
	return all
}

// clients returns the registrations that can be deleted (RFC 7592 §2.3).
func (c Credential) clients() []dcr.Client {
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

// revoke revokes tokens at the credential's authorization server (RFC 7009), and reports whether none of them is valid any more.
func (c *Client) revoke(ctx context.Context, cred Credential, tokens []Retired, report *LogoutReport) bool {
	if cred.Endpoints.Revocation == "" {
		report.warn("%s has no revocation endpoint; the tokens stay valid until they expire", cred.Issuer)
		return false
	}
	e, err := c.endpoint(cred)
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

// alreadyGone reports whether an answer means that the token is no longer valid, or cannot be revoked separately (RFC 7009 §2.2.1).
func alreadyGone(err error) bool {
	var e *token.Error
	return errors.As(err, &e) && (e.Code == "invalid_token" || e.Code == "unsupported_token_type" || e.Code == "invalid_grant")
}
