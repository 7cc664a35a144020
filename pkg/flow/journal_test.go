package flow

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mcpauth/internal/demo"
	"mcpauth/pkg/keystore"
)

// outcomes returns the outcomes in the journal.
func (b *bench) outcomes(t *testing.T) []string {
	t.Helper()
	lines, err := b.c.Journal(ctx, b.t)
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, l := range lines {
		words = append(words, l.Outcome)
	}
	return words
}

// The journal lists every refresh token of a login: each token that was obtained is the next one that is sent.
func TestJournalIsAChain(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	before := time.Now().Add(-time.Minute)
	for _, fault := range []string{"", "token:busy,n=1", "token:status=503,n=1", "", "token:invalid_client,n=1", "revoke"} {
		if fault != "" {
			b.set(t, fault)
		}
		_, _ = b.c.Refresh(ctx, b.t, 0)
	}
	lines, err := b.c.Journal(ctx, b.t)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"login", "renewed", "kept", "unknown", "renewed", "rejected", "rejected"}
	if got := b.outcomes(t); !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	chain := []int{0, 1, 1, 1, 2, 2, 2} // index of the token in each line
	fingerprints := map[int]string{}
	for i, l := range lines {
		if l.PID != os.Getpid() || l.Time.Before(before) || l.Fingerprint == "" || l.Generation == 0 {
			t.Errorf("line %d says too little: %+v", i, l)
		}
		if known := fingerprints[chain[i]]; known != "" && known != l.Fingerprint {
			t.Errorf("line %d names another token than the one before", i)
		}
		fingerprints[chain[i]] = l.Fingerprint
		if failed := l.Outcome != "login" && l.Outcome != "renewed"; failed != (l.Error != "") {
			t.Errorf("line %d, %s: error %q", i, l.Outcome, l.Error)
		}
	}
	if len(fingerprints) != 3 || fingerprints[0] == fingerprints[1] || fingerprints[1] == fingerprints[2] {
		t.Errorf("rotated tokens have the same fingerprint: %v", fingerprints)
	}
	if !strings.Contains(lines[2].Error, "429") || !strings.Contains(lines[6].Error, "invalid_grant") {
		t.Errorf("the server's words are missing: %q, %q", lines[2].Error, lines[6].Error)
	}
}

// Only the credential's file contains secrets. The journal and the intent contain none, even if the server repeats secrets in its errors.
func TestNotesHoldNoSecret(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	spent := b.stored(t).Token.RefreshToken
	b.set(t, fmt.Sprintf(`token:status=400,type=application/json,body="{\"error\":\"invalid_request\",\"error_description\":\"bad token %s\"}",n=1`, string(spent)))
	_, _ = b.c.Refresh(ctx, b.t, 0)
	b.set(t, "token:drop=after,n=1") // leaves an intent
	_, _ = b.c.Refresh(ctx, b.t, 0)
	if lines := b.outcomes(t); !slices.Equal(lines, []string{"login", "rejected", "unknown"}) {
		t.Fatalf("journal %q", lines)
	}
	looked := 0
	err := filepath.WalkDir(b.dir+"/state", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if len(data) > 0 {
			looked++
		}
		for _, secret := range append(b.Secrets(), string(spent)) {
			if strings.Contains(string(data), secret) {
				t.Errorf("%s holds the secret %.12s…", path, secret)
			}
		}
		return err
	})
	if err != nil || looked < 2 {
		t.Errorf("only %d files with something in them, %v: want intent and journal", looked, err)
	}
}

