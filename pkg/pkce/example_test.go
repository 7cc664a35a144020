package pkce_test

import (
	"fmt"

	"mcpauth/pkg/pkce"
)

// The authorization request contains the challenge, and the token request contains the verifier. Printing the verifier prints a
// placeholder.
func ExampleNew() {
	verifier := pkce.New()
	fmt.Println(verifier, len(verifier.Challenge()))
	fmt.Println(pkce.Verifier("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk").Challenge()) // RFC 7636, Appendix B
	// Output:
	// [redacted] 43
	// E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM
}
