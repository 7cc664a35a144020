//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"mcpauth/internal/config"
	"mcpauth/internal/httpx"
	"mcpauth/internal/toolargs"
	"mcpauth/pkg/discovery"
	"mcpauth/pkg/flow"
	"mcpauth/pkg/mcpclient"
)

// A name that a stranger chose is data for a shell. A user can paste it as an argument, and the shell neither expands a variable nor runs a
// command.
func TestPastedNames(t *testing.T) {
	for _, modules := range []string{"", "/opt/powershell/Modules"} {
		t.Setenv("PSModulePath", modules)
		t.Setenv("CANARY", "canary0123")
		for _, name := range []string{"notes://today/${CANARY}", "$CANARY", "notes://x/$(echo canary0123)", "`echo canary0123`", "a b$CANARY", `"$CANARY"`, `'$CANARY'`, `\$CANARY`,
			"x\u200b$CANARY", "\u201d$CANARY", "'\u200b$CANARY", "'; echo canary0123; '", "a\\' $CANARY", "{a,b}", "x{1..3}", "~/x", "*", "[a-z]", "#x", "!x", "a\n$CANARY", "a=$CANARY", "$'\\x24CANARY'", ""} {
			out, err := exec.Command("sh", "-c", "printf '%s\\n' "+foreignName(name)).CombinedOutput()
			if s := string(out); err != nil || strings.Count(s, "\n") != 1 || strings.Contains(strings.ReplaceAll(s, "echo canary0123", ""), "canary0123") {
				t.Errorf("%q is shown as %s, which a shell reads as %q, %v", name, foreignName(name), s, err)
			}
		}
	}
}

// A name with apostrophes or backslashes can be pasted, and if it is cut, it runs nothing.
func TestPastedApostrophes(t *testing.T) {
	t.Setenv("PSModulePath", "")
	if got, want := toolText(mcpclient.Tool{Name: "it's"}, "example"), "'it'\\''s'\n\nExample:\n  mcpauth call example 'it'\\''s'\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := foreignName(`CORP\alice`), `'CORP\alice'`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, name := range []string{`CORP\alice`, `C:\Users\x y`, `\d+`, `\`, `\\`, `\\\`, `\'`, `'\`, `a\'\\'`, `\\h\s\`, `\'; echo canary` + "0123; #", "it's", "'", "''", "it's; echo canary" + "0123", "'; echo canary" + "0123; '"} {
		shown := foreignName(name)
		if out, err := exec.Command("sh", "-c", "printf %s "+shown).CombinedOutput(); string(out) != name || err != nil {
			t.Errorf("%s is shown as %s, which a shell reads as %q, %v", name, shown, out, err)
		}
		for cells := 2; cells <= len(shown); cells++ {
			pasted := cutName(shown, cells) + " " + cutName(foreignName("; echo canary"+"0123;"), cells)
			out, err := exec.Command("sh", "-c", "printf '%s\n' "+pasted).CombinedOutput()
			if err != nil || strings.Contains(strings.ReplaceAll(string(out), "echo canary", ""), "canary0123") {
				t.Errorf("%s is read as %q, %v", pasted, out, err)
			}
		}
	}
}

// Texts in messages that no package quotes for a shell run nothing either, and the user's own words stay as they are.
func TestInert(t *testing.T) {
	for message, want := range map[string]string{
		`the server "z$(id)" is skipped`:                  `the server "z\u0024(id)" is skipped`,
		`authorization server http://h/$(id)/x`:           `authorization server http://h/\u0024(id)/x`,
		"says: \"a`id`\"; `id`":                           `says: "a\u0060id\u0060"; \u0060id\u0060`,
		`'$KEY' is not NAME=VALUE; set ${KEY}; it is $5!`: `'$KEY' is not NAME=VALUE; set ${KEY}; it is $5!`,
		`{"$schema":"x","a\/$b":1}`:                       `{"\u0024schema":"x","a\/\u0024b":1}`,
	} {
		if got := inert(message); got != want {
			t.Errorf("%s became %s, want %s", message, got, want)
		}
	}
	u := newUser(t)
	u.project(t, `{"mcpServers":{"z$(echo canary`+`0123)":5}}`)
	u.must(t, exitDone, "status")
	p, stderr := testProgram(), &strings.Builder{}
	p.out.stderr = stderr
	p.out.writeError("x", (&httpx.AddressError{Address: `http://h/?a";echo${IFS}canary0123;"`, Reason: "-"}).Error(), "", 1)
	for _, text := range []string{u.stderr.String(), stderr.String()} {
		text = strings.NewReplacer("\n", " ", "(", "", ")", "", "; ", ", ").Replace(text)
		out, err := exec.Command("sh", "-c", "printf '%s\n' "+text).CombinedOutput()
		if s := strings.NewReplacer("echo${IFS}canary", "", "echo canary", "", `echo\u0024{IFS}canary`, "").Replace(string(out)); err != nil || strings.Contains(s, "canary0123") {
			t.Errorf("%s is read as %q, %v", text, out, err)
		}
	}
}

