package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcpauth/internal/demo"
)

// Fifty processes call a tool over TLS at the same time, first with a valid token, then with a rejected one. scripts/bench does the same
// with a thousand processes.
func TestFiftyProcessesOverTLS(t *testing.T) {
	const many = 50
	bundle := filepath.Join(t.TempDir(), "bundle.pem")
	m := newMachineFor(t, demo.Options{TLS: true}, "SSL_CERT_FILE="+bundle, "BROWSER=browser")
	if err := os.WriteFile(bundle, m.CertificatePEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	m.does(t, exitDone, "login", "SERVER")
	m.crowd(t, map[string]string{"call": "hello"}, times(many, echo...))
	m.counts(t, map[string]int{"refresh": 0, "login": 1})
	m.set(t, "expire")
	m.crowd(t, map[string]string{"call": "hello"}, times(many, echo...))
	m.counts(t, map[string]int{"refresh": 1, "reuse": 0, "login": 1})
	roots, err := os.ReadFile(filepath.Join(m.home, ".local/state/mcpauth/cache/roots"))
	if err != nil || strings.Count(string(roots), bundle) != 1 {
		t.Errorf("the certificate that verified the server is not remembered: %s %v", roots, err)
	}
}
