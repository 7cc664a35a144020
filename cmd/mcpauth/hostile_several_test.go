package main

import (
	"strings"
	"testing"

	"mcpauth/internal/demo"
)

// A command for several servers sends none of them a header, a certificate or a token that the user gave for one server. One of the servers
// can be an entry of a project's file that the user does not trust, or an old login.
func TestSecretsForSeveralServers(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	other, err := demo.Start(demo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	u.must(t, exitDone, "login", u.good.URL(), "--name", "a")
	u.must(t, exitDone, "login", other.URL(), "--name", "b")
	u.project(t, `{"mcpServers":{"x":{"url":"`+other.URL()+`"}}}`)
	u.env = append(u.env, "KEY=canary-key-1234")
	count := func() int {
		return u.good.Count("requests") + u.good.Count("refresh") + other.Count("requests") + other.Count("refresh")
	}
	before := count()
	header, cert := []string{"-H", "X-Key: $KEY"}, []string{"--cert", "own.pem"}
	for _, tt := range []struct {
		args []string
		hint string // the command in the hint, without the flag
	}{
		{[]string{"exec", "a", "x"}, "mcpauth exec a FLAG -- COMMAND"},
		{[]string{"status", "--check"}, "mcpauth status SERVER --check FLAG"},
		{[]string{"status", "--check", "a", "b"}, "mcpauth status a --check FLAG"},
		{[]string{"refresh", "a", "b"}, "mcpauth refresh a FLAG"},
		{[]string{"refresh", "--all"}, "mcpauth refresh SERVER FLAG"},
		{[]string{"logout", "a", "b"}, "mcpauth logout a FLAG"},
		{[]string{"logout", "--all"}, "mcpauth logout SERVER FLAG"},
		{[]string{"login", "--all"}, "mcpauth login SERVER FLAG"},
	} {
		for flag, secret := range map[string][]string{"--header 'X-Key: $KEY'": header, "--cert own.pem": cert} {
			if tt.args[0] == "login" && flag[2] == 'h' {
				continue // see TestLoginAllOfAProject
			}
			args := append(append([]string{}, tt.args...), secret...)
			if args[0] == "exec" {
				args = append(args, "--", "env")
			}
			u.must(t, exitUsage, args...)
			name, _, _ := strings.Cut(flag, " ")
			hint := strings.Replace(tt.hint, "FLAG", flag, 1)
			if s := u.stderr.String(); !strings.Contains(s, name+" would be sent to every server") || !strings.Contains(s, hint) || strings.Contains(s, "canary") {
				t.Errorf("%q: %s", args, s)
			}
		}
	}
	// A hint does not repeat a literal value, which can be a secret.
	u.must(t, exitUsage, "refresh", "a", "b", "-H", "X-Key: canary-key-5678")
	if s := u.stderr.String(); !strings.Contains(s, "mcpauth refresh a --header 'X-Key: VALUE'") || strings.Contains(s, "canary") {
		t.Error(s)
	}
	u.must(t, exitDone, append([]string{"status", "a", "b"}, header...)...) // sends nothing
	saved := u.env
	u.env = append(u.env, "MCPAUTH_ACCESS_TOKEN=canary-token")
	u.must(t, exitUsage, "exec", u.good.URL(), "http://localhost:1/", "--", "env")
	if s := u.stderr.String(); !strings.Contains(s, "MCPAUTH_ACCESS_TOKEN would be sent to every server") || !strings.Contains(s, "mcpauth exec "+u.good.URL()+" -- COMMAND") || strings.Contains(s, "canary") {
		t.Error(s)
	}
	u.env = saved
	if n := count() - before; n != 0 {
		t.Errorf("%d requests were sent", n)
	}
	u.must(t, exitDone, "status", "a", "--check", "-H", "X-Key: $KEY")
	u.must(t, exitDone, "refresh", "a", "-H", "X-Key: $KEY")
	u.must(t, exitDone, "exec", "a", "-H", "X-Key: $KEY", "--", "mcpauth", "--version")
}

// Every command that accepts several servers keeps the rule.
func TestSeveralServers(t *testing.T) {
	for _, c := range (&program{}).allCommands() {
		several, all := strings.Contains(c.ArgsUsage, "SERVER...") || strings.Contains(c.ArgsUsage, "SERVER…"), strings.Contains(c.ArgsUsage, "--all")
		if got := concernsSeveral(c.Name, []string{"a", "b", "--", "x"}, false, true); got != several {
			t.Errorf("%s with two arguments: %v, want %v", c.Name, got, several)
		}
		if all && !concernsSeveral(c.Name, nil, true, false) {
			t.Errorf("%s --all", c.Name)
		}
		if concernsSeveral(c.Name, []string{"a"}, false, true) || concernsSeveral(c.Name, []string{"a", "--", "x", "y"}, false, true) != (several && c.Name != "exec") {
			t.Errorf("%s with one server", c.Name)
		}
	}
}
