package httpx

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		name, address string
		local         bool
		reason        string // a part of the error; empty: the URL is allowed
	}{
		{name: "https", address: "https://as.example.com/token"},
		{name: "https on a private network", address: "https://10.0.0.5/token"},
		{name: "http to loopback for a local server", address: "http://127.0.0.1:8080/token", local: true},
		{name: "http to localhost for a local server", address: "http://localhost:1/token", local: true},
		{name: "http to ::1 for a local server", address: "http://[::1]:1/token", local: true},
		{name: "remote https for a local server", address: "https://as.example.com", local: true},
		{name: "http to a remote host", address: "http://as.example.com/token", reason: "https is required"},
		{name: "http to a remote host for a local server", address: "http://as.example.com/token", local: true, reason: "https is required"},
		{name: "http to loopback for a remote server", address: "http://127.0.0.1/token", reason: "plain http to this machine"},
		{name: "https to loopback for a remote server", address: "https://localhost/token", reason: "address of this machine"},
		{name: "a trailing dot hides no loopback", address: "https://localhost./token", reason: "address of this machine"},
		{name: "mapped loopback", address: "https://[::ffff:127.0.0.1]/", reason: "address of this machine"},
		{name: "loopback with a zone", address: "http://[::1%25lo]:8080/token", local: true, reason: "not a plain name"},
		{name: "link-local metadata service", address: "https://169.254.169.254/latest", reason: "local link"},
		{name: "unspecified", address: "https://0.0.0.0/", reason: "local link"},
		{name: "unspecified in IPv6", address: "https://[::]/", reason: "local link"},
		{name: "this network", address: "https://0.0.0.1/", reason: "local link"},
		{name: "loopback behind NAT64", address: "https://[64:ff9b::7f00:1]/", reason: "local link"},
		{name: "loopback behind NAT64 for a local server", address: "https://[64:ff9b::7f00:1]/", local: true, reason: "local link"},
		{name: "link-local behind NAT64", address: "https://[64:ff9b::169.254.169.254]/", reason: "local link"},
		{name: "loopback behind a local NAT64", address: "https://[64:ff9b:1::7f00:1]/", reason: "local link"},
		{name: "loopback behind SIIT", address: "https://[::ffff:0:7f00:1]/", reason: "local link"},
		{name: "loopback in an ISATAP address", address: "https://[::5efe:7f00:1]/", reason: "local link"},
		{name: "loopback in a Teredo address", address: "https://[2001::80ff:fffe]/", reason: "local link"},
		{name: "site-local", address: "https://[fec0::1]/", reason: "local link"},
		{name: "IPv4 multicast", address: "https://224.0.0.251/", reason: "local link"},
		{name: "IPv6 multicast", address: "https://[ff05::2]/", reason: "local link"},
		{name: "compatible loopback", address: "https://[::7f00:1]/", reason: "local link"},
		{name: "loopback behind 6to4", address: "https://[2002:7f00:1::]/", reason: "local link"},
		{name: "a remote address behind NAT64", address: "https://[64:ff9b::c633:6407]/"},
		{name: "a remote address behind 6to4", address: "https://[2002:c633:6407::1]/"},
		{name: "a remote address in IPv6", address: "https://[2001:db8::1]/"},
		{name: "short form of loopback", address: "https://127.1/", reason: "not a plain name"},
		{name: "number for loopback", address: "https://2130706433/", reason: "not a plain name"},
		{name: "hexadecimal for loopback", address: "https://0x7f.0.0.0x1/", reason: "not a plain name"},
		{name: "IDN lookalike", address: "https://ехample.com/", reason: "not a plain name"},
		{name: "file", address: "file:///etc/passwd", reason: "scheme"},
		{name: "javascript", address: "javascript:alert(1)", reason: "scheme"},
		{name: "data", address: "data:text/html,x", reason: "scheme"},
		{name: "no scheme", address: "as.example.com", reason: "scheme"},
		{name: "leading dash", address: "-https://as.example.com", reason: ""},
		{name: "credentials", address: "https://user:password@as.example.com/", reason: "credentials"},
		{name: "newline", address: "https://as.example.com/\nHost: x", reason: "control characters"},
		{name: "space", address: "https://as.example.com/a b", reason: "spaces"},
		{name: "blank of Unicode", address: "https://as.example.com/a?b=\u2003", reason: "invisible characters"},
		{name: "letter that looks like a blank", address: "https://as.example.com/\u3164", reason: "invisible characters"},
		{name: "Braille blank", address: "https://as.example.com/?\u2800", reason: "invisible characters"},
		{name: "bidirectional control", address: "https://as.example.com/\u202e", reason: "invisible characters"},
		{name: "letters outside ASCII", address: "https://as.example.com/?q=\u00e9"},
		{name: "fragment", address: "https://as.example.com/#x", reason: "fragment"},
		{name: "empty fragment", address: "https://as.example.com/#", reason: "fragment"},
		{name: "no host", address: "https:///token", reason: "no host"},
		{name: "opaque", address: "https:token", reason: "no host"},
		{name: "too long", address: "https://as.example.com/" + strings.Repeat("a", maxAddress), reason: "8 kB"},
		{name: "shell words in the host", address: "https://$(id).example.com/", reason: "not a plain name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u, err := Check(tt.address, tt.local)
			if strings.HasPrefix(tt.address, "-") {
				tt.reason = "not a URL" // a scheme begins with a letter
			}
			if tt.reason == "" {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				if u.String() != tt.address {
					t.Errorf("came back as %q", u)
				}
				return
			}
			var refused *AddressError
			if !errors.As(err, &refused) || !strings.Contains(refused.Reason, tt.reason) {
				t.Fatalf("got %v, want an AddressError with %q", err, tt.reason)
			}
			if len(refused.Address) > 1000 {
				t.Error("the error shows all of a long address")
			}
		})
	}
}