// Two names that are cut and pasted together run nothing.
func TestPastedRows(t *testing.T) {
	t.Setenv("PSModulePath", "")
	long := []string{strings.Repeat("x", 400) + " abc", "; echo canary" + "0123; : " + strings.Repeat("y", 400)}
	var b bytes.Buffer
	o := &output{stdout: &b, width: 80}
	if err := o.writeTable([]string{"NAME", "DESCRIPTION"}, [][]string{{long[0], "d"}, {long[1], "d"}}, nil); err != nil {
		t.Fatal(err)
	}
	_, rows, _ := strings.Cut(b.String(), "\n")
	b.Reset()
	o.width = 70
	if err := (&program{out: o}).printTasks([]mcpclient.Task{{ID: "1", Tool: long[0]}, {ID: "2", Tool: long[1]}}); err != nil {
		t.Fatal(err)
	}
	_, tasks, _ := strings.Cut(b.String(), "\n")
	value := toolargs.Property{Name: "x", Types: "string", Default: json.RawMessage(`"` + strings.Repeat("v ", 160) + `"`)}
	for place, text := range map[string]string{
		"table on a terminal": rows, "tasks on a terminal": tasks, "value": argumentLine(value) + "\n" + argumentLine(toolargs.Property{Name: long[1]}), "table": shortName(long[0], 300) + "\n" + shortName(long[1], 300), "argument": argumentLine(toolargs.Property{Name: long[0]}) + "\n" + argumentLine(toolargs.Property{Name: long[1]}),
	} {
		text = strings.NewReplacer("(", "", ")", "").Replace(text) // without the types in brackets, which no shell can read
		out, err := exec.Command("sh", "-c", "printf '%s\n' "+text).CombinedOutput()
		if s := strings.ReplaceAll(string(out), "echo canary", ""); strings.Contains(s, "canary0123") || strings.Contains(s, "Unterminated") {
			t.Errorf("%s: %s is read as %q, %v", place, text, out, err)
		}
	}
}

// The scopes of a server are data for a shell in the output of status and discover, also if a row is cut. JSON output has them unchanged.
func TestPastedScopes(t *testing.T) {
	t.Setenv("PSModulePath", "")
	const command = "$(echo${IFS}canary" + "0123)"
	scopes := []string{"read", command, "`echo${IFS}canary0123`", "a;echo", "{canary,}0123", "https://example.com/auth/x.y"}
	plan := &flow.Plan{Scopes: scopes}
	check := func(text string) discovery.Check { return discovery.Check{State: discovery.Passed, Message: text} }
	printed := map[string]string{"discover": discoveryTree(flow.Discovery{URL: "https://a.example", Plan: plan, Checks: []discovery.Check{
		check(fmt.Sprintf("scopes_supported lists %q, %q", "read", command)), check(fmt.Sprintf("the challenge names the scope %q", "read "+command))}}, false)}
	if tree := printed["discover"]; !strings.Contains(tree, `lists "read", "\u0024(echo`) {
		t.Error(tree)
	}
	for width := range 200 {
		o, out := testOutput(width)
		if err := o.statusTable([]flow.Status{{URL: "https://a.example", State: "valid", Scopes: scopes, Account: command + " x"}, {URL: "https://b.example", State: "valid", Scopes: scopes[1:], Account: command}}); err != nil {
			t.Fatal(err)
		}
		_, printed[fmt.Sprint("status in ", width, " cells")], _ = strings.Cut(out.String(), "\n")
		p := testProgram()
		p.out, out = testOutput(width)
		if err := p.printTasks([]mcpclient.Task{{ID: "1", Tool: command + strings.Repeat("x", 60)}, {ID: "2", Tool: command + strings.Repeat("y", 60)}}); err != nil {
			t.Fatal(err)
		}
		_, printed[fmt.Sprint("tasks in ", width, " cells")], _ = strings.Cut(out.String(), "\n")
	}
	printed["a login"] = strings.NewReplacer("(unverified)", "").Replace(describeAccount(flow.Status{Account: command}))
	printed["an error"], _, _ = strings.Cut((&flow.ScopeError{Scopes: append(scopes, "it's"+command)}).Error(), " (RFC")
	for place, text := range printed {
		out, err := exec.Command("sh", "-c", "printf '%s ' "+strings.ReplaceAll(text, "\n", " ")).CombinedOutput()
		if s := strings.NewReplacer("echo${IFS}canary", "", `echo\u0024{IFS}canary`, "").Replace(string(out)); err != nil || strings.Contains(s, "canary0123") {
			t.Errorf("%s: %s is read as %q, %v", place, text, out, err)
		}
	}
	if data, err := json.Marshal(flow.Status{Scopes: scopes}); err != nil || !strings.Contains(string(data), `"`+command+`"`) {
		t.Errorf("%s, %v", data, err)
	}
}