// The journal keeps its newest lines, starts again if it is damaged, and is deleted by Logout.
func TestJournalIsBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t, demo.Options{})
	b.login(t)
	for i := range maxJournalLines + 5 {
		b.c.addToJournal(ctx, b.t, b.stored(t), "kept", fmt.Errorf("failure %d", i))
	}
	lines, err := b.c.Journal(ctx, b.t)
	if err != nil || len(lines) != maxJournalLines || lines[maxJournalLines-1].Error != fmt.Sprintf("failure %d", maxJournalLines+4) {
		t.Errorf("%d lines, %v", len(lines), err)
	}
	if err := b.c.Store.Note(ctx, b.t.key(), journalNote, []byte("{")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.c.Journal(ctx, b.t); !errors.Is(err, keystore.ErrCorrupt) {
		t.Errorf("got %v, want ErrCorrupt", err)
	}
	if _, err := b.c.Refresh(ctx, b.t, 0); err != nil {
		t.Errorf("a damaged journal stops a refresh: %v", err)
	}
	if got := b.outcomes(t); !slices.Equal(got, []string{"renewed"}) {
		t.Errorf("got %q", got)
	}
	if _, err := b.c.Logout(ctx, b.t, LogoutOptions{}); err != nil {
		t.Fatal(err)
	}
	if lines, err := b.c.Journal(ctx, b.t); err != nil || lines == nil || len(lines) > 0 {
		t.Errorf("after logout: %#v, %v", lines, err)
	}
}

// If a refresh is interrupted and a later refresh fails without using up the refresh token, the intent of the interrupted refresh stays.
// The next invalid_grant is therefore still ErrMaybeSpent.
func TestInterruptedRefreshIsNotForgotten(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"token:busy,n=1", "token:invalid_client,n=1", "token:drop=before,n=1", "token:status=503,n=1"} {
		t.Run(fault, func(t *testing.T) {
			b := newBench(t, demo.Options{})
			b.login(t)
			b.set(t, "token:drop=after,n=1")
			if _, err := b.c.Refresh(ctx, b.t, 0); err == nil {
				t.Fatal("a refresh without an answer succeeded")
			}
			b.set(t, fault)
			if _, err := b.c.Refresh(ctx, b.t, 0); err == nil || errors.Is(err, ErrMaybeSpent) {
				t.Fatalf("got %v", err)
			}
			if _, err := b.c.Refresh(ctx, b.t, 0); !errors.Is(err, ErrMaybeSpent) {
				t.Errorf("got %v, want ErrMaybeSpent", err)
			}
		})
	}
}

// An intent for an earlier refresh token does not make a failure of the current one ErrMaybeSpent.
func TestStaleIntentAccusesNobody(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	if _, err := b.c.writeIntent(ctx, b.t, b.stored(t)); err != nil { // the process crashes before it sends the request
		t.Fatal(err)
	}
	b.login(t)
	b.set(t, "token:invalid_grant,n=1")
	if _, err := b.c.Refresh(ctx, b.t, 0); !errors.Is(err, ErrGrantRejected) || errors.Is(err, ErrMaybeSpent) {
		t.Errorf("got %v, want ErrGrantRejected alone", err)
	}
}

// If the store fails after the server has renewed, the error says that the stored refresh token is used up, and so does the next refresh.
func TestUnstoredRenewalIsTold(t *testing.T) {
	b := newBench(t, demo.Options{})
	b.login(t)
	keys := b.dir + "/keys"
	b.c.HTTP = meanwhile(t, func() error {
		return errors.Join(os.Rename(keys, keys+".away"), os.WriteFile(keys, nil, 0o600))
	})
	_, err := b.c.Refresh(ctx, b.t, 0)
	var failed *keystore.Error
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "is now used up") {
		t.Fatalf("got %v, want an error of the store that tells the truth", err)
	}
	b.c.HTTP = nil
	if err := errors.Join(os.Remove(keys), os.Rename(keys+".away", keys)); err != nil {
		t.Fatal(err)
	}
	if got := b.outcomes(t); !slices.Equal(got, []string{"login", "unstored"}) {
		t.Errorf("journal %q", got)
	}
	if _, err := b.c.Refresh(ctx, b.t, 0); !errors.Is(err, ErrMaybeSpent) {
		t.Errorf("got %v, want ErrMaybeSpent", err)
	}
}

// meanwhile returns an HTTP client that calls do after a token endpoint has answered and before the client returns the response.
func meanwhile(t *testing.T, do func() error) *http.Client {
	t.Helper()
	return &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
		res, err := http.DefaultTransport.RoundTrip(req)
		if strings.HasSuffix(req.URL.Path, "/token") {
			if err := do(); err != nil {
				t.Error(err)
			}
		}
		return res, err
	})}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
