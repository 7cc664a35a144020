package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

const troubleshootingPage = "../../docs/troubleshooting.md"

// remedies say in general what the examples of docs/troubleshooting.md show.
var remedies = []struct{ code, cause, cure string }{
	{"usage", "The command line cannot be understood, or its flags contradict each other. Nothing was sent.", "Correct the command line. `mcpauth COMMAND --help` lists the flags."},
	{"config", "A configuration file, a variable or a file that a flag names cannot be used. Nothing was sent.", "Correct the file or the variable that the message names."},
	{"login_required", "There is no login for this server, or none that can be renewed without a browser.", "Run the `mcpauth login` of the hint, once, where a browser is. See [headless](headless.md) for machines without one."},
	{"invalid_grant", "The authorization server no longer accepts the refresh token or the code: it was revoked, has expired, or was used by another program.", "Log in again. If it happens often, look for other programs that use a copy of the same login."},
	{"insufficient_scope", "The tool needs a scope that the login does not have.", "Log in with the scopes of the hint. `mcpauth call` does it by itself if a browser may be opened."},
	{"access_denied", "A person or the server said no: the login was refused in the browser, or the account is not allowed to do this.", "Allow the access, or log in with another account under another name."},
	{"auth_failed", "The login could not be completed for another reason. The message holds the words of the authorization server.", "The hint names the flag that helps, or says that only the server's operator can help."},
	{"security", "A check failed that protects your tokens: an issuer, a resource, a state, an address or PKCE. Nothing was sent to the address in question.", "Do not look for a way around it first. If you know that the server is right, the hint names the flag; otherwise tell its operator."},
	{"discovery", "The server's metadata is missing, unreachable or wrong, so mcpauth cannot tell how to log in.", "`mcpauth discover URL` shows every address that was tried and what each answer means."},
	{"network", "The server cannot be reached: name resolution, connection or TLS failed.", "`mcpauth discover URL` begins with these three. For a certificate authority of your own, use `--cacert`. `HTTPS_PROXY` and `NO_PROXY` count."},
	{"timeout", "The command did not end within its time limit.", "Allow more time with `--timeout`."},
	{"server", "The server failed (5xx), or asks to wait (429). The message holds its words and `Retry-After`.", "Try again later. `call --idempotent` waits as long as the server asks, within the time limit."},
	{"protocol", "An answer is not what the specification demands.", "Only the server's operator can correct it, except where the hint says otherwise."},
	{"rpc_error", "The server refused the call, or it has no such tool or argument.", "Compare the call with `mcpauth tools SERVER TOOL`. The words are the server's."},
	{"tool_error", "The tool ran and reported an error. What it says is on stdout.", "Read the tool's words. mcpauth cannot tell more."},
	{"keystore", "The store of the credentials failed: locked, denied, damaged, unwritable or busy. See [keychains](keychains.md).", "Follow the hint. mcpauth never falls back to another store silently."},
	{"output", "The result could not be written to stdout or to `--save-dir`. The command itself may have done its work.", "Make room, or write elsewhere."},
	{"interrupted", "The command was interrupted by Ctrl-C, SIGTERM or SIGHUP.", "Run it again. What is stored is whole."},
	{"internal", "This is a bug of mcpauth.", "Report it with the output of `--verbose`, in which secrets are replaced."},
}

// troubleshooting writes the page: every error.code with its cause, its cure, and what the mishaps showed.
func troubleshooting(all []mishap, seen []failure) string {
	var b strings.Builder
	b.WriteString("# Troubleshooting\n\nEvery error of mcpauth has a code (`error.code` with `--json`), which scripts can rely on. This page lists each code with its cause, its cure and\n" +
		"examples. The examples come from a run against the bundled server, and each hint in them was typed back by a test\n(`cmd/mcpauth/hints_test.go`, which writes this page).\n\n" +
		"Start with `mcpauth discover URL`. It shows how far a login gets, and why not further. `--verbose` shows every HTTP exchange, with secrets replaced.\n\n" +
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

// exitOf is the exit code that goes with an error.code.
func exitOf(code string) int {
	if code == "interrupted" {
		return exitInterrupted
	}
	for _, r := range table() {
		if r.code == code {
			return r.exit
		}
	}
	return exitInternal
}

// The page has every code of the table, and an example of each that can be provoked.
func TestTroubleshootingIsComplete(t *testing.T) {
	codes := []string{"internal", "interrupted"}
	for _, r := range table() {
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

// comparePage compares a page with what it should be; UPDATE=1 writes it anew.
func comparePage(t *testing.T, file, want string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if string(data) == want {
		return
	}
	if os.Getenv("UPDATE") == "" {
		t.Fatalf("%s is not what the program says (%v): UPDATE=1 go test ./cmd/mcpauth -run %s", file, err, t.Name())
	}
	if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}
