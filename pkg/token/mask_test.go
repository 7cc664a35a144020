package token

import (
	"testing"

	"mcpauth/internal/httpx"
)

// What clean strips from the server's words may be a part of the secret.
func TestCleanStrippedSecret(t *testing.T) {
	const secret = "a  b\tc"
	if got := clean("is "+secret+" known", httpx.Forms([]string{secret}), 100); got != "is [redacted] known" {
		t.Errorf("got %q", got)
	}
}
