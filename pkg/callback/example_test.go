package callback_test

import (
	"errors"
	"fmt"

	"mcpauth/pkg/callback"
)

// Parse checks a pasted URL in the same way as a response from the browser.
func ExampleParse() {
	expect := callback.Expect{State: "state-1", Issuer: "https://as.example.com", IssRequired: true}
	code, err := callback.Parse("http://127.0.0.1:43117/callback?code=abc&state=state-1&iss=https%3A%2F%2Fas.example.com", expect)
	fmt.Println(code, err)

	_, err = callback.Parse("?code=abc&state=state-1&iss=https%3A%2F%2Fevil.example.com", expect)
	fmt.Println(errors.Is(err, callback.ErrIssuer))

	_, err = callback.Parse("abc", expect)
	fmt.Println(errors.Is(err, callback.ErrBareCode))
	// Output:
	// abc <nil>
	// true
	// true
}
