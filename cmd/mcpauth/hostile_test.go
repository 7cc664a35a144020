// These tests let package attack play hostile servers against the real program: a process of its own, in a world where every name of the
// outside leads to the attacker. Whatever happens, no secret arrives at a stranger, no browser opens at an address that is not allowed,
// nothing is stored, and no control character reaches the terminal.

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"mcpauth/internal/attack"
	"mcpauth/internal/httpx"
)

// fate is how an attack ends.
type fate struct {
	exit     int
	says     string   // on stderr, a regular expression
	args     []string // the command; nil: login SERVER
	stdin    string
	honest   []string // what is done before the attack begins; nil: login SERVER, for attacks that come later
	stranger bool     // somebody else is spoken to, without a secret
	good     bool     // the command comes to a good end in spite of the attack
}

// fates is what becomes of each attack of package attack. SERVER stands for the address.
func fates() map[string]fate {
	refused := func(says string) fate { return fate{exit: exitSecurity, says: says} }
	broken := func(says string) fate { return fate{exit: exitNetwork, says: says} }
	harmless := fate{exit: exitDone, good: true}
	call := []string{"call", "SERVER", "echo", "text=x"}
	after := func(exit int, says string) fate { return fate{exit: exit, says: says, args: call, good: true} }
	visiting := func(says string) fate {
		return fate{exit: exitSecurity, says: "wants an address opened.*" + says, args: slices.Concat(call, []string{"--elicit", "defaults"}), good: true}
	}
	relayed := fate{exit: exitDone, args: []string{"proxy", "SERVER"}, good: true,
		stdin: `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"x"},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`}
	oldRelayed := relayed
	oldRelayed.stdin = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`
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
		"address/token-ipv6-loopback":           refused("token_endpoint.*this machine"),
		"address/registration-http":             refused("registration_endpoint.*https is required"),
		"address/revocation-http":               refused("revocation_endpoint.*https is required"),
		"address/registration-management":       {honest: []string{"login", "SERVER"}, args: []string{"logout", "SERVER"}},
		"address/registration-management-port":  {honest: []string{"login", "SERVER"}, args: []string{"logout", "SERVER"}},
		"address/device-verification":           {exit: exitSecurity, says: "verification.*scheme", args: []string{"login", "SERVER", "--grant", "device_code"}},
		"address/error-uri":                     {exit: exitAuth, says: "invalid_request"},
		"address/redirect-metadata-to-http":     refused("redirect.*https is required"),
		"address/redirect-metadata-to-loopback": refused("redirect.*this machine"),
		"address/redirect-metadata-to-file":     refused("redirect.*scheme"),
		"address/redirect-resource-to-stranger": {exit: exitSecurity, says: "resource is missing", stranger: true},

		"identity/resource-foreign":     foreign,
		"identity/resource-port":        foreign,
		"identity/resource-suffix":      foreign,
		"identity/resource-credentials": foreign,
		"identity/resource-missing":     refused("resource is missing"),
		"identity/resource-long":        foreign,
		"identity/many-issuers":         {exit: exitNetwork, says: "and 9990 more.*tried"},
		"identity/mix-up":               refused(`iss is "https://as2.attack.example", expected "https://as.attack.example"`),
		"identity/issuer-foreign":       issuer,
		"identity/issuer-case":          issuer,
		"identity/issuer-port":          issuer,
		"identity/issuer-encoding":      issuer,
		"identity/issuer-missing":       issuer,
		"identity/iss-foreign":          iss,
		"identity/iss-case":             iss,
		"identity/iss-slash":            iss,
		"identity/iss-port":             iss,
		"identity/iss-encoding":         iss,
		"identity/iss-missing":          iss,
		"identity/iss-foreign-error":    iss,
		"identity/pkce-missing":         refused("code_challenge_methods_supported is missing"),
		"identity/pkce-plain":           refused("without S256"),
		"identity/issuer-changed": {exit: exitSecurity, says: "as2.attack.example", good: true, honest: []string{"login", "SERVER", "--client-id", "demo-public"},
			args: []string{"login", "SERVER", "--client-id", "demo-public"}},

		"answer/endless-metadata":     broken("larger than 1 MiB"),
		"answer/endless-resource":     broken("larger than 1 MiB"),
		"answer/endless-registration": broken("larger than 1 MiB"),
		"answer/endless-token":        broken("larger than 1 MiB"),
		"answer/endless-call":         {exit: exitNetwork, says: "deadline|timed? ?out", args: slices.Concat(call, []string{"--timeout", "700ms"}), good: true},
		"answer/endless-stream":       {exit: exitNetwork, says: "deadline|timed? ?out", args: slices.Concat(call, []string{"--timeout", "700ms"}), good: true},
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
		"answer/two-values":           broken("more follows"),
		"answer/redirect-loop":        broken("more than 5 redirects"),
		"answer/token-307":            {exit: exitAuth, says: "evil.example.*follows no redirect"},
		"answer/token-308":            {exit: exitAuth, says: "evil.example.*follows no redirect"},
		"answer/registration-307":     {exit: exitAuth, says: "307"},
		"answer/truncated-token":      broken("broke off"),
		"answer/token-page":           broken("token endpoint"),

		"callback/repeated-code": broken("code appears twice"),
		"callback/repeated-iss":  broken("iss appears twice"),
		"callback/nothing":       broken("neither code nor error"),

		"token/newline":             broken("no header may carry"),
		"token/refresh-newline":     broken("not printable"),
		"token/mac":                 broken(`token_type is "mac"`),
		"token/missing":             broken("no access_token"),
		"token/reflected":           {exit: exitAuth, says: `\[redacted\]`},
		"token/redirect-307":        after(exitNetwork, "redirects to https://evil.example"),
		"token/redirect-308":        after(exitNetwork, "redirects to https://evil.example"),
		"token/redirect-302":        after(exitNetwork, "redirects to https://evil.example"),
		"token/reflected-status":    after(exitNetwork, `\[redacted\]`),
		"token/reflected-rpc":       after(exitTool, `\[redacted\]`),
		"token/reflected-challenge": after(exitAuth, "scope|403"),

		"call/question-javascript": visiting("scheme"),
		"call/question-file":       visiting("scheme"),
		"call/question-http":       visiting("https is required"),
		"call/question-loopback":   visiting("this machine"),
		"call/question-dash":       visiting(""),
		"call/question-command":    visiting("not a URL|plain name"),
		"call/question-password":   visiting("credentials"),
		"call/question-required":   visiting("scheme"),
		"call/question-terminal":   after(exitNetwork, "(?s)all is well.*declined.*10 times"),
		"call/question-other":      after(exitNetwork, "not offered"),
		"call/sse-endpoint":        after(exitSecurity, "not on the origin of the MCP server"),
		"call/sse-endpoint-http":   after(exitSecurity, "not on the origin of the MCP server"),
		"call/sse-endpoint-port":   after(exitSecurity, "not on the origin of the MCP server"),
		"call/batch-reflected":     {exit: exitTool, says: "1 of 1 calls failed", args: []string{"call", "SERVER", "--batch", "-"}, stdin: `{"tool":"echo","arguments":{"text":"x"}}`, good: true},
		"call/proxy-reflected":     relayed,
		"call/proxy-error-page":    relayed,
		"call/proxy-sse-endpoint":  oldRelayed,
		"call/proxy-redirect":      relayed,

		"terminal/token-error":         {exit: exitAuth, says: "all is well"},
		"terminal/token-error-huge":    {exit: exitAuth, says: "AAA"},
		"terminal/registration-error":  {exit: exitAuth, says: "all is well"},
		"terminal/authorization-error": {exit: exitAuth, says: "all is well"},
		"terminal/script":              {exit: exitAuth, says: "access_denied"},
		"terminal/resource":            foreign,
		"terminal/issuer":              issuer,
		"terminal/client-id":           {exit: exitAuth, says: "no usable client_id"},
		"terminal/client-id-huge":      {exit: exitAuth, says: "no usable client_id"},
		"terminal/scopes-huge":         refused("authorization request.*longer than 8 kB"),
		"terminal/scope":               harmless,
		"terminal/scopes-supported":    harmless,
		"terminal/tools":               {args: []string{"tools", "SERVER"}, good: true},
		"terminal/tool-name":           {args: []string{"tools", "SERVER"}, good: true},
		"terminal/tool-schema":         {args: []string{"tools", "SERVER", "echo"}, good: true},
		"terminal/tool-default":        {args: []string{"tools", "SERVER", "echo"}, good: true},
		"terminal/tool-result":         after(exitDone, ""), // on a pipe it stays as it is; see TestTerminalIsNotCommanded
		"terminal/rpc-error":           after(exitTool, "all is well"),
		"terminal/error-page":          after(exitNetwork, "all is well"),
		"terminal/status-line":         after(exitNetwork, "malformed"),
	}
	for _, a := range attack.All() {
		if strings.HasPrefix(a.Name, "callback/") && a.Do == nil {
			all[a.Name] = harmless // it is answered 4xx, and the wait goes on
		}
	}
	return all
}

func TestHostileWorld(t *testing.T) {
	expected := fates()
	var wait sync.WaitGroup
	slots := make(chan struct{}, 8) // most of the time they wait for each other's processes, not for a processor
	defer wait.Wait()
	for _, a := range attack.All() {
		f, ok := expected[a.Name]
		if !ok {
			t.Errorf("nobody knows how %s ends", a.Name)
			continue
		}
		delete(expected, a.Name)
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			t.Run(a.Name, func(t *testing.T) { play(t, a, f) })
		})
	}
	for name := range expected {
		t.Errorf("there is no attack %s", name)
	}
}

// play plays one attack.
func play(t *testing.T, a attack.Attack, f fate) {
	w, err := attack.Start(a.Name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	v := newVictim(t, w, strings.TrimPrefix(a.Name, "callback/"))
	if a.Later || f.honest != nil {
		if f.honest == nil {
			f.honest = []string{"login", "SERVER"}
		}
		if code := v.run(f.honest...); code != exitDone {
			t.Fatalf("before the attack: exit %d\n%s", code, v.stderr.String())
		}
	}
	if a.Later {
		if err := w.Begin(); err != nil {
			t.Fatal(err)
		}
	}
	if f.args == nil {
		f.args = []string{"login", "SERVER"}
	}
	v.stdin = f.stdin
	code := v.run(f.args...)
	if code != f.exit {
		t.Errorf("exit %d, want %d\n%.2000s", code, f.exit, v.stderr.String())
	}
	if !regexp.MustCompile(f.says).MatchString(v.stderr.String()) {
		t.Errorf("stderr does not match %q:\n%.2000s", f.says, v.stderr.String())
	}
	v.check(t, f)
}

// check looks for what must not have happened.
func (v *victim) check(t *testing.T, f fate) {
	t.Helper()
	for _, leak := range v.world.Leaks() {
		t.Error(leak)
	}
	if s := v.world.Strangers(); len(s) > 0 && !f.stranger {
		t.Errorf("strangers were asked: %q", s)
	}
	for _, secret := range v.world.Good().Secrets() {
		if attack.Holds(v.stderr.String(), secret) || attack.Holds(v.stdout.String(), secret) {
			t.Errorf("a secret (%.12s…) is shown", secret)
		}
	}
	if bad := control(v.stderr.String()); bad != "" {
		t.Errorf("stderr holds %q", bad)
	}
	if n := len(v.stderr.String()); n > 8<<10 {
		t.Errorf("stderr has %d bytes", n)
	}
	for _, address := range v.opened(t) {
		if u, err := httpx.Check(address, false); err != nil || u.Hostname() != "as.attack.example" && u.Hostname() != "as2.attack.example" {
			t.Errorf("the browser was opened at %q", address)
		}
	}
	if stored := v.holdsToken(t); stored != f.good && !slices.Contains(f.args, "logout") {
		t.Errorf("a token is stored: %v, want %v", stored, f.good)
	}
}

// control returns the characters that may do something to a terminal.
func control(s string) string {
	var bad strings.Builder
	for _, r := range s {
		if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
			bad.WriteRune(r)
		}
	}
	return bad.String()
}

// victim is a user in the world of an attack.
type victim struct {
	world          *attack.World
	home           string
	env            []string
	umask          bool // the program begins with an umask of 0
	stdin          string
	stdout, stderr bytes.Buffer
}

func newVictim(t *testing.T, w *attack.World, stranger string) *victim {
	home := t.TempDir()
	v := &victim{world: w, home: home}
	v.env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "MCPAUTH_KEYSTORE=file", "BROWSER=visitor " + stranger, "VISITS=" + filepath.Join(home, "visits"),
		"TMPDIR=" + os.TempDir(), "SYSTEMROOT=" + os.Getenv("SYSTEMROOT"), "USERPROFILE=" + home,
		"GORACE=atexit_sleep_ms=0"}, w.Env()...)
	return v
}

// run runs the program and returns its exit code.
func (v *victim) run(args ...string) int {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if v.world != nil {
		args = append([]string{"--cacert", v.world.CAFile()}, args...)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "SERVER", v.world.URL())
		}
	}
	v.stdout.Reset()
	v.stderr.Reset()
	cmd := exec.CommandContext(ctx, "mcpauth", args...)
	if v.umask {
		cmd = exec.CommandContext(ctx, "sh", append([]string{"-c", `umask 0; exec mcpauth "$@"`, "sh"}, args...)...)
	}
	cmd.Env, cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = v.env, v.home, strings.NewReader(v.stdin), &v.stdout, &v.stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}

// opened lists the addresses at which the browser was opened.
func (v *victim) opened(t *testing.T) []string {
	data, err := os.ReadFile(filepath.Join(v.home, "visits"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Fields(string(data))
}

// holdsToken asks the program whether it keeps a token. It opens no connection for it.
func (v *victim) holdsToken(t *testing.T) bool {
	t.Helper()
	env := func(name string) (string, bool) {
		for _, e := range v.env {
			if k, value, _ := strings.Cut(e, "="); k == name {
				return value, true
			}
		}
		return "", false
	}
	var out, errs bytes.Buffer
	if code := run(context.Background(), []string{"status", "--json"}, env, strings.NewReader(""), &out, &errs); code != exitDone {
		t.Fatalf("status: %d %s", code, errs.String())
	}
	return strings.Contains(out.String(), `"state": "valid"`)
}

// visitorMain stands for the browser: it notes the address, lets the stranger that its argument names in first, and follows the address.
func visitorMain() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	address := os.Args[len(os.Args)-1]
	f, err := os.OpenFile(os.Getenv("VISITS"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(f, address)
		err = errors.Join(err, f.Close())
	}
	if file := os.Getenv("CHILD_ENV"); file != "" && err == nil {
		err = os.WriteFile(file, []byte(strings.Join(slices.Concat(os.Args, os.Environ()), "\n")), 0o600)
	}
	page := ""
	if err == nil {
		page, err = attack.Visit(ctx, os.Args[1], address)
	}
	if err == nil {
		err = os.WriteFile(os.Getenv("VISITS")+".page", []byte(page), 0o600)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "visitor:", err)
		os.Exit(1)
	}
}