func TestCheckServer(t *testing.T) {
	for address, ok := range map[string]bool{
		"https://mcp.example.com/mcp": true, "https://localhost/mcp": true, "http://127.0.0.1:1/mcp": true, "http://localhost:1": true,
		"http://mcp.example.com": false, "ftp://mcp.example.com": false, "https://u@mcp.example.com": false, "http://": false,
		"http://localhost.evil.com": false, "http://127.0.0.1.evil.com": false, "https://[::1%25lo]/mcp": false, "https://[fe80::1%25eth0]/mcp": false,
	} {
		if _, err := CheckServer(address); (err == nil) != ok {
			t.Errorf("CheckServer(%q) = %v, want allowed %v", address, err, ok)
		}
	}
}

func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{
		"HTTPS://MCP.Example.COM:443/": "https://mcp.example.com",
		"https://x/mcp/":               "https://x/mcp/",
		"https://x:8443/A%2Fb?Q=1":     "https://x:8443/A%2Fb?Q=1",
		"http://127.0.0.1:80/mcp":      "http://127.0.0.1/mcp",
		"http://[::1]:80/mcp":          "http://[::1]/mcp",
		"https://[2001:db8::443]/mcp":  "https://[2001:db8::443]/mcp",
		"https://x/?a=b":               "https://x/?a=b",
	} {
		u, err := url.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := Canonical(u); got != want {
			t.Errorf("Canonical(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSameOrigin(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"https://x/a", "https://X:443/b", true},
		{"https://x", "http://x", false},
		{"https://x", "https://x:8443", false},
		{"https://x", "https://y", false},
	} {
		a, _ := url.Parse(tt.a)
		b, _ := url.Parse(tt.b)
		if got := SameOrigin(a, b); got != tt.want {
			t.Errorf("SameOrigin(%q, %q) = %v", tt.a, tt.b, got)
		}
	}
}

// A URL that is allowed for a remote server has the scheme https and a host that is not this machine, in any spelling.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{"https://a.example", "http://127.0.0.1", "https://[::1]", "https://0x7f.1", "//x", "https://a@b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := Check(raw, false)
		if err != nil {
			var refused *AddressError
			if !errors.As(err, &refused) {
				t.Fatalf("error of another type: %v", err)
			}
			return
		}
		again, err := url.Parse(u.String())
		if err != nil || again.Scheme != "https" || Local(again) || again.User != nil || again.Hostname() == "" {
			t.Errorf("%q was allowed and reads back as %q (%v)", raw, again, err)
		}
	})
}

// Another tenant of the origin has a path that is not below. Dots that a server resolves later would lead to such a path.
func TestIsBelow(t *testing.T) {
	for _, tt := range []struct {
		path, parent string
		want         bool
	}{
		{"/a", "/a", true}, {"/a/", "/a", true}, {"/a", "/a/", true}, {"/a/b", "/a", true}, {"/a/b", "/a/", true}, {"/a/b/c", "/a", true},
		{"/b", "/a", false}, {"/ab", "/a", false}, {"/", "/a", false}, {"", "/a", false}, {"/A/b", "/a", false},
		{"/a", "/", true}, {"/a", "", true}, {"", "", true}, {"", "/", true}, {"/", "", true},
		{"/a/../b", "/a", false}, {"/a/%2e%2e/b", "/a", false}, {"/a/..%2fb", "/a", false}, {"/a/..;/b", "/a", false}, {"/a%2fb", "/a", false}, {"/a/b?x=..", "/a", true},
	} {
		u, err := url.Parse("https://host.example" + tt.path)
		parent, parentErr := url.Parse("https://host.example" + tt.parent)
		if err != nil || parentErr != nil {
			t.Fatal(err, parentErr)
		}
		if got := IsBelow(u, parent); got != tt.want {
			t.Errorf("%q below %q: %v", tt.path, tt.parent, got)
		}
	}
}
