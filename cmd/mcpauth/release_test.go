package main

import (
	"os"
	"regexp"
	"testing"
)

// The documented command accepts only the signature of this project's workflow at one tag. A regular expression would be dangerous, because
// cosign does not anchor it and any workflow on GitHub could match.
func TestReleaseSigner(t *testing.T) {
	const want = " https://github.com/OWNER/mcpauth/.github/workflows/release.yml@refs/tags/VERSION "
	identity := regexp.MustCompile(`--certificate-identity(\S* \S+ )`)
	found := 0
	for _, page := range []string{"../../SECURITY.md", "../../.goreleaser.yaml"} {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range identity.FindAllStringSubmatch(string(data), -1) {
			if found++; m[1] != want {
				t.Errorf("%s: cosign would accept%s", page, m[1])
			}
		}
	}
	if found == 0 {
		t.Error("no page says whose signature is valid")
	}
}
