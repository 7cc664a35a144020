package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"mcpauth/pkg/keystore"
)

// State is the state of a stored access token.
type State string

// Values of Status.State.
const (
	StateValid    State = "valid"
	StateExpiring State = "expiring" // less than 5 minutes are left
	StateExpired  State = "expired"
	StateUnknown  State = "unknown" // the expiry is unknown, so the token is used until the server answers 401
	StateNone     State = "none"    // no token is stored
)

// expiringWithin is the remaining lifetime at which a token becomes StateExpiring.
const expiringWithin = 5 * time.Minute

// Status describes a credential without its secrets. The JSON form of Status is stable.
type Status struct {
	Name         *string    `json:"name"` // nil: the unnamed login
	URL          string     `json:"url"`
	Resource     string     `json:"resource"`
	Issuer       string     `json:"issuer"`
	State        State      `json:"state"`
	ExpiresAt    *time.Time `json:"expires_at"`  // nil: unknown
	ExpiresIn    *int64     `json:"expires_in"`  // remaining lifetime in seconds; nil: unknown
	Refreshable  bool       `json:"refreshable"` // the credential can be renewed without a browser
	Scopes       []string   `json:"scopes"`
	ClientID     string     `json:"client_id"`
	Registration string     `json:"registration"`
	TokenType    string     `json:"token_type"`
	Grant        Grant      `json:"grant"`
	Keystore     string     `json:"keystore"`
	Generation   uint64     `json:"generation"`
	ObtainedAt   *time.Time `json:"obtained_at"`
	Deviations   []string   `json:"quirks"`
	Strict       bool       `json:"strict"`  // true: renewals and later logins treat every deviation as an error
	Account      string     `json:"account"` // account of the login, from unverified claims: email, else preferred_username, else sub; empty: unknown

	Asked []string `json:"-"` // the scopes that the login requested
	Bound bool     `json:"-"` // the login bound its tokens to a key (DPoP)
	Cert  string   `json:"-"` // file with the client certificate
	Key   string   `json:"-"` // file with the key of the certificate
	Moved string   `json:"-"` // URL to which the server redirects the calls, on the same origin; empty: none

	AssertionVariable string `json:"-"` // environment variable that contains the assertion; empty: none
}

// Usable reports whether the credential works now or can be renewed without a browser.
func (s Status) Usable() bool {
	switch s.State {
	case StateValid, StateExpiring, StateUnknown:
		return true
	case StateExpired:
		return s.Refreshable
	}
	return false
}

// IsUnfinished reports whether at most a registration or a pending login is stored. A login whose tokens the server refused is not unfinished.
func (s Status) IsUnfinished() bool { return s.State == StateNone && s.Grant == "" }

// StateAt returns the state of a token at the time now. A zero expiry means that the expiry is unknown.
func StateAt(expiry, now time.Time) State {
	switch {
	case expiry.IsZero():
		return StateUnknown
	case !now.Before(expiry):
		return StateExpired
	case expiry.Sub(now) < expiringWithin:
		return StateExpiring
	}
	return StateValid
}

// publicRecord is the part of a credential that the index stores. It contains no secrets.
type publicRecord struct {
	Kind         string    `json:"kind,omitempty"` // empty: a credential; else kindPending or kindSpent
	Name         string    `json:"name,omitempty"`
	Resource     string    `json:"resource,omitempty"`
	Issuer       string    `json:"issuer,omitempty"`
	HasToken     bool      `json:"has_token"`
	Expiry       time.Time `json:"expiry,omitzero"`
	Refreshable  bool      `json:"refreshable,omitempty"`
	Scopes       []string  `json:"scopes,omitempty"`
	Asked        []string  `json:"scopes_asked,omitempty"`
	Bound        bool      `json:"bound,omitempty"`
	ClientID     string    `json:"client_id,omitempty"`
	Registration string    `json:"registration,omitempty"`
	TokenType    string    `json:"token_type,omitempty"`
	Grant        Grant     `json:"grant,omitempty"`
	ObtainedAt   time.Time `json:"obtained_at,omitzero"`
	Deviations   []string  `json:"quirks,omitempty"`
	Strict       bool      `json:"strict,omitempty"`
	Moved        string    `json:"moved,omitempty"`
	Account      string    `json:"account,omitempty"`
	Cert         string    `json:"cert_file,omitempty"`
	Key          string    `json:"cert_key_file,omitempty"`

	NameOfProject     bool   `json:"name_of_project,omitempty"` // see Settings.NameOfProject
	AssertionVariable string `json:"assertion_variable,omitempty"`
}

// publicRecord returns the part of the credential that commands read without opening the keychain.
func (c credential) publicRecord() publicRecord {
	p := publicRecord{Name: c.Profile, Resource: c.Resource, Issuer: c.Issuer, HasToken: c.hasToken(), Grant: c.Grant, ClientID: c.Client.ID,
		Registration: c.Client.Kind, Deviations: c.Deviations, Strict: c.Settings.Strict, Moved: c.Moved, Cert: c.Settings.CertFile,
		Key: c.Settings.CertKeyFile, AssertionVariable: c.Settings.assertionVariable(), NameOfProject: c.Settings.NameOfProject, Asked: c.Scopes, Bound: c.DPoPKey != nil}
	if c.hasToken() {
		p.Expiry, p.TokenType, p.ObtainedAt, p.Scopes = c.Token.Expiry, c.Token.TokenType, c.ObtainedAt, c.grantedScopes()
		p.Refreshable, p.Account = c.isRenewable(), c.Account
	}
	return p
}

