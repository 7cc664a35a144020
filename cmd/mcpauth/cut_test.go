package main

import (
	"strings"
	"testing"

	"mcpauth/internal/httpx"
	"mcpauth/pkg/mcpclient"
)

// A secret is removed from the names of a block before the names are shortened, so that no part of the secret remains.
func TestSecretsInNamesOfBlocks(t *testing.T) {
	const key = "sk-live+0123456789abcdefghij~KLM/NOPQR=="
	var secrets httpx.Secrets
	secrets.AddHeader("X-Api-Key", key)
	for n := range 130 {
		filler := strings.Repeat("q", n)
		for name, b := range map[string]mcpclient.Block{
			"name":       {Type: "resource_link", Name: filler + key},
			"media type": {Type: "image", MIMEType: "image/" + filler + key},
			"type":       {Type: filler + key},
			"URI":        {Type: "resource", URI: "x:/" + filler + key},
			"opaque URI": {Type: "resource", URI: "x:" + filler + key},
		} {
			for _, got := range []string{describeBlock(b, secrets.Clean), fileName(b, "t", 1, secrets.Clean)} {
				if strings.Contains(got, "sk") || strings.Contains(got, "NOPQ") {
					t.Fatalf("%s after %d bytes: %q", name, n, got)
				}
			}
		}
	}
	if got := fileName(mcpclient.Block{Name: "a/" + key, MIMEType: "text/plain"}, "t", 1, secrets.Clean); got != "redacted.txt" {
		t.Errorf("got %q", got)
	}
}

// If the name of a link is its URI, the line shows the URI once.
func TestLinkNamedAsItsURI(t *testing.T) {
	same := func(text string) string { return text }
	for name, want := range map[string]string{"demo://x": "resource_link text/plain", "x": "resource_link text/plain x"} {
		if got := describeBlock(mcpclient.Block{Type: "resource_link", MIMEType: "text/plain", Name: name, URI: "demo://x"}, same); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
