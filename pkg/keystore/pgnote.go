package keystore

import (
	"context"
	"encoding/base64"
	"fmt"
	"time"
)

// The notes of a credential are in its row, because every machine must see that a renewal is in progress.

// writeNote encrypts and authenticates the note. The claim is renewed too, because the caller may be about to send the refresh token.
func (p *postgres) writeNote(ctx context.Context, key Key, name string, data []byte, _ bool) error {
	k, err := p.keysFor(key)
	if err != nil {
		return err
	}
	sealed, err := k.seal(data, "note", key.name(), name)
	if err != nil {
		return err
	}
	began := time.Now()
	_, err = p.query(ctx, key, `INSERT INTO mcpauth_credentials AS c (name, key, notes) VALUES ($1, $2, pg_catalog.jsonb_build_object($3::text, $4::text))
		ON CONFLICT (name) DO UPDATE SET notes = c.notes || excluded.notes, claimed_at = CASE WHEN c.claim IS NULL THEN NULL ELSE pg_catalog.now() END`,
		key.name(), keyText(key), name, base64.StdEncoding.EncodeToString(sealed))
	if s := p.heldSession(key); err == nil && s != nil && s.claim != "" && time.Since(began) > claimLead {
		return fmt.Errorf("%w: the database is too slow to renew a token safely", ErrTimeout)
	}
	return err
}

func (p *postgres) readNote(ctx context.Context, key Key, name string) ([]byte, error) {
	rows, err := p.query(ctx, key, `SELECT notes ->> $2::text FROM mcpauth_credentials WHERE name = $1 AND notes ? $2::text`, key.name(), name)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, ErrNotFound
	}
	k, err := p.keysFor(key)
	if err != nil {
		return nil, err
	}
	sealed, err := base64.StdEncoding.DecodeString(string(rows[0][0]))
	if err != nil {
		return nil, withPath(key.name(), fmt.Errorf("%w: the note %s is not in base64", ErrCorrupt, name))
	}
	data, err := k.unseal(sealed, "note", key.name(), name)
	return data, withPath(key.name(), err)
}

func (p *postgres) deleteNote(ctx context.Context, key Key, name string) error {
	_, err := p.query(ctx, key, `UPDATE mcpauth_credentials SET notes = notes - $2::text WHERE name = $1`, key.name(), name)
	if err == nil {
		_, err = p.query(ctx, key, deleteEmptyRow, key.name())
	}
	return err
}

// deleteNotes does nothing, because the notes were deleted with the row.
func (p *postgres) deleteNotes(context.Context, Key) []error { return nil }
