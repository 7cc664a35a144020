package httpx

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The words in the name of a header, the length of the value and its form decide whether the value is a secret. docs/reference.md lists the rules.
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
		{"X-Custom", "https://example.com/a/b1", false},
		{"X-Custom", "mcp1.internal.example.com", false},
		{"X-Custom", "ann.smith1@example.com", false},
		{"X-Custom", "application/vnd.example.v1+json", false},
		{"X-Tenant", "t123456789abcdef", false},
		{"X-Org-Id", "o123456789abcdef", false},
		{"X-Request-Id", "r123456789abcdef", false},
		{"X-Pass", "correct-Horse", false},
		{"X-Pass", "correct_horse-ab", true},
		{"X-Hidden", "h123456789abcdef", true},
	} {
		var k Secrets
		k.AddHeader(tt.name, tt.value)
		if text := "it is " + tt.value + "."; k.Holds(text) != tt.want {
			t.Errorf("%s: %s is a secret: %v", tt.name, tt.value, !tt.want)
		}
	}
}

// Each word that docs/reference.md lists makes a header secret, and the list is complete.
func TestWordsOfSecretHeaders(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference.md")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Fields("token key secret auth authorization password passwd pwd pass passphrase session credential cookie jwt bearer signature")
	list := regexp.MustCompile("`token`.*`signature`").FindString(string(page))
	if got := strings.FieldsFunc(list, func(r rune) bool { return !('a' <= r && r <= 'z') }); !slices.Equal(slices.DeleteFunc(got, func(s string) bool { return s == "or" }), want) {
		t.Errorf("docs/reference.md lists %q", got)
	}
	for _, word := range want {
		for _, name := range []string{"X-" + word, "X-My" + word + "s", "X-" + word + "-Value"} {
			var k Secrets
			if k.AddHeader(name, "v1234567"); !k.Holds("v1234567") {
				t.Errorf("the value of %s is no secret", name)
			}
		}
	}
}

// If several headers have the same value, their order does not matter: a secret header makes the value a secret, and otherwise an identifier
// header makes it an identifier.
func TestHeadersWithTheSameValue(t *testing.T) {
	const value = "v123456789abcdef"
	for _, tt := range []struct {
		names []string
		want  bool
	}{
		{[]string{"X-Api-Key", "X-Account"}, true},
		{[]string{"X-Custom", "X-Account"}, false},
		{[]string{"X-Custom", "X-Api-Key"}, true},
	} {
		for range 2 {
			var k Secrets
			for _, name := range tt.names {
				k.AddHeader(name, value)
			}
			if k.Holds(value) != tt.want || k.MaskValues(value) != map[bool]string{true: "[redacted]", false: value}[tt.want] {
				t.Errorf("%q: a secret: %v; masked: %s", tt.names, k.Holds(value), k.MaskValues(value))
			}
			slices.Reverse(tt.names)
		}
	}
}

// A word under the name of a secret header may be part of a URL or a scope, so it counts only in refusals and in what is stored.
func TestWordsInSecretHeaders(t *testing.T) {
	var k Secrets
	k.AddHeader("X-Auth-Realm", "Tenant-prod_eu")
	const text = "realm tenant-prod_eu"
	if k.Holds(text) || k.MayStore(text) || k.Clean(text) != "realm [redacted]" {
		t.Errorf("holds %v, may store %v, cleaned %q", k.Holds(text), k.MayStore(text), k.Clean(text))
	}
}
