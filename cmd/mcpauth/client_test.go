package main

import (
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"mcpauth/pkg/flow"
)

func TestBrowser(t *testing.T) {
	for _, test := range []struct {
		name, flag string
		never      bool
		env        map[string]string
		command    string
		ok         bool
		nothing    bool // if true, the system has no program that opens a browser
	}{
		{"system's own", "", false, nil, "", true, false},
		{"--browser", "firefox", false, map[string]string{"BROWSER": "none", "CI": "true"}, "firefox", true, false},
		{"--browser none", "none", false, map[string]string{"BROWSER": "w3m"}, "", false, false},
		{"--no-browser", "", true, map[string]string{"BROWSER": "w3m"}, "", false, false},
		{"BROWSER", "", false, map[string]string{"BROWSER": "w3m"}, "w3m", true, false},
		{"BROWSER=none", "", false, map[string]string{"BROWSER": "none"}, "", false, false},
		{"CI", "", false, map[string]string{"CI": "1"}, "", false, false},
		{"CI=false", "", false, map[string]string{"CI": "false"}, "", true, false},
		{"no desktop", "", false, nil, "", false, true},
		{"no desktop, but BROWSER", "", false, map[string]string{"BROWSER": "w3m"}, "w3m", true, true},
		{"no desktop, but --browser", "firefox", false, nil, "firefox", true, true},
		{"CI and BROWSER", "", false, map[string]string{"CI": "true", "BROWSER": "w3m"}, "w3m", true, false},
	} {
		command, ok := chooseBrowser(test.flag, test.never, func(n string) string { return test.env[n] }, func() bool { return !test.nothing })
		if command != test.command || ok != test.ok {
			t.Errorf("%s: %q %v", test.name, command, ok)
		}
	}
}

// A flag of login has precedence over the same setting of the configuration. A secret or a mark of the replaced setting is dropped with it.
func TestApplyTo(t *testing.T) {
	file := flow.Settings{ClientID: "a", ClientSecret: "secret of a", SecretParts: []flow.Secret{"part"}, Scopes: []string{"x"}, Issuer: "https://as.example", IssuerOfProject: true,
		AssertionFile: "file", CertFile: "cert"}
	for _, tt := range []struct {
		name   string
		flags  loginOptions
		change func(want *flow.Settings)
	}{
		{"no flag", loginOptions{}, func(*flow.Settings) {}},
		{"the same client", loginOptions{settings: flow.Settings{ClientID: "a"}}, func(*flow.Settings) {}},
		{"another client", loginOptions{settings: flow.Settings{ClientID: "b"}}, func(s *flow.Settings) { s.ClientID, s.ClientSecret, s.SecretParts = "b", "", nil }},
		{"another authorization server", loginOptions{settings: flow.Settings{Issuer: "https://b.example"}}, func(s *flow.Settings) { s.Issuer, s.IssuerOfProject = "https://b.example", false }},
		{"another assertion", loginOptions{settings: flow.Settings{Assertion: "env:A"}}, func(s *flow.Settings) { s.Assertion, s.AssertionFile = "env:A", "" }},
		{"scopes", loginOptions{scopes: *cli.NewStringSlice("y z", "w")}, func(s *flow.Settings) { s.Scopes = []string{"y", "z", "w"} }},
		{"a parameter", loginOptions{authParams: *cli.NewStringSlice("a=b=c", "d=")}, func(s *flow.Settings) { s.AuthParams = [][2]string{{"a", "b=c"}, {"d", ""}} }},
		{"a setting that only a flag has", loginOptions{settings: flow.Settings{Strict: true}}, func(s *flow.Settings) { s.Strict = true }},
	} {
		target, want := flow.Target{Settings: file}, file
		tt.change(&want)
		if tt.flags.applyTo(&target); !reflect.DeepEqual(target.Settings, want) {
			t.Errorf("%s: got %+v, want %+v", tt.name, target.Settings, want)
		}
	}
}

// The ssh command uses the address and port of the current ssh connection.
func TestForward(t *testing.T) {
	for _, tt := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"USER": "eva", "SSH_CONNECTION": "10.0.0.9 50000 10.0.0.5 22"}, "ssh -N -L 4711:127.0.0.1:4711 eva@10.0.0.5"},
		{map[string]string{"USER": "eva", "SSH_CONNECTION": "fd00::9 50000 fd00::5 2222"}, "ssh -N -L 4711:127.0.0.1:4711 -p 2222 eva@fd00::5"},
		{map[string]string{"SSH_CONNECTION": "10.0.0.9 50000 10.0.0.5 22"}, "ssh -N -L 4711:127.0.0.1:4711 user@10.0.0.5"},
		{map[string]string{"USER": "eva;id", "SSH_CONNECTION": "1 2 3 4;id"}, "ssh -N -L 4711:127.0.0.1:4711 -p '4;id' 'eva;id@3'"},
	} {
		if got := forwardCommand(4711, func(n string) string { return tt.env[n] }); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.env, got, tt.want)
		}
	}
}