// A name of letters that take no cell has a bound too.
func TestNarrowNames(t *testing.T) {
	for _, narrow := range []string{"a" + strings.Repeat("\u1161", 500_000), "a b" + strings.Repeat("\u1161", 500_000)} {
		if got := shortName(narrow, 300); len(got) > 1300 {
			t.Errorf("%d bytes, beginning with %s", len(got), got[:20])
		}
	}
}

// PowerShell ends a word before { and begins another one after }, which can be a flag.
func TestBracesForPowerShell(t *testing.T) {
	for modules, want := range map[string]string{"": "{b}-H.X:@k", "/opt/powershell/Modules": "'{b}-H.X:@k'"} {
		t.Setenv("PSModulePath", modules)
		if got := foreignName("{b}-H.X:@k"); got != want {
			t.Errorf("with PSModulePath=%q: %s, want %s", modules, got, want)
		}
	}
}

// Texts of a schema and of a result, in lines for people, are data for a shell too.
func TestPastedTexts(t *testing.T) {
	t.Setenv("PSModulePath", "")
	evil := "notes://x/$(echo canary" + "0123)"
	raw, err := json.Marshal(evil)
	if err != nil {
		t.Fatal(err)
	}
	p, stderr := testProgram(), &strings.Builder{}
	p.out.stderr = stderr
	link := mcpclient.Block{Type: "resource_link", Name: evil, URI: evil, MIMEType: evil}
	if err := (&printer{program: p, clean: (&mcpclient.Client{}).Clean}).saveBlocks(mcpclient.Result{Content: []mcpclient.Block{link}}, "t"); err != nil {
		t.Fatal(err)
	}
	values := argumentLine(toolargs.Property{Name: "mode", Types: "string", Default: raw, Enum: []json.RawMessage{raw, json.RawMessage(`["$(echo canary0123)"]`), json.RawMessage("7")}})
	values = strings.TrimSuffix(strings.Replace(values, " (", " ", 1), ")") // a shell cannot read our own brackets
	long := argumentLine(toolargs.Property{Name: "mode", Types: "string", Enum: slices.Repeat([]json.RawMessage{raw}, 50)})
	headers := map[string]string{}
	for i := range 50 {
		headers[fmt.Sprint(evil, i)] = "x"
	}
	// A name with quotation marks of its own, and with escapes of JSON that Go does not know.
	const odd = "x\"$(echo canary" + "0123)\"y"
	p.out.stderr = &strings.Builder{}
	p.printQuestion(mcpclient.Elicitation{Mode: "url", URL: "https://x/?" + odd}, mcpclient.Answer{})
	p.printQuestion(mcpclient.Elicitation{Schema: json.RawMessage(`{"properties":{"$(echo canary0123)\/":{},"$(echo canary0123)\ud83d\ude00":{}}}`)}, mcpclient.Answer{Reason: "-"})
	p.out.printWarning("%s: %v", foreignName(odd), errors.New(quote(odd)))
	p.out.writeError("x", (&mcpclient.UnknownError{Kind: "tool", Name: "no \"", Nearest: odd}).Error()+"; "+(&mcpclient.ArgumentError{Tool: odd, Argument: odd}).Error(), "", 1)
	oddities := strings.NewReplacer("\n", " ", ";", ",").Replace(fmt.Sprint(p.out.stderr))
	untrusted := untrustedError(config.Entry{Path: "/p", Name: "x", Headers: headers}, "is not trusted").Error()
	for _, text := range []string{strings.TrimSpace(stderr.String()), oddities, values, strings.Replace(long, " (", " ", 1), untrusted} {
		out, err := exec.Command("sh", "-c", "printf '%s\n' "+text).CombinedOutput()
		if s := strings.ReplaceAll(string(out), "echo canary", ""); err != nil || strings.Contains(s, "canary0123") {
			t.Errorf("%s is read as %q, %v", text, out, err)
		}
	}
}

// A text of a schema is shown as the user types it after =, in the quotes of the shell. A text that cannot be typed, or that names a file, and any
// other value are shown as JSON, as the user types them after :=.
func TestShownValue(t *testing.T) {
	t.Setenv("PSModulePath", "")
	for raw, want := range map[string]string{`"fast"`: "fast", `7`: "7", `"\t"`: `'"\t"'`, `" "`: `'" "'`, `""`: `''`, `"C:\\me"`: `'C:\me'`, `"don't"`: `'don'\''t'`, `["a"]`: `'["a"]'`,
		`"$(id)"`: `'$(id)'`, `"created at"`: `'created at'`, `"→ up"`: `'→ up'`, `"a=b"`: `'a=b'`, `"mcpauth"`: `'mcpauth'`, `"\\d+"`: `'\d+'`, `["\\d"]`: `'["'\\'\d"]'`, `"@/etc/passwd"`: `'"@/etc/passwd"'`, `null`: "null",
		`"\u200bx"`: `'"\u200bx"'`} {
		if got := shownValue(json.RawMessage(raw)); got != want {
			t.Errorf("%s: %s, want %s", raw, got, want)
		}
	}
}
