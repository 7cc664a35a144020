package httpx

import "fmt"

// Secret is text that must not be printed: whatever the verb, package fmt shows a placeholder. Its JSON is the text itself, for the
// credential store.
type Secret string

// Format prints the placeholder; an empty secret prints nothing.
func (s Secret) Format(f fmt.State, _ rune) {
	if s != "" {
		fmt.Fprint(f, redacted)
	}
}
