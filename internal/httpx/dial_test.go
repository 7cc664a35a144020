package httpx

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// half listens on one address of localhost and responds to every request with name. It returns the port.
func half(t *testing.T, network, address, name string) string {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: ln, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, name) })}}
	s.Start()
	t.Cleanup(s.Close)
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}

// Another user may listen on the other address of localhost, and a resolver may return any address for the names below localhost.
func TestLocalhostIsThisMachine(t *testing.T) {
	port := half(t, "tcp4", "127.0.0.1:0", "four")
	if ln, err := net.Listen("tcp6", "[::1]:0"); err == nil { // a machine without IPv6 has no ::1
		ln.Close()
		half(t, "tcp6", "[::1]:"+port, "six")
		t.Run("only six", func(t *testing.T) { fetch(t, "localhost:"+half(t, "tcp6", "[::1]:0", "six"), "six") })
	}
	for _, host := range []string{"localhost", "LOCALHOST", "localhost.", "mcp.localhost", "a.b.localhost."} {
		t.Run(host, func(t *testing.T) { fetch(t, host+":"+port, "four") })
	}
}

func fetch(t *testing.T, host, want string) {
	t.Helper()
	hc, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := Do(hc, req)
	if err != nil || string(res.Body) != want {
		t.Errorf("%s: %v, %s; want %s", host, err, fmt.Sprintf("%+v", res), want)
	}
}

// A proxy is a URL or host:port. Go would ignore another value and send the requests past the proxy.
func TestBadProxy(t *testing.T) {
	for value, bad := range map[string]bool{
		"": false, "proxy:8080": false, "proxy": false, "u:p@proxy:1": false, "10.0.0.1:8080": false, "http://proxy": false, "https://u:p@proxy:1": false,
		"socks5://proxy:1": false, "socks5h://[::1]:1": false,
		"://x": true, "//host:1": true, "http:host:1": true, " ": true, "ftp://proxy": true, "http:/proxy:1": true, "http://proxy:abc": true, "http://proxy/": false,
	} {
		got := BadProxy(func(name string) string { return map[string]string{"HTTPS_PROXY": value}[name] })
		if (got != "") != bad {
			t.Errorf("%q: %q", value, got)
		}
	}
}
