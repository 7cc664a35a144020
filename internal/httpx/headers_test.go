package httpx

import "testing"

// The words in the name of a header, the length of the value and its form decide whether the value is a secret. SECURITY.md lists the rules.
func TestWhichHeadersAreSecret(t *testing.T) {
	const id = "9a1f7c1e-35c2-4a0e-8b9d-6f0d2b3c4d5e"
	for _, tt := range []struct {
		name, value string
		want        bool
	}{
		{"X-Api-Key", "k1234567", true},
		{"X-Api-Key", "k123456", false},
		{"X-Api-Key", id, true},
		{"X-Access-Token", "https://example.com/t", true},
		{"X-Session-Id", "s1234567", true},
		{"XClientSecret", "s1234567", true},
		{"X-Apikey", "k1234567", true},
		{"X-Keyboard", "k1234567", false},
		{"X-Custom", "c123456789abcdef", true},
		{"X-Custom", "c123456789abcde", false},
		{"X-Custom", id, false},
		{"X-Custom", "https://example.com/a/b", false},
		{"X-Custom", "mcp.internal.example.com", false},
		{"X-Custom", "ann.smith@example.com", false},
		{"X-Custom", "application/vnd.example+json", false},
		{"X-Tenant", "t123456789abcdef", false},
		{"X-Org-Id", "o123456789abcdef", false},
		{"X-Request-Id", "r123456789abcdef", false},
		{"X-Hidden", "h123456789abcdef", true},
	} {
		var k Secrets
		k.AddHeader(tt.name, tt.value)
		if text := "it is " + tt.value + "."; k.Holds(text) != tt.want {
			t.Errorf("%s: %s is a secret: %v", tt.name, tt.value, !tt.want)
		}
	}
}
