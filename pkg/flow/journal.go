// The intent and the journal are notes in the credential store, without secrets. The intent records that a refresh token is being sent. If
// the process crashes, the intent tells the next process that the refresh token may be used up. The journal records each renewal, so that a
// user can find out which process sent a refresh token twice.

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

// An intent is a note that is written before a refresh token is sent, and removed when the result is known.
type intent struct {
	Generation  uint64    `json:"generation"`
	Fingerprint string    `json:"fingerprint"` // fingerprint of the refresh token
	Time        time.Time `json:"time"`
	PID         int       `json:"pid"`
}

func (i intent) interrupted() bool { return !i.Time.IsZero() }

func (i intent) when() string {
	return fmt.Sprintf("process %d at %s", i.PID, i.Time.UTC().Format(time.RFC3339))
}

// Rotation is one line of the journal of a credential. The values of Outcome are:
//
//	login     a login obtained the refresh token
//	renewed   a renewal obtained the refresh token
//	rejected  the server refused the refresh token or the client
//	kept      the renewal failed without using up the refresh token
//	unknown   the renewal failed, and the refresh token may be used up
//	unstored  the renewal used up the refresh token, but its result could not be stored
type Rotation struct {
	Time        time.Time `json:"time"`
	PID         int       `json:"pid"`
	Generation  uint64    `json:"generation"`
	Fingerprint string    `json:"fingerprint"` // fingerprint of the refresh token that was obtained (login, renewed), or else sent
	Outcome     string    `json:"outcome"`     // login, renewed, rejected, kept, unknown or unstored
	Error       string    `json:"error,omitempty"`
}

const (
	intentNote      = "intent"
	journalNote     = "journal"
	maxJournalLines = 50 // number of lines to keep
)

// writeIntent writes the intent. If an earlier process sent the same refresh token and recorded no result, writeIntent returns the intent
// of that process.
func (c *Client) writeIntent(ctx context.Context, t Target, cred credential) (earlier intent, err error) {
	now := intent{Generation: cred.generation, Fingerprint: fingerprint(cred.Token.RefreshToken), Time: c.now(), PID: os.Getpid()}
	if data, err := c.Store.ReadNote(ctx, t.key(), intentNote); err == nil {
		if json.Unmarshal(data, &earlier) != nil || earlier.Fingerprint != now.Fingerprint {
			earlier = intent{} // the stored intent is for another refresh token, whose result is known
		}
	}
	if earlier.interrupted() {
		now.Time, now.PID = earlier.Time, earlier.PID // the earlier process may have used up the token
	}
	data, err := json.Marshal(now)
	if err != nil {
		return earlier, err
	}
	return earlier, c.Store.Note(ctx, t.key(), intentNote, data)
}

// recordOutcome adds a line to the journal and removes the intent of this process. If an earlier process was interrupted during its
// request, recordOutcome keeps the intent, because the result of that request is still unknown. recordOutcome ignores errors, because a
// leftover intent changes only the text of a later error.
func (c *Client) recordOutcome(ctx context.Context, t Target, cred credential, earlier intent, outcome string, err error) {
	if !earlier.interrupted() {
		_ = c.Store.DeleteNote(ctx, t.key(), intentNote)
	}
	c.addToJournal(ctx, t, cred, outcome, err)
}

// addToJournal adds a line to the journal. addToJournal ignores errors, because only people read the journal.
func (c *Client) addToJournal(ctx context.Context, t Target, cred credential, outcome string, err error) {
	lines, _ := c.Journal(ctx, t)
	line := Rotation{Time: c.now().UTC(), PID: os.Getpid(), Generation: cred.generation, Fingerprint: fingerprint(cred.Token.RefreshToken), Outcome: outcome}
	if err != nil {
		line.Error = httpx.Text(c.LoginSecrets(t).Clean(err.Error()), 300)
	}
	lines = append(lines, line)
	if data, err := json.Marshal(lines[max(0, len(lines)-maxJournalLines):]); err == nil {
		_ = c.Store.Jot(ctx, t.key(), journalNote, data)
	}
}

// Journal returns the newest rotations of a credential, oldest first. If there is no journal, the result is empty.
func (c *Client) Journal(ctx context.Context, t Target) ([]Rotation, error) {
	data, err := c.Store.ReadNote(ctx, t.key(), journalNote)
	if errors.Is(err, keystore.ErrNotFound) {
		return []Rotation{}, nil
	}
	if err != nil {
		return nil, err
	}
	var lines []Rotation
	if json.Unmarshal(data, &lines) != nil {
		return nil, c.Store.DamagedNote(t.key(), journalNote)
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