func TestReauth(t *testing.T) {
	for _, test := range []struct {
		flag, env string
		browser   bool
		want      string
	}{
		{"", "", true, "browser"}, {"", "", false, "refresh"}, {"browser", "", false, "refresh"}, {"never", "browser", true, "never"},
		{"", "never", true, "never"}, {"refresh", "never", true, "refresh"}, {"sometimes", "", true, ""}, {"", "maybe", true, ""},
	} {
		p := testProgram()
		p.lookupEnv = func(string) (string, bool) { return test.env, test.env != "" }
		got, err := p.reauthMode(flow.Reauth(test.flag), test.browser)
		if string(got) != test.want || (err != nil) != (test.want == "") || err != nil && rowFor(err).exit != exitUsage {
			t.Errorf("%+v: got %q, %v", test, got, err)
		}
	}
}

func TestFolder(t *testing.T) {
	for _, test := range []struct {
		name string
		env  map[string]string
		want string
	}{
		{"own variable", map[string]string{"MCPAUTH_STATE_DIR": "/a", "XDG_STATE_HOME": "/b", "HOME": "/c"}, "/a"},
		{"XDG", map[string]string{"XDG_STATE_HOME": "/b", "HOME": "/c"}, "/b/mcpauth"},
		{"relative XDG is ignored", map[string]string{"XDG_STATE_HOME": "b", "HOME": "/c"}, "/c/.local/state/mcpauth"},
		{"home", map[string]string{"HOME": "/c"}, "/c/.local/state/mcpauth"},
	} {
		p := testProgram()
		p.lookupEnv = func(n string) (string, bool) { v, ok := test.env[n]; return v, ok }
		if got, err := p.stateDir(); err != nil || filepath.ToSlash(got) != test.want {
			t.Errorf("%s: %q, %v", test.name, got, err)
		}
	}
	_, err := testProgram().stateDir()
	if rowFor(err).code != "config" || !strings.Contains(err.Error(), "is not set") {
		t.Errorf("no HOME: %v", err)
	}
}

func TestSetHeader(t *testing.T) {
	for _, test := range []struct{ name, value, want string }{
		{"X-Api-Key", "k", ""},
		{"x-api-key", "tab\tis fine", ""},
		{"", "x", "is missing"},
		{"a b", "x", "invalid character"},
		{"X", "a\r\nB: c", "line end"},
		{"X", "a\x00", "line end"},
		{"Host", "evil", "mcpauth sets it itself"},
		{"content-length", "1", "mcpauth sets it itself"},
		{"last-event-id", "1", "mcpauth sets it itself"},
	} {
		err := setHeader(http.Header{}, test.name, test.value)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%q: %v", test.name, err)
		}
	}
	if err := setHeader(http.Header{}, "X", "s3cret\n"); strings.Contains(err.Error(), "s3cret") {
		t.Error("the error holds the value")
	}
}

func TestPickProfile(t *testing.T) {
	at := func(names ...string) []flow.Target {
		var list []flow.Target
		for _, n := range names {
			list = append(list, flow.Target{URL: "https://x", Profile: n})
		}
		return list
	}
	for _, test := range []struct {
		name   string
		stored []flow.Target
		want   string
		fails  string
	}{
		{"none stored", nil, "", ""},
		{"unnamed", at("a", "", "b"), "", ""},
		{"one named", at("a"), "a", ""},
		{"two named", at("b", "a"), "", "a, b"},
	} {
		got, err := pickProfile(flow.Target{URL: "https://x"}, test.stored)
		if got.Profile != test.want || (err != nil) != (test.fails != "") || err != nil && !strings.Contains(err.Error(), test.fails) {
			t.Errorf("%s: %q, %v", test.name, got.Profile, err)
		}
	}
}

func TestKeychainLimit(t *testing.T) {
	for _, tt := range []struct {
		person bool
		ci     string
		want   time.Duration
	}{{true, "", -1}, {true, "false", -1}, {true, "true", 0}, {false, "", 0}} {
		if got := keychainLimit(tt.person, tt.ci); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}
