package token

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A token of 100 kB is accepted. A token that would make every later message slow is not.
func TestTokenLength(t *testing.T) {
	for size, want := range map[int]error{100_000: nil, 200_000: ErrMalformed} {
		for _, member := range []string{"access_token", "refresh_token"} {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.Write([]byte(strings.Replace(`{"access_token":"a","refresh_token":"r","token_type":"Bearer"}`, `"`+member+`":"`, `"`+member+`":"`+strings.Repeat("x", size), 1)))
			}))
			_, err := Endpoint{URL: s.URL, Local: true, Client: ClientAuth{ID: "c"}}.ClientCredentials(t.Context(), "")
			if s.Close(); !errors.Is(err, want) {
				t.Errorf("%s of %d bytes: %v", member, size, err)
			}
		}
	}
}
