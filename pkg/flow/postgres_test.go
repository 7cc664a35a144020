//go:build postgres

package flow

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/jackc/pgx/v5/pgconn"

	"mcpauth/internal/demo"
	"mcpauth/pkg/keystore"
)

// database creates a schema in the test server, which scripts/fleet starts. It returns the options of a store in that schema, without
// folders, and a function that runs a statement as the superuser.
func database(t *testing.T, schema string) (keystore.Options, func(sql string)) {
	t.Helper()
	address, err := url.Parse(os.Getenv("MCPAUTH_TEST_POSTGRES"))
	if err != nil {
		t.Fatal(err)
	}
	admin, err := pgconn.Connect(t.Context(), address.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Close(context.Background()) })
	run := func(sql string) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), sql).ReadAll(); err != nil {
			t.Fatal(err)
		}
	}
	run(`DROP SCHEMA IF EXISTS ` + schema + ` CASCADE; CREATE SCHEMA ` + schema)
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(keyFile, []byte(id.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	q := address.Query()
	q.Set("search_path", schema)
	q.Set("application_name", schema)
	address.RawQuery = q.Encode()
	return keystore.Options{Backend: keystore.Postgres, URL: address.String(), KeyFile: keyFile}, run
}

// on returns a client on another machine, which shares only the database. dir is the folder of that machine.
func (b *bench) on(t *testing.T, o keystore.Options, dir string) *Client {
	t.Helper()
	o.StateDir, o.Dir = dir+"/state", dir+"/keys"
	store, err := keystore.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	c := b.client(t)
	c.Store = store
	return c
}

// A secret stays bound to its authorization server if somebody deletes the rows of the database, or if the machine forgets its own copy.
func TestBindingsAreKeptTwice(t *testing.T) {
	o, run := database(t, "flow_bindings")
	b := newBench(t, demo.Options{})
	b.c = b.on(t, o, b.dir)
	secret := Settings{ClientID: "c", ClientSecret: "s"}
	bind := func(issuer string) error {
		_, err := b.c.bindSecrets(t.Context(), Target{URL: "https://a", Settings: secret}, issuer, LoginOptions{}, true)
		return err
	}
	for name, loss := range map[string]func(){
		"nothing is lost":     func() {},
		"the rows are lost":   func() { run(`DELETE FROM flow_bindings.mcpauth_credentials`) },
		"the machine is new":  func() { os.RemoveAll(b.dir + "/state") },
		"the note is written": func() { run(`UPDATE flow_bindings.mcpauth_credentials SET notes = '{}'`) },
	} {
		if err := bind("https://as.example"); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		loss()
		if err := bind("https://as.evil"); !errors.Is(err, ErrIssuerChanged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Two machines finish the same pending login. Both have read it, because the database ended the connection that held the first machine's
// lock. Only one machine sends the code, because a strict server revokes the tokens of a code that it receives twice.
func TestPendingAnswerOnTwoMachines(t *testing.T) {
	o, run := database(t, "flow_pending")
	b := newBench(t, demo.Options{})
	b.c = b.on(t, o, b.dir)
	answer := b.pending(t)
	unlock, err := b.c.Store.Lock(ctx, b.t.key(), keystore.LockCredential) // no machine can send the code
	if err != nil {
		t.Fatal(err)
	}
	run(`CREATE TABLE flow_pending.earlier AS SELECT pid FROM pg_stat_activity WHERE application_name = 'flow_pending'`)
	errs := make(chan error, 2)
	for range 2 {
		run(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'flow_pending' AND pid NOT IN (SELECT pid FROM flow_pending.earlier)`)
		dir := t.TempDir()
		c := b.on(t, o, dir)
		go func() {
			_, err := c.Finish(ctx, b.t, answer)
			errs <- err
		}()
		waits := func() bool { // the machine has read the pending login and waits for the lock of the credential
			locks, _ := filepath.Glob(dir + "/state/locks/*." + keystore.LockCredential + ".lock")
			return len(locks) > 0
		}
		for !waits() {
			select {
			case err := <-errs:
				t.Fatalf("a machine did not wait: %v", err)
			case <-time.After(time.Millisecond):
			}
		}
	}
	unlock()
	first, second := <-errs, <-errs
	if refused := errors.Join(first, second); (first == nil) == (second == nil) || !errors.Is(refused, ErrNoPending) || !strings.Contains(refused.Error(), "the login succeeded") {
		t.Errorf("want one to succeed: %v, %v", first, second)
	}
	b.counts(t, map[string]int{"token": 1})
	if _, err := b.c.Refresh(ctx, b.t, 0); err != nil {
		t.Errorf("the login does not work: %v", err)
	}
}
