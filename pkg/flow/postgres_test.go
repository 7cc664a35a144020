//go:build postgres

package flow

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"filippo.io/age"
	"github.com/jackc/pgx/v5/pgconn"

	"mcpauth/internal/demo"
	"mcpauth/pkg/keystore"
)

// A secret stays bound to its authorization server if somebody deletes the rows of the database, or if the machine forgets its own copy.
func TestBindingsAreKeptTwice(t *testing.T) {
	address, err := url.Parse(os.Getenv("MCPAUTH_TEST_POSTGRES")) // scripts/fleet starts the server
	if err != nil {
		t.Fatal(err)
	}
	admin, err := pgconn.Connect(t.Context(), address.String())
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.Background())
	run := func(sql string) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), sql).ReadAll(); err != nil {
			t.Fatal(err)
		}
	}
	run(`DROP SCHEMA IF EXISTS flow_bindings CASCADE; CREATE SCHEMA flow_bindings`)
	q := address.Query()
	q.Set("search_path", "flow_bindings")
	address.RawQuery = q.Encode()
	b := newBench(t, demo.Options{})
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(b.dir, "key")
	if err := os.WriteFile(keyFile, []byte(id.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	o := keystore.Options{Backend: keystore.Postgres, URL: address.String(), KeyFile: keyFile, StateDir: b.dir + "/state", Dir: b.dir + "/keys"}
	if b.c.Store, err = keystore.Open(o); err != nil {
		t.Fatal(err)
	}
	secret := Settings{ClientID: "c", ClientSecret: "s"}
	bind := func(issuer string) error {
		return b.c.bindSecrets(t.Context(), Target{URL: "https://a", Settings: secret}, issuer, LoginOptions{}, true)
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