// Status returns the status of one credential. If there is no credential, State is StateNone.
func (c *Client) Status(ctx context.Context, t Target) (Status, error) {
	e, err := c.Store.Entry(ctx, t.key())
	if errors.Is(err, keystore.ErrNotFound) {
		return none(t), nil
	}
	if err != nil {
		return none(t), err
	}
	s, _, err := statusOf(e, c.now())
	return s, err
}

// Statuses returns the status of every stored credential. A server with only a pending login has StateNone. If an entry is damaged,
// Statuses returns the other entries and an error.
func (c *Client) Statuses(ctx context.Context) ([]Status, error) {
	entries, err := c.Store.List(ctx)
	all := make([]Status, 0, len(entries))
	seen := map[keystore.Key]bool{}
	for _, e := range entries {
		s, kind, entryErr := statusOf(e, c.now())
		if kind != "" {
			continue
		}
		seen[e.Key] = true
		err = errors.Join(err, entryErr)
		if entryErr == nil {
			all = append(all, s)
		}
	}
	for _, e := range entries {
		if t := targetOf(e); !seen[t.key()] {
			seen[t.key()] = true
			all = append(all, none(t))
		}
	}
	return all, err
}

// Find returns the logins with this profile or URL, and the other targets with a registration or a pending login. A login that cannot be read
// counts as a login. Nothing but an unfinished login gives its targets their names, so NameOfProject is true in them.
func (c *Client) Find(ctx context.Context, nameOrURL string) (logins, unfinished []Target, err error) {
	entries, err := c.Store.List(ctx)
	known := func(list []Target, t Target) bool {
		return slices.ContainsFunc(list, func(other Target) bool { return other.key() == t.key() })
	}
	for _, e := range entries {
		t := targetOf(e)
		if nameOrURL == "" || t.Profile != nameOrURL && t.URL != nameOrURL {
			continue
		}
		var p struct { // three fields of a publicRecord, because it takes much longer to decode all of them
			HasToken      bool  `json:"has_token"`
			Grant         Grant `json:"grant"`
			NameOfProject bool  `json:"name_of_project"`
		}
		damaged := json.Unmarshal(e.Public, &p) != nil
		switch {
		case e.Key == t.key() && (damaged || p.HasToken || p.Grant != ""):
			t.NameOfProject = p.NameOfProject
			logins = append(logins, t)
		case !known(unfinished, t):
			t.NameOfProject = true
			unfinished = append(unfinished, t)
		}
	}
	return logins, slices.DeleteFunc(unfinished, func(t Target) bool { return known(logins, t) }), err
}

func none(t Target) Status {
	return Status{Name: nullableName(t.Profile), URL: t.URL, State: StateNone, Scopes: []string{}, Deviations: []string{}}
}

// statusOf returns the status in an index entry, and the kind of the entry, see publicRecord. If the entry redirects calls to another origin,
// statusOf returns an error.
func statusOf(e keystore.Entry, now time.Time) (Status, string, error) {
	var p publicRecord
	err := json.Unmarshal(e.Public, &p)
	if u, urlErr := url.Parse(p.Moved); err != nil || urlErr != nil || p.Moved != "" && !hasOriginOf([]string{e.Key.Server})(u) {
		return Status{}, p.Kind, fmt.Errorf("index entry of %s: %w", e.Key.Server, keystore.ErrCorrupt)
	}
	s := Status{
		Name: nullableName(e.Key.Profile), URL: e.Key.Server, Resource: p.Resource, Issuer: p.Issuer, State: StateNone, Refreshable: p.Refreshable,
		Scopes: append([]string{}, p.Scopes...), ClientID: p.ClientID, Registration: p.Registration, TokenType: p.TokenType, Grant: p.Grant,
		Keystore: e.Backend, Generation: e.Generation, Deviations: append([]string{}, p.Deviations...), Strict: p.Strict, Asked: p.Asked, Moved: p.Moved,
		Cert: p.Cert, Key: p.Key, Account: p.Account, Bound: p.Bound, AssertionVariable: p.AssertionVariable,
	}
	if !p.HasToken {
		return s, p.Kind, nil
	}
	s.State = StateAt(p.Expiry, now)
	if !p.Expiry.IsZero() {
		at, left := p.Expiry.UTC().Truncate(time.Second), int64(p.Expiry.Sub(now).Truncate(time.Second)/time.Second)
		s.ExpiresAt, s.ExpiresIn = &at, &left
	}
	if !p.ObtainedAt.IsZero() {
		at := p.ObtainedAt.UTC().Truncate(time.Second)
		s.ObtainedAt = &at
	}
	return s, p.Kind, nil
}

// kindOf returns the kind of an entry. An unreadable entry counts as a credential, so that the damage is reported.
func kindOf(e keystore.Entry) string {
	var p publicRecord
	_ = json.Unmarshal(e.Public, &p)
	return p.Kind
}

// nullableName returns a pointer to the name. If the name is empty, the result is nil, which is null in JSON.
func nullableName(profile string) *string {
	if profile == "" {
		return nil
	}
	return &profile
}
