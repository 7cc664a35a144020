// Package pkce generates the secrets of an authorization request: the code verifier with its challenge, and the state.
//
//	verifier, state := pkce.New(), pkce.State()
//	params.Set("code_challenge", verifier.Challenge())
//
// It implements RFC 7636 with the method S256, which OAuth 2.1 §7.5.2 requires of clients that support it.
package pkce

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
)

// entropy is the number of random bytes in verifier and state (RFC 7636 §7.1 recommends 32).
const entropy = 32

// Verifier is a code verifier. It is a secret, so formatting it prints "[redacted]".
type Verifier string

// New returns a new verifier of 43 characters.
func New() Verifier { return Verifier(random()) }

// Challenge returns the S256 challenge of the verifier (RFC 7636 §4.2).
func (v Verifier) Challenge() string {
	sum := sha256.Sum256([]byte(v))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// String returns a placeholder.
func (v Verifier) String() string { return "[redacted]" }

// GoString returns a placeholder.
func (v Verifier) GoString() string { return "[redacted]" }

// State returns a new value for the state parameter. Each authorization request needs a state of its own (RFC 6749 §10.12).
func State() string { return random() }

func random() string {
	b := make([]byte, entropy)
	_, _ = rand.Read(b) // crypto/rand never returns an error
	return base64.RawURLEncoding.EncodeToString(b)
}
