package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"mcpauth/internal/attack"
	"mcpauth/internal/config"
	"mcpauth/internal/demo"
	"mcpauth/pkg/discovery"
	"mcpauth/pkg/flow"
	"mcpauth/pkg/mcpclient"
)

// A server of login --all issues the address of another server, and the beginnings of our lines, as tokens. The lines about the other server
// stay as they are.
func TestLoginAllKeepsTheLinesOfOthers(t *testing.T) {
	u := newUser(t)
	evil, err := demo.Start(demo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(evil.Close)
	address := strings.TrimSuffix(strings.TrimPrefix(u.good.URL(), "http://"), "/mcp")
	u.own(t, `{"mcpServers":{"a":{"url":"`+evil.URL()+`"},"b":{"url":"`+u.good.URL()+`"}}}`)
	if err := u.good.Set("metadata:no-pkce"); err != nil {
		t.Fatal(err)
	}
	var want string
	for _, word := range []string{"", address + "~zzzz", "warning:~b:~auth", "code_challenge_methods_supported~", "https://example.com/x?a='b"} {
		if word != "" {
			u.must(t, exitDone, "logout", "a")
			if err := evil.Set(`token:set.refresh_token="` + word + `",set.access_token="` + word + `"`); err != nil {
				t.Fatal(err)
			}
		}
		u.must(t, exitSecurity, "login", "--all")
		_, lines, ok := strings.Cut(u.stderr.String(), "warning: b: ")
		if want == "" {
			want = lines
		}
		if !ok || lines != want || !strings.Contains(lines, "http://"+address+": ") {
			t.Errorf("after %q: stderr is\n%s\nwant\n%s", word, u.stderr.String(), want)
		}
	}
}

// In every text of a server that mcpauth prints, a run of blanks, or of characters that look like blanks, becomes one blank.
func TestBlanksAreFolded(t *testing.T) {
	for _, blank := range []string{" ", "\t", "\u2003", "\u00a0", "\u3000", "\u2028", "\u1680", "\u2800", "\u3164", "\u115f", "\u1160", "\uffa0", "\U0001d159", "\U00013441", " \u200b", " \u0301", " \U00016fe4"} {
		forged := "a" + strings.Repeat(blank, 200) + "mcpauth: logged in"
		const folded = "a mcpauth: logged in"
		var errs strings.Builder
		o, out := testOutput(0)
		o.stderr = &errs
		printed := map[string]string{
			"tool": toolText(mcpclient.Tool{Name: forged, Description: forged + "\n" + strings.Repeat(blank, 80) + forged,
				InputSchema: json.RawMessage(`{"type":"object","required":["x"],"properties":{"x":{"type":"string","default":` + jsonText(forged) + `,"description":` + jsonText(forged) + `}}}`)}, "s"),
			"prompt": promptText(mcpclient.Prompt{Name: forged, Description: forged, Arguments: []mcpclient.PromptArgument{{Name: forged, Required: true, Description: forged}}}, "s"),
			"discover": discoveryTree(flow.Discovery{Checks: []discovery.Check{{State: discovery.Passed, Message: forged}},
				Plan: &flow.Plan{Scopes: []string{forged}, Resource: forged}}, false),
		}
		o.writeError("code", forged, "", exitSecurity)
		o.printNote("note: %s", forged)
		loginDialogue{program: &program{out: o}}.printEvent(flow.Event{Kind: flow.EventDevice, Issuer: "https://as.example/" + forged, URL: "https://as.example/?" + forged, Code: "A"})
		printed["stderr"] = errs.String()
		if err := o.statusTable([]flow.Status{{URL: forged, State: "valid", Scopes: []string{forged}, Account: forged}}); err != nil {
			t.Fatal(err)
		}
		_, printed["status"], _ = strings.Cut(out.String(), "\n") // after the header
		for name, text := range printed {
			most := map[string]int{"status": 10}[name] // the columns of a table are aligned with blanks
			if line := blankLine(text, max(most, 2)); line != "" || !strings.Contains(text, folded) {
				t.Errorf("%s: after %q: %.300q\n%.2000s", name, blank, line, text)
			}
		}
	}
	if got, want := foldLines("Lists:\n\n- a\n  - b   c \n\t\t\td\n\n    code"), "Lists:\n\n- a\n  - b c\n        d\n\n    code"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	err := untrustedError(config.Entry{Path: "/repo/" + strings.Repeat(" ", 200) + "mcpauth: logged in/.mcp.json"}, "is not trusted")
	if e, ok := errors.AsType[*configError](err); !ok || !strings.HasSuffix(e.hint, "look at the file, then: mcpauth trust VALUE") {
		t.Error(err)
	}
	o, _ := testOutput(0) // JSON is for programs
	if got := string(o.errorJSON("code", "a    b", "", 1)); !strings.Contains(got, `"message":"a    b"`) {
		t.Error(got)
	}
}

// A name that a stranger chose is shown as it is only if it is plain. Every other name is quoted.
func TestForeignName(t *testing.T) {
	for _, plain := range []string{"work", "search_issues", "a.b-c/d@e:f", "https://mcp.example.com:8443/mcp", "user@host+x", "notes://{id}", "Büro", "検索", "поиск"} {
		if got := foreignName(plain); got != plain {
			t.Errorf("got %s, want %s", got, plain)
		}
	}
	mark := shellQuoting().mark
	for name, want := range map[string]string{
		"":                      "",
		"hint:":                 "hint:",
		attack.Imitation:        attack.Imitation,
		"my server":             "my server",
		"Büro 2":                "Büro 2",
		"a\u200b":               "a",
		"a   b":                 "a b",
		"a;b":                   "a;b",
		"a=b":                   "a=b",
		"@args":                 "@args",
		"notes://{a,b}":         "notes://{a,b}",
		"notes://{1..9}":        "notes://{1..9}",
		"x\nmcpauth: logged in": "x mcpauth: logged in",
		"k\u037e":               "k<U+037E>",
		"hint\uff1a":            "hint<U+FF1A>",
		"\u201cx\u201d":         "<U+201C>x<U+201D>",
	} {
		want = mark + want + mark
		if got := foreignName(name); got != want {
			t.Errorf("%q: got %s, want %s", name, got, want)
		}
	}
	for _, r := range shellQuoting().special {
		want := fmt.Sprintf("%s<U+%04X>%[1]s", mark, r)
		if got := foreignName(string(r)); got != want {
			t.Errorf("%q: got %s, want %s", r, got, want)
		}
	}
}

// A name of a server or of a project does not begin a line, alone or after blanks, if the name could look like a line of mcpauth. An empty name
// does not let the next column begin the line.
func TestNamesDoNotBeginALine(t *testing.T) {
	for _, name := range []string{attack.Imitation, "mcpauth call work search --args @/etc/passwd #", "warning:", ""} {
		o, out := testOutput(0)
		var errs strings.Builder
		o.stderr = &errs
		p := &program{out: o}
		err := errors.Join(
			o.statusTable([]flow.Status{{Name: &name, State: "valid"}}),
			p.printTools(mcpclient.ToolList{Tools: []mcpclient.Tool{{Name: name, Description: attack.Imitation}}}),
			p.printPrompts(nil, mcpclient.PromptList{Prompts: []mcpclient.Prompt{{Name: name, Description: attack.Imitation}}}, "", server{}),
			p.printTasks([]mcpclient.Task{{ID: name, Tool: name}}),
			o.writeText(toolText(mcpclient.Tool{Name: name, InputSchema: json.RawMessage(`{"properties":{` + jsonText(name) + `:{}}}`)}, "s")),
			o.writeText(promptText(mcpclient.Prompt{Name: name, Arguments: []mcpclient.PromptArgument{{Name: name, Description: attack.Imitation}}}, "s")),
			o.writeText(trustText(nil, &config.File{Servers: map[string]config.Entry{name: {Name: name, URL: name}}})),
		)
		if err != nil {
			t.Fatal(err)
		}
		quoted := 0
		for line := range strings.Lines(out.String() + errs.String()) {
			text := strings.TrimLeft(line, " ")
			if strings.HasPrefix(text, shellQuoting().mark+name) {
				quoted++
			}
			if name != "" && strings.HasPrefix(text, name) || strings.HasPrefix(text, "hint:") {
				t.Errorf("%q begins a line: %s", name, line)
			}
		}
		if quoted != 8 {
			t.Errorf("%q is quoted %d times:\n%s", name, quoted, out)
		}
	}
}

// With --verbose, mcpauth shows which fields of a question it answers, and not the values.
func TestAnswersAreNotShown(t *testing.T) {
	o, _ := testOutput(0)
	var errs strings.Builder
	o.stderr, o.verbose = &errs, true
	(&program{out: o}).printQuestion(mcpclient.Elicitation{Server: "https://x", Mode: "form", Message: "Who?"},
		mcpclient.Answer{Action: "accept", Content: json.RawMessage(`{"pin":"canary","a b":{"password":"canary"}}`)})
	if got, want := errs.String(), "https://x asks: Who?\nanswered: "+foreignName("a b")+", pin\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A call prints its first questions and the number of the others. A long schema is printed only with --verbose.
func TestQuestionsAreFew(t *testing.T) {
	long := json.RawMessage(`{"type":"object","description":"` + strings.Repeat("a", maxSchema) + `"}`)
	for _, verbose := range []bool{false, true} {
		o, _ := testOutput(0)
		var errs strings.Builder
		o.stderr, o.verbose = &errs, verbose
		for range 1000 {
			(&program{out: o}).printQuestion(mcpclient.Elicitation{Server: "https://x", Mode: "form", Message: "Who?", Schema: long}, mcpclient.Answer{Action: "decline", Reason: "r"})
		}
		o.printLeftOut()
		got := errs.String()
		if n := strings.Count(got, " asks: "); n != noteLimits["questions"] || !strings.HasSuffix(got, "\n… and 980 more questions\n") {
			t.Errorf("%d questions: %.300s", n, got)
		}
		if strings.Contains(got, "aaa") != verbose || strings.Contains(got, "--verbose shows the schema") == verbose {
			t.Errorf("verbose %v: %.300s", verbose, got)
		}
	}
}

func jsonText(s string) string {
	data, _ := json.Marshal(s)
	return string(data)
}
