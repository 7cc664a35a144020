// Package pkce generates code verifiers, code challenges and state values for authorization requests.
//
//	verifier, state := pkce.New(), pkce.State()
//	params.Set("code_challenge", verifier.Challenge())
//
// The package implements RFC 7636 with the method S256. Clients that support S256 must use S256 (OAuth 2.1 §7.5.2).
package pkce

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
)

// entropyBytes is the number of random bytes in a verifier and in a state. RFC 7636 §7.1 recommends 32 bytes.
const entropyBytes = 32

// Verifier is a code verifier (RFC 7636 §4.1). Package fmt prints a Verifier as "[redacted]".
type Verifier string

// New returns a new random verifier of 43 characters.
func New() Verifier { return Verifier(random()) }

// Challenge returns the S256 code challenge of the verifier (RFC 7636 §4.2).
func (v Verifier) Challenge() string {
	sum := sha256.Sum256([]byte(v))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// String returns "[redacted]".
func (v Verifier) String() string { return "[redacted]" }

// GoString returns "[redacted]".
func (v Verifier) GoString() string { return "[redacted]" }

// State returns a new random value for the state parameter. Each authorization request needs its own state (RFC 6749 §10.12).
func State() string { return random() }

func random() string {
	b := make([]byte, entropyBytes)
	_, _ = rand.Read(b) // crypto/rand never returns an error
	return base64.RawURLEncoding.EncodeToString(b)
}
