package httpx

import (
	"cmp"
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

// A request does not go past a proxy that the environment names in a way that mcpauth cannot use. The error does not contain the value.
func TestUnusableProxy(t *testing.T) {
	blank, parts := "it contains a blank", "percent-encode the special characters of the user name and the password, such as %5C for a backslash"
	scheme, form := "its scheme is not http, https, socks5 or socks5h", "it is not HOST:PORT or a URL"
	for value, reason := range map[string]string{
		"": "", "proxy:8080": "", "proxy": "", "u:p@proxy:1": "", "CORP%5Cu:p@proxy:1": "", "10.0.0.1:8080": "", "http://proxy": "", "https://u:p@proxy:1": "", "http://proxy/": "",
		"socks5://proxy:1": "", "socks5h://[::1]:1": "", "http://proxy:1/proxy.pac": "", "proxy:1/x?y": "",
		" ": blank, "proxy:1 ": blank, "u:a b@proxy": blank, "proxy:1\t": blank,
		`CORP\u:p@proxy:1`: parts, "u:%zz@proxy": parts, "u:12/3@proxy:1": parts, "u/x@proxy:1": parts, "http://u:1?x@proxy": parts, "u:1#@proxy": parts, "a:b@c/d@proxy:1": parts,
		"ftp://proxy": scheme, "://x": form, "http:host:1": form, "http://proxy:abc": form, "http:/proxy:1": form, "proxy:": form, "//host:1": form,
		"http://": form, ":1": form, "http://[::1": form,
	} {
		for _, name := range []string{"HTTPS_PROXY", "https_proxy"} {
			t.Setenv("HTTPS_PROXY", "")
			t.Setenv("https_proxy", "")
			t.Setenv(name, value)
			want := ""
			if reason != "" {
				want = "the variable " + name + " is not the address of a proxy: " + reason
			}
			for target, want := range map[string]string{"https://x.example": want, "http://x.example": "", "https://127.0.0.1": "", "https://x.localhost": ""} {
				_, err := ProxyFor(httptest.NewRequest(http.MethodGet, target, nil))
				if got := fmt.Sprint(err); got != cmp.Or(want, "<nil>") {
					t.Errorf("%s=%q for %s: %s, want %s", name, value, target, got, want)
				}
			}
		}
	}
}
