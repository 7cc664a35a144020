// This file reads and writes credentials: every write is made under the credential's lock and read back by the store.

package flow

import (
	"context"
	"errors"
	"fmt"

	"mcpauth/pkg/keystore"
)

// load returns the stored credential; absence is ErrLoginRequired.
func (c *Client) load(ctx context.Context, t Target) (Credential, error) {
	r, err := c.Store.Get(ctx, t.key())
	if errors.Is(err, keystore.ErrNotFound) {
		return Credential{}, fmt.Errorf("%s: %w", t.URL, ErrLoginRequired)
	}
	if err != nil {
		return Credential{}, err
	}
	return decode(r)
}

// loadOrNew returns the stored credential, or an empty one for that server.
func (c *Client) loadOrNew(ctx context.Context, t Target) (Credential, error) {
	cred, err := c.load(ctx, t)
	if errors.Is(err, ErrLoginRequired) {
		return Credential{Server: t.URL, Profile: t.Profile}, nil
	}
	return cred, err
}

// save stores the credential as the next generation. The caller holds the credential's lock.
func (c *Client) save(ctx context.Context, t Target, cred *Credential) error {
	r, err := cred.record()
	if err != nil {
		return err
	}
	r, err = c.Store.Put(ctx, t.key(), r)
	if err != nil {
		return err
	}
	cred.generation = r.Generation
	return nil
}

// update changes the stored credential under its lock.
func (c *Client) update(ctx context.Context, t Target, change func(*Credential) error) (Credential, error) {
	unlock, err := c.Store.Lock(ctx, t.key(), "credential")
	if err != nil {
		return Credential{}, err
	}
	defer unlock()
	cred, err := c.loadOrNew(ctx, t)
	if err != nil {
		return Credential{}, err
	}
	if err := change(&cred); err != nil {
		return Credential{}, err
	}
	return cred, c.save(ctx, t, &cred)
}
