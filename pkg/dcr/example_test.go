package dcr_test

import (
	"context"
	"errors"
	"fmt"

	"mcpauth/pkg/dcr"
)

// Choose an OAuth client: a pre-registered client, a metadata document or a new registration. If none is available, the error is
// ErrNoClient.
func ExampleResolve() {
	client, err := dcr.Resolve(context.Background(), dcr.Options{Issuer: "https://as.example.com", ClientID: "my-app",
		AuthMethods: []string{"none"}, RedirectURI: "http://127.0.0.1:43117/callback"})
	fmt.Println(client.ID, client.Kind, client.AuthMethod, err)

	_, err = dcr.Resolve(context.Background(), dcr.Options{Issuer: "https://as.example.com", RedirectURI: "http://127.0.0.1:43117/callback"})
	fmt.Println(errors.Is(err, dcr.ErrNoClient))
	// Output:
	// my-app preregistered none <nil>
	// true
}
