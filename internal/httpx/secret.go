package httpx

import "fmt"

// Secret is a string that must not be printed: package fmt prints a placeholder for every verb. The JSON form of a Secret is the string
// itself, for the credential store.
type Secret string

// Format prints the placeholder; an empty secret prints nothing.
func (s Secret) Format(f fmt.State, _ rune) {
	if s != "" {
		fmt.Fprint(f, redacted)
	}
}
