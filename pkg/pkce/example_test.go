package pkce_test

import (
	"fmt"

	"mcpauth/pkg/pkce"
)

// The challenge goes into the authorization request, the verifier into the token request; printing it shows nothing.
func ExampleNew() {
	verifier := pkce.New()
	fmt.Println(verifier, len(verifier.Challenge()))
	fmt.Println(pkce.Verifier("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk").Challenge()) // RFC 7636, Appendix B
	// Output:
	// [redacted] 43
	// E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM
}
