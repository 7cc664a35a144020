// The journal and the intent are kept beside the index and hold no secrets. The intent of a refresh under way tells after a crash that the
// token may be spent; by the journal a user can prove who spent a token twice.

package flow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"mcpauth/internal/httpx"
	"mcpauth/pkg/keystore"
)

// intent is written before a refresh token is sent and removed when the result is known.
type intent struct {
	Generation  uint64    `json:"generation"`
	Fingerprint string    `json:"fingerprint"` // of the refresh token
	Time        time.Time `json:"time"`
	PID         int       `json:"pid"`
}

func (i intent) interrupted() bool { return !i.Time.IsZero() }

func (i intent) when() string {
	return fmt.Sprintf("process %d at %s", i.PID, i.Time.UTC().Format(time.RFC3339))
}

// Rotation is one line of the journal.
type Rotation struct {
	Time        time.Time `json:"time"`
	PID         int       `json:"pid"`
	Generation  uint64    `json:"generation"`
	Fingerprint string    `json:"fingerprint"` // of the refresh token that was sent, or came
	Outcome     string    `json:"outcome"`     // one of those below
	Error       string    `json:"error,omitempty"`
}

// The outcomes of a Rotation: "login" and "renewed" name the refresh token that came, the others the one that was sent. "rejected" is the
// server's word that grant or client is not good any more, "kept" a failure that proves nothing, "unknown" one after which the token may be
// spent, "unstored" a renewal that the credential store did not take.

const (
	intentNote  = "intent"
	journalNote = "journal"
	journalKept = 50 // newest lines
)

// begin records that a refresh token is about to be sent. It returns the intent of an earlier process that sent the same token and did not
// record the result.
func (c *Client) begin(ctx context.Context, t Target, cred Credential) (before intent, err error) {
	now := intent{Generation: cred.generation, Fingerprint: fingerprint(cred.Token.RefreshToken), Time: c.now(), PID: os.Getpid()}
	if data, err := c.Store.ReadNote(ctx, t.key(), intentNote); err == nil {
		if json.Unmarshal(data, &before) != nil || before.Fingerprint != now.Fingerprint {
			before = intent{} // of another token: its fate is known
		}
	}
	if before.interrupted() {
		now.Time, now.PID = before.Time, before.PID // the first one is the one that may have spent it
	}
	data, err := json.Marshal(now)
	if err != nil {
		return before, err
	}
	return before, c.Store.Note(ctx, t.key(), intentNote, data)
}

// finish removes the intent and writes the journal. If that fails, the renewal still succeeds: a leftover intent names a token that no
// longer exists.
func (c *Client) finish(ctx context.Context, t Target, cred Credential, outcome string, err error) {
	_ = c.Store.DeleteNote(ctx, t.key(), intentNote)
	c.journal(ctx, t, cred, outcome, err)
}

// releaseIntent records that a refresh failed without using up the token. It keeps an earlier process's intent for the same token, because
// the result of that request is still unknown.
func (c *Client) releaseIntent(ctx context.Context, t Target, cred Credential, outcome string, before intent, err error) {
	if before.interrupted() {
		c.journal(ctx, t, cred, outcome, err)
		return
	}
	c.finish(ctx, t, cred, outcome, err)
}

// journal adds a line to the journal. A failure is ignored, because the journal is only for people.
func (c *Client) journal(ctx context.Context, t Target, cred Credential, outcome string, err error) {
	lines, _ := c.Journal(ctx, t)
	line := Rotation{Time: c.now().UTC(), PID: os.Getpid(), Generation: cred.generation, Fingerprint: fingerprint(cred.Token.RefreshToken), Outcome: outcome}
	if err != nil {
		line.Error = httpx.Text(err.Error(), 300)
	}
	lines = append(lines, line)
	if data, err := json.Marshal(lines[max(0, len(lines)-journalKept):]); err == nil {
		_ = c.Store.Jot(ctx, t.key(), journalNote, data)
	}
}

// Journal returns the newest rotations of a credential, oldest first. It is empty if there is no journal.
func (c *Client) Journal(ctx context.Context, t Target) ([]Rotation, error) {
	data, err := c.Store.ReadNote(ctx, t.key(), journalNote)
	if errors.Is(err, keystore.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var lines []Rotation
	if json.Unmarshal(data, &lines) != nil {
		return nil, fmt.Errorf("%w: the journal of %s", keystore.ErrCorrupt, t.URL)
	}
	return lines, nil
}

// fingerprint identifies a secret without revealing it.
func fingerprint(secret Secret) string {
	if secret == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:6])
}
