package token_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"mcpauth/pkg/token"
)

// The caller decides by the kind of failure whether to keep a refresh token.
func ExampleEndpoint_Refresh() {
	as := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(400)
		fmt.Fprint(w, `{"error":"invalid_grant","error_description":"rt-1 was used before"}`)
	}))
	defer as.Close()

	e := token.Endpoint{URL: as.URL, Local: true, Client: token.ClientAuth{ID: "client-1", Method: "none"}, Resource: "http://127.0.0.1/mcp"}
	_, err := e.Refresh(context.Background(), "rt-1")

	var refused *token.Error
	switch {
	case errors.As(err, &refused) && refused.Code == "invalid_grant":
		fmt.Println("drop it:", refused.Description)
	case token.Ambiguous(err):
		fmt.Println("it may have been spent")
	}
	// Output: drop it: [redacted] was used before
}

func ExampleProver() {
	p, err := token.NewProver()
	if err != nil {
		fmt.Println(err)
		return
	}
	req, _ := http.NewRequest("GET", "https://mcp.example/mcp", nil)
	proof, err := p.Proof(req.Method, req.URL.String(), "the-access-token")
	req.Header.Set("Authorization", "DPoP the-access-token")
	req.Header.Set("DPoP", proof)
	fmt.Println(len(proof) > 0, err)
	// Output: true <nil>
}
