package discovery

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"mcpauth/internal/httpx"
)

// Result.Connection contains the resolved name, the connection, and the certificate with its authority.
func TestConnection(t *testing.T) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	s.Config.ErrorLog = nil
	r, _ := Discover(context.Background(), s.URL+"/mcp", Options{HTTP: s.Client()})
	c := r.Connection
	if c == nil || c.Remote != strings.TrimPrefix(s.URL, "https://") || c.Name != "" || c.TLS == nil {
		t.Fatalf("got %+v", c)
	}
	cert := s.Certificate()
	if c.TLS.Version != "TLS 1.3" || c.TLS.Root != cert.Subject.String() || !c.TLS.NotAfter.Equal(cert.NotAfter) || !slices.Contains(c.TLS.Names, "127.0.0.1") {
		t.Errorf("got %+v", c.TLS)
	}

	hc, err := httpx.New(httpx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err = Discover(context.Background(), strings.Replace(s.URL, "127.0.0.1", "localhost", 1)+"/mcp", Options{HTTP: hc})
	if c = r.Connection; err == nil || c == nil || c.Remote == "" || c.TLS == nil || c.TLS.Version != "" || c.TLS.Root != "" ||
		c.TLS.Issuer != cert.Issuer.String() {
		t.Errorf("an authority that nobody knows: got %+v, %+v, %v", c, c.TLS, err)
	}
	r, err = Discover(context.Background(), "https://nowhere.invalid/mcp", Options{})
	if c = r.Connection; err == nil || c == nil || c.Name != "nowhere.invalid" || c.Addresses != nil || c.Remote != "" {
		t.Errorf("a name that is nobody's: got %+v, %v", c, err)
	}
}
