// The expected result of each attack of package attack.

package main

import (
	"slices"
	"strings"

	"mcpauth/internal/attack"
)

// fate is the expected result of an attack.
type fate struct {
	exit     int
	says     string   // regular expression for stderr
	shows    string   // text that stdout must contain
	args     []string // arguments of mcpauth; nil means login SERVER
	stdin    string
	honest   []string // command before the attack begins; nil means login SERVER if the attack needs a login
	stranger bool     // mcpauth sends a request to a stranger, but no secret
	passes   bool     // stdout contains the server's messages unchanged, because a program reads them
	good     bool     // the command may succeed despite the attack
	calls    int      // number of calls that the server receives; 0: any
}

// fates returns the expected result of each attack of package attack. SERVER stands for the server's address.
func fates() map[string]fate {
	refused := func(says string) fate { return fate{exit: exitSecurity, says: says} }
	broken := func(says string) fate { return fate{exit: exitNetwork, says: says} }
	harmless := fate{exit: exitDone, good: true}
	quotedHint := shellQuoting().mark + attack.Imitation
	omitted := `"` + attack.Flag + `" is omitted, because a command could read a part of its`
	call := []string{"call", "SERVER", "echo", "text=x"}
	asClient := []string{"login", "SERVER", "--client-id", "demo-basic", "--client-secret-env", "CLIENT_SECRET"}
	keyed := []string{"login", "SERVER", "-H", "X-Key: $USER_KEY"}
	after := func(exit int, says string) fate { return fate{exit: exit, says: says, args: call, good: true} }
	visiting := func(says string) fate {
		return fate{exit: exitSecurity, says: "asks to open a URL.*" + says, args: slices.Concat(call, []string{"--elicit", "defaults"}), good: true}
	}
	relayed := fate{exit: exitDone, args: []string{"proxy", "SERVER"}, good: true,
		stdin: `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"x"},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`}
	reflected := relayed
	reflected.passes = true
	relayedAfter := relayed
	relayedAfter.honest = []string{"login", "SERVER"}
	oldRelayed := relayed
	oldRelayed.stdin = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`
	provider := func(address string, exit int, says string) fate {
		return fate{exit: exit, says: says, args: []string{"login", "SERVER", "--grant", "enterprise", "--client-id", "demo-public", "--idp-token-endpoint", address,
			"--idp-client-id", "demo-idp-client", "--idp-client-secret-env", "IDP_SECRET", "--idp-id-token-file", "id-token"}}
	}
	enterprise := func(exit int, says string) fate {
		return fate{exit: exit, says: says, args: []string{"login", "SERVER", "--grant", "enterprise", "--client-id", "demo-public", "--idp-issuer", attack.IDP,
			"--idp-client-id", "demo-idp-client", "--idp-client-secret-env", "IDP_SECRET"}}
	}
	expecting := func(says string) fate {
		return fate{exit: exitSecurity, says: says, args: []string{"login", "SERVER", "--expect-account", "ann@example.com"}}
	}
	elsewhere := []string{"login", "SERVER", "--issuer", attack.AS2}
	ranOnce := func(exit int, says string) fate {
		f := after(exit, says)
		f.calls = 1
		return f
	}
	ran := ranOnce(exitTool, "charged, but the ")
	proxyRan := oldRelayed
	proxyRan.calls, proxyRan.stdin = 1, oldRelayed.stdin+"\n"+`{"jsonrpc":"2.0","method":"notifications/initialized"}`+"\n"+
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"x"}}}`
	foreign := refused(`resource is .*expected "https://mcp.attack.example/mcp"`)
	issuer := refused("issuer is .*expected")
	iss := refused("iss is .*expected|has none")
	all := map[string]fate{
		"address/challenge-http":                refused("http://evil.example/metadata.*https is required"),
		"address/challenge-file":                refused("file:.*scheme"),
		"address/challenge-metadata-service":    refused("169.254.169.254.*https is required"),
		"address/challenge-loopback":            refused("this machine"),
		"address/challenge-dash":                refused("scheme"),
		"address/challenge-long":                refused("longer than 8 kB"),
		"address/issuer-javascript":             refused("javascript:.*scheme"),
		"address/issuer-password":               refused("credentials"),
		"address/issuer-lookalike":              refused("not a plain name"),
		"address/issuer-loopback":               refused("this machine"),
		"address/issuer-spelt-loopback":         refused("not a plain name"),
		"address/issuer-zone":                   refused("not a plain name"),
		"address/issuer-newline":                refused("control characters"),
		"address/issuer-escape":                 refused("control characters"),
		"address/issuer-long":                   refused("longer than 8 kB"),
		"address/issuer-fragment":               refused("fragment"),
		"address/authorize-javascript":          refused("authorization_endpoint.*(scheme|control)"),
		"address/authorize-data":                refused("authorization_endpoint.*scheme"),
		"address/authorize-file":                refused("authorization_endpoint.*scheme"),
		"address/authorize-http":                refused("authorization_endpoint.*https is required"),
		"address/authorize-host-command":        refused("authorization_endpoint.*(not a URL|plain name)"),
		"address/authorize-path-command":        harmless,
		"address/authorize-dash":                refused("authorization_endpoint.*"),
		"address/authorize-loopback":            refused("authorization_endpoint.*this machine"),
		"address/token-http":                    refused("token_endpoint.*https is required"),
		"address/token-loopback":                refused("token_endpoint.*this machine"),
		"address/token-link-local":              refused("token_endpoint.*local link"),
		"address/alias-http":                    refused("mtls_endpoint_aliases: token_endpoint.*https is required"),
		"address/alias-loopback":                refused("mtls_endpoint_aliases: token_endpoint.*this machine"),
		"address/token-ipv6-loopback":           refused("token_endpoint.*this machine"),
		"address/token-nat64-loopback":          refused("token_endpoint.*this machine"),
		"address/token-6to4-link-local":         refused("token_endpoint.*local link"),
		"address/token-this-network":            refused("token_endpoint.*local link"),
		"address/registration-http":             refused("registration_endpoint.*https is required"),
		"address/revocation-http":               refused("revocation_endpoint.*https is required"),
		"address/registration-management":       {honest: []string{"login", "SERVER"}, args: []string{"logout", "SERVER"}},
		"address/registration-management-port":  {honest: []string{"login", "SERVER"}, args: []string{"logout", "SERVER"}},
		"address/device-verification":           {exit: exitSecurity, says: "verification.*scheme", args: []string{"login", "SERVER", "--grant", "device_code"}},
		"address/error-uri":                     {exit: exitAuth, says: "invalid_request"},
		"address/redirect-metadata-to-http":     refused("redirect.*https is required"),
		"address/redirect-metadata-to-loopback": refused("redirect.*this machine"),
		"address/redirect-metadata-to-file":     refused("redirect.*scheme"),
		"address/redirect-metadata-to-zone":     refused("fe80.*not a URL"),
		"address/redirect-metadata-to-space":    refused("evil example.*not a URL"),
		"address/redirect-resource-to-stranger": {exit: exitSecurity, says: "resource is missing", stranger: true},

		"identity/resource-foreign":     foreign,
		"identity/account-other":        expecting(`the server says "eve@example.com", expected "ann@example.com"`),
		"identity/account-username":     expecting(`the server says "1", expected "ann@example.com"`),
		"identity/account-lookalike":    expecting(`the server says "", expected`),
		"identity/account-unknown":      expecting(`the server says "", expected`),
		"identity/resource-port":        foreign,
		"identity/resource-suffix":      foreign,
		"identity/resource-credentials": foreign,
		"identity/resource-missing":     refused("resource is missing"),
		"identity/resource-long":        foreign,
		"identity/many-issuers":         {exit: exitNetwork, says: "and 9990 more.*tried"},
		"identity/resource-parent":      refused("which only the server's own well-known URL"),
		"identity/resource-query":       refused("which only the server's own well-known URL"),
		"identity/resource-root":        {exit: exitDone, good: true, args: []string{"login", "SERVER", "--json"}, shows: `"resource": "https://mcp.attack.example/mcp"`},
		"identity/resource-widened":     after(exitSecurity, `(?s)the metadata now names "https://mcp.attack.example".*hint: if you trust every server .*: mcpauth login https://mcp.attack.example/mcp`),
		"identity/resource-refused":     {exit: exitAuth, says: "hint: without the resource parameter.*other servers may accept the token.*if you trust this server"},
		"identity/redirect-tenant":      refused(`redirect to "https://mcp.attack.example/b/mcp", which is not below the server's URL`),
		"identity/redirect-probe":       refused(`redirect to "https://mcp.attack.example/b/mcp", which is not below the server's URL`),
		"identity/metadata-redirected":  {exit: exitSecurity, says: `came from "https://evil.example.*expected the issuer's own origin`, stranger: true},
		"identity/authorize-client":     refused(`authorization_endpoint carries the parameter "client_id"`),
		"identity/authorize-redirect":   refused(`authorization_endpoint carries the parameter "redirect_uri"`),
		"identity/authorize-scope":      refused(`authorization_endpoint carries the parameter "Scope"`),
		"identity/authorize-request":    refused(`authorization_endpoint carries the parameter "request_uri"`),
		"identity/authorize-semicolon":  refused("authorization_endpoint carries the parameter"),
		"identity/authorize-nul":        refused("authorization_endpoint carries the parameter"),
		"identity/authorize-brackets":   refused(`authorization_endpoint carries the parameter "client_id\[\]"`),
		"identity/authorize-dot":        refused(`authorization_endpoint carries the parameter "client.id"`),
		"identity/authorize-bracket":    refused(`authorization_endpoint carries the parameter "client_id\]"`),
		"identity/authorize-bracketed":  refused(`authorization_endpoint carries the parameter "\[request_uri\]"`),
		"identity/authorize-nonce":      refused("authorization_endpoint carries the parameter"),
		"identity/authorize-audience":   {exit: exitSecurity, says: `authorization_endpoint carries the parameter "audience\[\]"`, args: []string{"login", "SERVER", "--auth-param", "audience=good"}},
		"identity/authorize-pushed":     {exit: exitSecurity, says: `authorization_endpoint carries the parameter "audience\[\]"`, args: []string{"login", "SERVER", "--auth-param", "audience=good"}},
		"identity/device-number":        {exit: exitNetwork, says: "user_code is not a short word", args: []string{"login", "SERVER", "--grant", "device_code"}},
		"identity/device-address":       {exit: exitNetwork, says: "user_code is not a short word", args: []string{"login", "SERVER", "--grant", "device_code"}},
		"identity/device-elsewhere": {exit: exitNetwork, says: `(?s)to log in at https://as.attack.example, open .*warning: https://evil.example/device is not on https://as.attack.example`,
			args: []string{"login", "SERVER", "--grant", "device_code", "--timeout", "4s", "--quiet"}},
		"identity/device-elsewhere-typed": {exit: exitNetwork, says: `(?s)https://as.attack.example/device.*warning: https://evil.example/device is not on https://as.attack.example`,
			args: []string{"login", "SERVER", "--grant", "device_code", "--timeout", "4s", "--quiet"}},
		"identity/mix-up":                      refused(`iss is "https://as2.attack.example", expected "https://as.attack.example"`),
		"identity/endpoint-elsewhere":          harmless,
		"identity/certificate-call":            after(exitAuth, "the server still answers insufficient_scope"),
		"identity/certificate-challenge":       {exit: exitDone, good: true, args: []string{"login", "SERVER", "--issuer", attack.AS}},
		"identity/certificate-neighbour":       harmless,
		"identity/certificate-redirect":        harmless,
		"identity/certificate-metadata":        {exit: exitNetwork, says: "oauth-authorization-server: Not Found", good: true},
		"identity/certificate-issuer":          {exit: exitNetwork, says: `no document of "https://as.attack.example/b/delete"`, good: true},
		"identity/certificate-issuer-own-host": {exit: exitNetwork, says: `no document of "https://mcp.attack.example/b/delete"`, good: true},
		"identity/certificate-issuer-dots":     {exit: exitSecurity, says: `"https://mcp.attack.example/../../b/delete" contains two dots`, good: true},
		"identity/alias-elsewhere":             {exit: exitDone, good: true, says: "as2.attack.example/token is not shown the client certificate.*name this issuer only if you know that this endpoint belongs to it"},
		"identity/assertion-mix-up": {exit: exitSecurity, says: `(?s)aud names the token endpoint "https://as2.attack.example/token", .*hint: if you know .* --issuer URL\n`,
			args: []string{"login", "SERVER", "--grant", "jwt_bearer", "--client-id", "demo-public", "--assertion-file", "assertion"}},
		"identity/assertion-tenant": {exit: exitSecurity, says: `(?s)aud names the token endpoint "https://as.attack.example/token", .*hint: if you know .* --issuer URL\n`,
			args: []string{"login", "SERVER", "--grant", "jwt_bearer", "--client-id", "demo-public", "--assertion-file", "assertion-as"}},
		"identity/issuer-moved": {exit: exitSecurity, says: `authorization_servers is "https://evil.example", expected .*\nhint: .*name the authorization server that you trust: mcpauth login \S+ --client-id demo-basic .*--issuer URL\n`,
			args: slices.Concat(asClient, []string{"--issuer", attack.AS})},
		"identity/issuer-foreign":         issuer,
		"identity/issuer-case":            issuer,
		"identity/issuer-port":            issuer,
		"identity/issuer-encoding":        issuer,
		"identity/issuer-missing":         issuer,
		"identity/issuer-foreign-invalid": {exit: exitNetwork, says: "token_endpoint is not of the expected type"},
		"identity/issuer-twice":           {exit: exitNetwork, says: "issuer.*twice"},
		"identity/issuer-unavailable":     {exit: exitNetwork, says: "first: Service Unavailable"},
		"identity/resource-unavailable":   refused("another metadata URL of the server failed"),
		"identity/iss-foreign":            iss,
		"identity/iss-sentence":           refused("iss is not a URL, expected"),
		"identity/iss-case":               iss,
		"identity/iss-slash":              iss,
		"identity/iss-port":               iss,
		"identity/iss-encoding":           iss,
		"identity/iss-missing":            iss,
		"identity/iss-foreign-error":      iss,
		"identity/pkce-missing":           refused("code_challenge_methods_supported is missing"),
		"identity/pkce-plain":             refused("without S256"),
		"identity/issuer-changed-dynamic": {says: `warning: the authorization server was "https://as.attack.example" at the last login, and is now "https://as2`, good: true},
		"identity/issuer-changed-hidden":  {says: `warning: the authorization server was "https://as.attack.example" at the last login, and is now "https://as2.attack.example"`, good: true},
		"identity/issuer-changed-words": {exit: exitSecurity, good: true, honest: []string{"login", "SERVER", "--client-id", "demo-public"},
			says: `it was "https://as.attack.example" at the last login and is now "https://as2.attack.example"; client "demo-public" (.|\n)*hint: if you know`, args: []string{"login", "SERVER", "--client-id", "demo-public"}},
		"identity/issuer-changed": {exit: exitSecurity, says: "as2.attack.example", good: true, honest: []string{"login", "SERVER", "--client-id", "demo-public"},
			args: []string{"login", "SERVER", "--client-id", "demo-public"}},

		"provider/metadata-foreign": enterprise(exitSecurity, "identity provider: .*issuer is .*expected"),
		"provider/token-http":       enterprise(exitSecurity, "token_endpoint.*https is required"),
		"provider/mix-up":           enterprise(exitSecurity, `iss is "https://as.attack.example", expected "https://idp.attack.example"`),
		"provider/iss-foreign":      enterprise(exitSecurity, "identity provider: .*iss is .*expected"),
		"provider/iss-missing":      enterprise(exitSecurity, "identity provider: .*has none"),
		"provider/issuer":           enterprise(exitSecurity, "the ID token is refused: iss is"),
		"provider/client":           enterprise(exitSecurity, "the ID token is refused: aud lacks"),
		"provider/nonce":            enterprise(exitSecurity, "the ID token is refused: nonce"),
		"provider/expired":          enterprise(exitSecurity, "the ID token is refused: it expired"),
		"provider/foreign-audience": enterprise(exitAuth, "identity provider: .*invalid_target"),

		"answer/endless-metadata":     broken("larger than 1 MiB"),
		"answer/endless-resource":     broken("larger than 1 MiB"),
		"answer/endless-registration": broken("larger than 1 MiB"),
		"answer/endless-token":        broken("larger than 1 MiB"),
		"answer/endless-call":         {exit: exitNetwork, says: "deadline|timed? ?out|larger than allowed", args: slices.Concat(call, []string{"--timeout", "700ms"}), good: true},
		"answer/endless-stream":       after(exitNetwork, "more than 1048576 bytes without a message"),
		"answer/compressed-stream":    after(exitNetwork, "more than 1048576 bytes without a message"),
		"answer/endless-header":       broken("no document"),
		"answer/informational":        broken("no document"),
		"answer/drip":                 {exit: exitNetwork, says: "deadline|timed? ?out|timeout", args: []string{"login", "SERVER", "--timeout", "700ms"}},
		"answer/drip-token":           {exit: exitNetwork, says: "deadline|timed? ?out|timeout", args: []string{"refresh", "SERVER", "--timeout", "1500ms"}, good: true},
		"answer/gzip-bomb":            broken("larger than 1 MiB"),
		"answer/deep":                 broken("nested deeper"),
		"answer/duplicate-member":     broken("token_endpoint.*twice"),
		"answer/folded-member":        harmless,
		"answer/wrong-type":           broken("not a metadata document"),
		"answer/nul":                  broken("not a metadata document"),
		"answer/mark":                 broken("not a metadata document"),
		"answer/page":                 broken("not a metadata document"),
		"answer/two-values":           broken("there is data after the JSON value"),
		"answer/redirect-loop":        broken("more than 5 redirects"),
		"answer/token-307":            {exit: exitAuth, says: "evil.example.*does not follow redirects"},
		"answer/token-308":            {exit: exitAuth, says: "evil.example.*does not follow redirects"},
		"answer/registration-307":     {exit: exitAuth, says: "307"},
		"answer/truncated-token":      broken("the answer is incomplete"),
		"answer/many-scopes":          {args: []string{"refresh", "SERVER"}, honest: []string{"login", "SERVER"}, good: true},
		"answer/many-scopes-known":    {exit: exitNetwork, says: "too many scopes: more than 16 kB"},
		"answer/token-page":           broken("token endpoint"),

		"callback/repeated-code": broken("code appears twice"),
		"callback/repeated-iss":  broken("iss appears twice"),
		"callback/nothing":       broken("neither code nor error"),

		"token/newline":          broken("not allowed in a header"),
		"token/refresh-newline":  broken("not printable"),
		"token/dpop-without-key": broken(`token_type is "DPoP"`),
		"token/mac":              broken(`token_type is "mac"`),
		"token/missing":          broken("no access_token"),
		"token/reflected":        {exit: exitAuth, says: `\[redacted\]`},
		"token/reflected-secret": {exit: exitAuth, says: `your secret is \[redacted\]`,
			args: []string{"login", "SERVER", "--client-id", "demo-basic", "--client-secret-env", "CLIENT_SECRET", "--verbose"}},
		"token/reflected-header": {exit: exitTool, says: `< Server: key \[redacted\]`, good: true,
			args: slices.Concat(call, []string{"--verbose", "-H", "X-Key: $USER_KEY"})},
		"token/reflected-escaped": {exit: exitTool, says: `cannot use \[redacted\], "\[redacted\]", "\[redacted\]", \[redacted\] or \[redacted\] \(`, good: true,
			args: slices.Concat(call, []string{"-H", "X-Key: $USER_KEY", "--verbose"})},
		"token/reflected-quoted":       {exit: exitAuth, says: `cannot use \\"\[redacted\]\\" of \[redacted\]"`, good: true, args: slices.Concat(call, []string{"-H", "X-Key: $USER_KEY", "--verbose"})},
		"token/reflected-quoted-scope": {exit: exitDone, args: keyed, good: true},
		"token/reflected-malformed":    {exit: exitNetwork, says: `malformed MIME header.*\[redacted\]`, good: true, args: slices.Concat(call, []string{"-H", "X-Key: $USER_KEY"})},
		"token/reflected-length":       {exit: exitNetwork, says: `bad Content-Length.*\[redacted\]`, good: true, args: slices.Concat(call, []string{"-H", "X-Key: $USER_KEY"})},
		"token/reflected-unsolicited": {exit: exitTool, good: true, args: []string{"call", "SERVER", "--batch", "-", "--parallel", "1", "--quiet", "-H", "X-Key: $USER_KEY"},
			stdin: strings.Repeat(`{"tool":"echo","arguments":{"text":"x"}}`+"\n", 3)},
		"token/reflected-granted": {exit: exitDone, good: true, honest: asClient, args: asClient},
		"token/reflected-offered": {exit: exitDone, good: true, honest: keyed, args: keyed},
		"token/reflected-revoked": {exit: exitDone, says: `cannot revoke \[redacted\] and \[redacted\]`, honest: []string{"login", "SERVER"}, args: []string{"logout", "SERVER", "--json"}},
		"token/reflected-renewal": {exit: exitAuth, says: `it belongs to \[redacted\]`, good: true, honest: []string{"login", "SERVER"}, args: []string{"refresh", "SERVER"}},
		"token/reflected-grant":   {exit: exitTool, says: `cannot use \[redacted\]`, good: true, honest: []string{"login", "SERVER"}, args: call},
		"token/reflected-device":  {exit: exitNetwork, says: `user_code is not a short word`, args: slices.Concat(asClient, []string{"--grant", "device_code"})},
		"token/reflected-proxied": relayedAfter,
		"token/reflected-resource": {exit: exitSecurity, says: `resource is "https://mcp.attack.example/mcp\?k=\[redacted\]"`, good: true, honest: []string{"login", "SERVER"},
			args: []string{"call", "SERVER", "secret_note", "text=x"}},
		"token/reflected-pushed":       {exit: exitSecurity, says: "request_uri contains a secret of the request", args: asClient},
		"token/reflected-authorize":    {exit: exitSecurity, says: "authorization_endpoint: .*repeats a secret", args: keyed},
		"token/reflected-client":       {exit: exitSecurity, says: "repeats a secret.*client_id(?s:.*)hint: .*--issuer URL", args: keyed},
		"token/reflected-verification": {exit: exitSecurity, says: "verification address .*repeats a secret", args: slices.Concat(keyed, []string{"--grant", "device_code"})},
		"token/reflected-issuer":       {exit: exitSecurity, says: "authorization server metadata .*repeats a secret(?s:.*)hint: .*: mcpauth login https://mcp.attack.example/mcp .*--issuer URL", args: keyed},
		"token/reflected-moved":        {exit: exitSecurity, says: "Location that is refused: .*repeats a secret", args: keyed},
		"token/reflected-argument":     {exit: exitTool, good: true, says: `\[redacted\]`, args: []string{"call", "SERVER", "echo", "text=x"}},
		"token/reflected-kept":         {exit: exitDone, good: true, passes: true, args: []string{"tools", "SERVER"}},
		"token/reflected-probe":        {exit: exitNetwork, says: `malformed MIME header.*\[redacted\]`, args: []string{"login", "SERVER", "-H", "X-Key: $USER_KEY"}},
		"token/reflected-location":     {exit: exitSecurity, says: "Location that is refused: .*repeats a secret", args: []string{"login", "SERVER", "-H", "X-Key: $USER_KEY"}},
		"token/reflected-scope":        {exit: exitDone, args: []string{"login", "SERVER", "-H", "X-Key: $USER_KEY"}, good: true},
		"token/reflected-key":          {exit: exitTool, says: `cannot use \[redacted\]`, good: true, args: slices.Concat(call, []string{"-H", "X-Key: $USER_KEY"})},
		"token/provider-redirect":      provider("https://as.attack.example/idp/token", exitAuth, "evil.example.*does not follow redirects"),
		"token/provider-reflected":     provider("https://as.attack.example/idp/token", exitAuth, `\[redacted\]`),
		"token/provider-newline":       provider("https://as.attack.example/idp/token", exitNetwork, "not allowed in a header|not printable"),
		"token/provider-access-token":  provider("https://as.attack.example/idp/token", exitNetwork, "issued_token_type is missing, and the token is not an ID-JAG"),
		"token/provider-http":          provider("http://as.attack.example/idp/token", exitUsage, "use https"),
		"token/redirect-307":           after(exitNetwork, "redirects to .https://evil.example"),
		"token/redirect-308":           after(exitNetwork, "redirects to .https://evil.example"),
		"token/redirect-302":           after(exitNetwork, "redirects to .https://evil.example"),
		"token/reflected-status":       after(exitNetwork, `\[redacted\]`),
		"token/reflected-rpc":          after(exitTool, `\[redacted\]`),
		"token/reflected-invisible":    {exit: exitTool, says: `cannot use Bearer \[redacted\]`, args: slices.Concat(call, []string{"--verbose"}), good: true},
		"token/reflected-trace":        {exit: exitTool, says: `< Server: [A-Za-z0-9]*\[redacted\]`, args: slices.Concat(call, []string{"--verbose"}), good: true},
		"token/reflected-crowd":        {exit: exitTool, says: `cannot use Bearer \[redacted\] \[redacted\]`, args: slices.Concat(call, []string{"-H", "X-Key: $USER_KEY", "--verbose"}), good: true},
		"token/reflected-parts": {exit: exitTool, says: `"message":"not \[redacted\], not \[redacted\], not \[redacted\]"`, good: true,
			args: slices.Concat(call, []string{"-H", "Cookie: theme=dark; session=canary-session", "-H", "X-Pin: hunter2", "--verbose"})},
		"token/reflected-kept-cookie":   {exit: exitDone, good: true, passes: true, args: []string{"tools", "SERVER", "-H", "Cookie: theme=dark; session=" + attack.UserKey}},
		"token/reflected-question":      after(exitNetwork, `asks: give \[redacted\]`),
		"token/reflected-method":        after(exitNetwork, `requests "\[redacted\]"`),
		"token/reflected-address":       after(exitNetwork, "URL that contains the access token"),
		"token/reflected-refused":       after(exitSecurity, `address "http://evil.example/\[redacted\]" refused`),
		"token/reflected-task":          after(exitNetwork, "taskId contains the access token"),
		"token/reflected-task-status":   after(exitNetwork, `task of status "\[redacted\]"`),
		"token/reflected-task-key":      {exit: exitNetwork, says: "key contains the access token", args: []string{"call", "SERVER", "report", "ask=true", "pages=1"}, good: true},
		"token/reflected-link":          after(exitDone, `block 2: resource_link '\[redacted\]': 'x:\[redacted\]'`),
		"token/reflected-cut":           {exit: exitDone, says: `resource_link 'q{88}\[redacted\]'`, good: true, args: slices.Concat(call, []string{"-H", "X-Key: $USER_KEY"})},
		"token/reflected-metadata":      {exit: exitSecurity, says: `resource is "https://mcp.attack.example/\[redacted\]`, args: []string{"login", "SERVER", "-H", "X-Key: $USER_KEY"}},
		"token/reflected-key-challenge": {exit: exitAuth, says: "scope|403", args: slices.Concat(call, []string{"-H", "X-Key: $USER_KEY"}), good: true},
		"token/reflected-challenge":     after(exitAuth, "scope|403"),

		"call/ran-session":            ran,
		"call/ran-version":            ran,
		"call/ran-404":                ran,
		"call/ran-result":             ranOnce(exitTool, "reported an error"),
		"call/ran-text":               ranOnce(exitNetwork, "404.*charged, but the "),
		"call/ran-batch":              ran,
		"call/ran-bom":                ranOnce(exitTool, "Invalid session ID"),
		"call/ran-number":             ranOnce(exitNetwork, "404.*charged, but the "),
		"call/ran-known-text":         ranOnce(exitNetwork, "400.*Missing session ID"),
		"call/ran-first":              {exit: exitDone, args: call, good: true, shows: "x", calls: 1},
		"call/proxy-ran-first":        {exit: exitDone, args: relayed.args, stdin: relayed.stdin, good: true, shows: `"result"`, calls: 1},
		"call/sse-ran":                ranOnce(exitTool, "reported an error"),
		"call/proxy-ran-session":      proxyRan,
		"call/proxy-ran-result":       proxyRan,
		"call/proxy-ran-text":         proxyRan,
		"call/proxy-sse-ran":          proxyRan,
		"call/batch-sse-streams":      {exit: exitTool, says: "3 of 3 calls failed", args: []string{"call", "SERVER", "--batch", "-", "--parallel", "1"}, stdin: strings.Repeat(`{"tool":"echo","arguments":{"text":"x"}}`+"\n", 3), good: true, calls: 6},
		"call/question-many":          after(exitNetwork, "asks more than 100 questions"),
		"call/question-windows":       {exit: exitNetwork, says: "more than 20 URLs", args: slices.Concat(call, []string{"--elicit-urls"}), good: true},
		"call/million-questions":      after(exitNetwork, "asks more than 100 questions"),
		"call/million-words":          after(exitTool, "refuses the request: a a a"),
		"call/million-messages":       after(exitDone, ""),
		"call/million-arguments":      {exit: exitNetwork, says: "more than 100000 prompt arguments", args: []string{"prompts", "SERVER"}, good: true},
		"call/million-blocks":         {exit: exitNetwork, says: "more than 100000 blocks", args: slices.Concat(call, []string{"--quiet"}), good: true},
		"call/million-tools":          {exit: exitNetwork, says: "more than 100000 tools", args: []string{"tools", "SERVER"}, good: true},
		"call/million-properties":     {exit: exitNetwork, says: "more than 1048576 bytes", args: []string{"tools", "SERVER", "echo"}, good: true},
		"call/state-long":             after(exitNetwork, "requestState of more than 1048576 bytes"),
		"call/cursor-long":            {exit: exitNetwork, says: "cursor of more than 1048576 bytes", args: []string{"tools", "SERVER"}, good: true},
		"call/task-id":                after(exitNetwork, "taskId"),
		"call/question-javascript":    visiting("scheme"),
		"call/question-file":          visiting("scheme"),
		"call/question-http":          visiting("https is required"),
		"call/question-loopback":      visiting("this machine"),
		"call/question-dash":          visiting(""),
		"call/question-command":       visiting("not a URL|plain name"),
		"call/question-password":      visiting("credentials"),
		"call/question-required-many": after(exitNetwork, "asks more than 100 questions"),
		"call/question-lines":         after(exitNetwork, "… and [0-9]+ more questions"),
		"call/question-required":      visiting("scheme"),
		"call/question-terminal":      after(exitNetwork, "(?s)all is well.*declined.*10 times"),
		"call/question-other":         after(exitNetwork, "did not offer"),
		"call/nested-blocks":          after(exitNetwork, "neither text nor data"),
		"call/many-blocks":            {args: slices.Concat(call, []string{"--save-dir", "saved", "--quiet"}), good: true},
		"call/sse-endpoint":           after(exitSecurity, "not on the origin of the MCP server"),
		"call/sse-endpoint-http":      after(exitSecurity, "not on the origin of the MCP server"),
		"call/sse-endpoint-port":      after(exitSecurity, "not on the origin of the MCP server"),
		"call/sse-endpoint-tenant":    {exit: exitSecurity, says: "may belong to another server", args: []string{"call", attack.MCP + "/evil/sse", "echo", "text=x", "-H", "X-Api-Key: 3f9a1c77d2e84b06"}},
		"call/sse-endpoint-folder":    {exit: exitSecurity, says: "may belong to another server", args: []string{"call", attack.MCP + "/evil", "echo", "text=x", "-H", "X-Api-Key: 3f9a1c77d2e84b06"}},
		"call/sse-endpoint-long":      after(exitSecurity, "longer than 8 kB"),
		"call/sse-ping":               after(exitNetwork, "405"),
		"call/ping-ids":               after(exitDone, ""),
		"call/batch-question":         {exit: exitTool, says: "1 of 2 calls failed", args: []string{"call", "SERVER", "--batch", "-", "--parallel", "1"}, stdin: `{"tool":"echo","arguments":{"text":"x"}}` + "\n" + `{"tool":"echo","arguments":{"text":"y"}}`, good: true},
		"call/batch-reflected":        {exit: exitTool, says: "1 of 1 calls failed", args: []string{"call", "SERVER", "--batch", "-"}, stdin: `{"tool":"echo","arguments":{"text":"x"}}`, good: true},
		"call/proxy-reflected":        reflected,
		"call/proxy-error-page":       relayed,
		"call/proxy-sse-endpoint":     oldRelayed,
		"call/proxy-pages":            relayed,
		"call/proxy-version-long":     {exit: exitDone, args: oldRelayed.args, stdin: oldRelayed.stdin, good: true, shows: "protocol version of more than 100 bytes"},
		"call/proxy-redirect":         relayed,

		"terminal/token-error":          {exit: exitAuth, says: "all is well"},
		"terminal/token-error-huge":     {exit: exitAuth, says: "AAA"},
		"terminal/registration-error":   {exit: exitAuth, says: "all is well"},
		"terminal/authorization-error":  {exit: exitAuth, says: "all is well"},
		"terminal/script":               {exit: exitAuth, says: "access_denied"},
		"terminal/account":              harmless,
		"terminal/resource":             foreign,
		"terminal/issuer":               issuer,
		"terminal/client-id":            {exit: exitAuth, says: "no usable client_id"},
		"terminal/client-id-huge":       {exit: exitAuth, says: "no usable client_id"},
		"terminal/scopes-huge":          {exit: exitNetwork, says: "too many scopes: more than 16 kB"},
		"terminal/scope":                harmless,
		"terminal/scopes-supported":     harmless,
		"terminal/tools":                {args: []string{"tools", "SERVER"}, good: true},
		"terminal/tool-name":            {args: []string{"tools", "SERVER"}, good: true},
		"terminal/tool-schema":          {args: []string{"tools", "SERVER", "echo"}, good: true},
		"terminal/tool-default":         {args: []string{"tools", "SERVER", "echo"}, good: true},
		"terminal/tool-hint":            {args: []string{"tools", "SERVER"}, good: true, shows: quotedHint},
		"terminal/property-hint":        {args: []string{"tools", "SERVER", "echo"}, good: true, shows: quotedHint},
		"terminal/prompt-hint":          {args: []string{"prompts", "SERVER"}, good: true, shows: quotedHint},
		"terminal/prompt-argument-hint": {args: []string{"prompts", "SERVER", "review"}, good: true, shows: quotedHint},
		"terminal/resource-hint":        {args: []string{"resources", "SERVER"}, good: true, shows: quotedHint},
		"terminal/resource-name-hint":   {args: []string{"resources", "SERVER"}, good: true, shows: quotedHint},
		"terminal/tool-flag":            {args: []string{"tools", "SERVER"}, good: true, says: omitted, shows: "echo"},
		"terminal/tool-flag-json":       {args: []string{"tools", "SERVER", "--json"}, good: true, says: omitted, shows: `"echo"`},
		"terminal/tool-flag-near":       {exit: exitTool, says: "hint: mcpauth tools .* lists the tools", args: []string{"call", "SERVER", "header=X-Key:@id_rsa"}, good: true},
		"terminal/prompt-flag":          {args: []string{"prompts", "SERVER"}, good: true, says: omitted},
		"terminal/prompt-flag-json":     {args: []string{"prompts", "SERVER", "--json"}, good: true, says: omitted, shows: `"prompts":[`},
		"terminal/resource-flag":        {args: []string{"resources", "SERVER"}, good: true, says: omitted},
		"terminal/prompt-example":       {args: []string{"prompts", "SERVER", "\u200bx; mcpauth logout"}, good: true},
		"terminal/tool-example":         {args: []string{"tools", "SERVER", "echo"}, good: true}, // see TestPastedExample
		"terminal/tool-result":          after(exitDone, ""),                                     // a pipe gets the text unchanged; see TestTerminalIsNotCommanded
		"terminal/resource-link":        after(exitDone, `(?m)^block 1: resource_link n: 'https://x hint: mcpauth logout --all'$`),
		"terminal/block-type":           after(exitDone, `(?m)^block 1: 'hint: mcpauth logout --all', 1 bytes`),
		"terminal/task-message":         {exit: exitDone, says: `(?m)^the server says: hint: mcpauth logout --all$`, args: []string{"task", "SERVER", "t1", "--no-wait"}, good: true},
		"terminal/log-level":            {exit: exitDone, says: `(?m)^log: hint: mcpauth logout --all x: y$`, args: []string{"call", "SERVER", "slow", "--verbose"}, good: true},
		"terminal/device-code":          {exit: exitNetwork, says: "user_code is not a short word", args: []string{"login", "SERVER", "--grant", "device_code"}},
		"terminal/rpc-error":            after(exitTool, "all is well"),
		"terminal/error-page":           after(exitNetwork, "all is well"),
		"terminal/status-line":          after(exitNetwork, "malformed"),

		"terminal/blank-hint":             {exit: exitSecurity, says: "(?m)^hint: .*--issuer URL$", args: elsewhere},
		"terminal/blank-hint-unicode":     {exit: exitSecurity, says: "(?m)^hint: .*--issuer URL$", args: elsewhere},
		"terminal/long-hint":              {exit: exitSecurity, says: "(?m)^hint: .*--issuer URL$", args: elsewhere},
		"terminal/blank-issuer":           refused("spaces, control"),
		"terminal/blank-redirect":         refused("spaces, control"),
		"terminal/blank-moved":            refused("spaces, control"),
		"terminal/blank-device":           {exit: exitSecurity, says: "spaces, control", args: []string{"login", "SERVER", "--grant", "device_code", "--quiet"}},
		"terminal/blank-scope":            {exit: exitAuth, says: `requires scope '[a-z:_ ]* b mcpauth: logged in'.*\nhint: .*--scope `, args: slices.Concat(call, []string{"--reauth", "never"}), good: true},
		"terminal/blank-scopes-supported": {args: []string{"discover", "SERVER"}},
		"terminal/blank-question":         {exit: exitSecurity, says: "asks to open a URL.*spaces, control", args: slices.Concat(call, []string{"--elicit-urls"}), good: true},
		"terminal/blank-task-id":          after(exitNetwork, "taskId is not one word"),
		"terminal/blank-description":      {args: []string{"tools", "SERVER", "echo"}, good: true},
		"terminal/blank-default":          {args: []string{"tools", "SERVER", "echo"}, good: true},
		"terminal/blank-prompt":           {args: []string{"prompts", "SERVER", "review"}, good: true},
	}
	for _, a := range attack.All() {
		if strings.HasPrefix(a.Name, "callback/") && a.Do == nil {
			all[a.Name] = harmless // the callback answers 4xx and continues to wait
		}
	}
	return all
}
