package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

const troubleshootingPage = "../../docs/troubleshooting.md"

// remedies describe, for each error.code, the cause and the remedy in general. The examples in docs/troubleshooting.md come from the tests
// of the mishaps.
var remedies = []struct{ code, cause, cure string }{
	{"usage", "mcpauth cannot parse the command line, or the flags contradict each other. Nothing was sent.", "Correct the command line. `mcpauth COMMAND --help` lists the flags."},
	{"config", "mcpauth cannot use a configuration file, a variable or a file that a flag names. Nothing was sent.", "Correct the file or the variable that the message names."},
	{"login_required", "There is no login for this server, or mcpauth cannot renew it without a browser.", "Run the command that the hint names. The command opens a browser. For machines without a browser, see [headless](headless.md)."},
	{"invalid_grant", "The authorization server no longer accepts the refresh token or the code. The token or code has expired, was revoked, or was used by another program.", "Log in again. If the error occurs often, look for other programs that use a copy of the same login."},
	{"insufficient_scope", "The tool requires a scope that the login does not have.", "Log in with the scopes that the hint names. If a browser can open, `mcpauth call` requests the missing scopes automatically. Without a browser, it does so only for the grants `client_credentials`, `jwt_bearer` and `enterprise`, and only if you named no scopes with `--scope` or in a configuration. For these grants, a server cannot add scopes to those that you named, because nobody would approve them. A server can start at most 5 logins in the browser within 10 minutes."},
	{"access_denied", "The user denied the access in the browser, or the account lacks permission.", "Allow the access, or log in with another account under another name."},
	{"auth_failed", "The login failed for another reason. The message contains the error of the authorization server.", "The hint names the flag that helps, or says that only the server's operator can help."},
	{"security", "A security check of an issuer, a resource, a state, a URL or PKCE failed. mcpauth sent nothing to a refused URL.", "Report the problem to the server's operator. Use the flag that the hint names only if you know that the server is right. No flag allows a message endpoint of HTTP+SSE that is not below the folder of the server's URL: ask the operator to move it there, or to offer Streamable HTTP."},
	{"discovery", "The server's metadata is missing, unreachable or wrong, so mcpauth cannot find out how to log in.", "`mcpauth discover URL` shows every URL that mcpauth tried and explains each response."},
	{"network", "mcpauth cannot reach the server: name resolution, connection or TLS failed.", "`mcpauth discover URL` shows which step failed. Use `--cacert` for your own certificate authority, and check `HTTPS_PROXY` and `NO_PROXY`."},
	{"timeout", "The command did not end within its time limit.", "Allow more time with `--timeout`. After a `call`, check first whether the tool ran."},
	{"server", "The server failed (5xx), or asks clients to wait (429). The message contains the server's error and `Retry-After`.", "Try again later. After a `call`, check first whether the tool ran. `call --idempotent` waits as long as the server asks, within the time limit."},
	{"protocol", "A response violates the specification.", "If the hint names a command, run the command. If there is no hint, only the server's operator can correct the error."},
	{"rpc_error", "The server rejected the call, or it has no such tool or argument.", "Compare the call with `mcpauth tools SERVER TOOL`. The error text comes from the server."},
	{"tool_error", "The tool ran and reported an error. The tool's error text is on stdout.", "Read the error text. mcpauth has no further information about the error."},
	{"keystore", "The credential store is locked, denied access, is damaged, cannot be written or is busy. See [keychains](keychains.md).", "Follow the hint. mcpauth never falls back to another store silently."},
	{"output", "mcpauth could not write the result to stdout or to `--save-dir`. The tool may have run.", "Free disk space, or write elsewhere. After a `call`, check first whether the tool ran."},
	{"interrupted", "The command was interrupted by Ctrl-C, SIGTERM or SIGHUP.", "Run the command again. After a `call`, check first whether the tool ran. The stored login is intact."},
	{"internal", "This is a bug in mcpauth.", "Report it with the output of `--verbose`, which masks secrets."},
}

// troubleshooting returns the page: every error.code with its cause, its remedy and the examples from the mishaps.
func troubleshooting(all []mishap, seen []failure) string {
	var b strings.Builder
	b.WriteString("# Troubleshooting\n\nStart with `mcpauth discover URL`, which shows the step at which a login fails, and the reason. `--verbose` prints every HTTP exchange and masks secrets.\n\n" +
		"Every error has a stable code for scripts (`error.code` with `--json`). This page lists each code with its cause, its remedy and examples. A\n" +
		"test (`cmd/mcpauth/hints_test.go`) runs each example with the bundled server, tests the hint, and writes this page.\n\n" +
		"| code | exit | cause |\n|---|---|---|\n")
	for _, r := range remedies {
		cause, _, _ := strings.Cut(r.cause, ". ")
		fmt.Fprintf(&b, "| [`%s`](#%s) | %d | %s |\n", r.code, r.code, exitOf(r.code), strings.TrimSuffix(cause, ".")+".")
	}
	for _, r := range remedies {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n%s\n", r.code, r.cause, r.cure)
		for i, f := range seen {
			if f.Code != r.code || all[i].unshown {
				continue
			}
			fmt.Fprintf(&b, "\n### %s\n\n```console\n$ %s\nmcpauth: %s\n", strings.ToUpper(all[i].name[:1])+all[i].name[1:], f.command, f.Message)
			if f.Hint != "" {
				fmt.Fprintf(&b, "hint: %s\n", f.Hint)
			}
			b.WriteString("```\n")
		}
	}
	return b.String()
}

// exitOf returns the exit code of an error.code.
func exitOf(code string) int {
	if code == "interrupted" {
		return exitInterrupted
	}
	for _, r := range errorTable() {
		if r.code == code {
			return r.exit
		}
	}
	return exitInternal
}

// The page has every error.code of the table, with an example if a mishap provokes it.
func TestTroubleshootingIsComplete(t *testing.T) {
	codes := []string{"internal", "interrupted"}
	for _, r := range errorTable() {
		codes = append(codes, r.code)
	}
	data, err := os.ReadFile(troubleshootingPage)
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range codes {
		if !slices.ContainsFunc(remedies, func(r struct{ code, cause, cure string }) bool { return r.code == code }) {
			t.Errorf("the page has no section for %s", code)
		}
		_, part, _ := strings.Cut(string(data), "\n## "+code+"\n")
		part, _, _ = strings.Cut(part, "\n## ")
		if code != "internal" && !strings.Contains(part, "\nmcpauth: ") {
			t.Errorf("the page has no example of %s", code)
		}
	}
}

// comparePage compares a page with the expected text. With UPDATE=1 it rewrites the page.
func comparePage(t *testing.T, file, want string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if string(data) == want {
		return
	}
	if os.Getenv("UPDATE") == "" {
		page := strings.Split(string(data), "\n")
		for i, line := range strings.Split(want, "\n") {
			if i == len(page) || line != page[i] {
				t.Fatalf("%s:%d differs (%v): UPDATE=1 go test ./cmd/mcpauth -run %s\nwant %s", file, i+1, err, t.Name(), line)
			}
		}
		t.Fatalf("%s is too long", file)
	}
	if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}
