package config

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func env(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func TestFind(t *testing.T) {
	root := t.TempDir()
	deep := filepath.Join(root, "a", "b")
	home := filepath.Join(root, "home")
	for _, dir := range []string{deep, filepath.Join(home, ".config", "mcpauth"), filepath.Join(root, "xdg", "mcpauth"), filepath.Join(deep, ".mcp.json")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(path string) string {
		if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	expect := func(step, flag string, want Places, vars map[string]string) {
		t.Helper()
		if got, err := Find(flag, deep, home, env(vars)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v; want %+v", step, got, err, want)
		}
	}
	expect("nothing there; a folder of the name is no file", "", Places{}, nil)
	own := write(filepath.Join(home, ".config", "mcpauth", "config.json"))
	expect("the user's file", "", Places{Own: own}, nil)
	xdg := write(filepath.Join(root, "xdg", "mcpauth", "config.json"))
	expect("XDG_CONFIG_HOME", "", Places{Own: xdg}, map[string]string{"XDG_CONFIG_HOME": filepath.Join(root, "xdg")})
	expect("a relative XDG_CONFIG_HOME is ignored", "", Places{Own: own}, map[string]string{"XDG_CONFIG_HOME": "xdg"})
	expect("upward", "", Places{Own: own, Project: write(filepath.Join(root, ".mcp.json"))}, nil)
	expect("the nearest", "", Places{Own: own, Project: write(filepath.Join(root, "a", ".mcp.json"))}, nil)
	expect("MCPAUTH_CONFIG before all found", "", Places{Named: xdg}, map[string]string{"MCPAUTH_CONFIG": xdg})
	expect("the flag before all", "x.json", Places{Named: "x.json"}, map[string]string{"MCPAUTH_CONFIG": xdg})
	var e *Error
	if _, err := Find("", deep, home, env(map[string]string{"MCPAUTH_CONFIG": filepath.Join(root, "none")})); !errors.As(err, &e) {
		t.Errorf("a missing MCPAUTH_CONFIG: %v", err)
	}
}

func TestOwnFolders(t *testing.T) {
	home, roaming := t.TempDir(), t.TempDir()
	vars := env(map[string]string{"APPDATA": roaming})
	if got := ownFolders("windows", home, vars); !slices.Equal(got, []string{roaming, filepath.Join(home, ".config")}) {
		t.Errorf("Windows: %q", got)
	}
	if got := ownFolders("linux", home, vars); !slices.Equal(got, []string{filepath.Join(home, ".config")}) {
		t.Errorf("Linux: %q", got)
	}
	if got := ownFolders("windows", ".", env(map[string]string{"APPDATA": ".", "XDG_CONFIG_HOME": "."})); len(got) != 0 {
		t.Errorf("relative paths: %q", got)
	}
}

// A project's file never replaces an entry of the user's own file.
func TestProjectNeverOverrides(t *testing.T) {
	dir := t.TempDir()
	write := func(name, servers string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(`{"mcpServers":{`+servers+`}}`), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	own := write("own.json", `"same":{"url":"https://a","headers":{"K":"own"}},"other":{"url":"https://b"},"local":{"command":"x"},"off":{"command":"x","disabled":true},"nourl":{"uri":"https://f"}`)
	project := write("project.json", `"same":{"url":"https://a","headers":{"K":"project"}},"other":{"url":"https://evil"},"local":{"url":"https://d"},"off":{"url":"https://c"},"nourl":{"url":"https://f"},"new":{"url":"https://e"}`)
	f, err := Load(t.Context(), Places{Own: own, Project: project})
	if err != nil {
		t.Fatal(err)
	}
	if e, err := f.Entry("same", env(nil)); err != nil || e.Headers["K"] != "own" || e.Found {
		t.Errorf("same address: %+v, %v", e, err)
	}
	_, err = f.Entry("other", env(nil))
	if err == nil || !strings.Contains(err.Error(), "https://b here, but https://evil in "+project) {
		t.Errorf("another address: %v", err)
	}
	if _, err := f.Entry("off", env(nil)); err == nil || !strings.Contains(err.Error(), "disabled") {
		t.Errorf("disabled by the user: %v", err)
	}
	if _, err := f.Entry("nourl", env(nil)); err == nil || !strings.Contains(err.Error(), "no url") {
		t.Errorf("without a url: %v", err)
	}
	for _, name := range []string{"local", "new"} {
		if e, err := f.Entry(name, env(nil)); err != nil || !e.Found || e.Path != project || len(e.Sum) != 64 {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
	if f.Path != own+" and "+project {
		t.Errorf("path %q", f.Path)
	}
}

func TestUses(t *testing.T) {
	f, err := parse("/p/.mcp.json", []byte(`{"mcpServers":{
		"plain":{"url":"https://x","headers":{"A":"b"}},
		"address":{"url":"https://${HOST:-x}"},
		"header":{"url":"https://x","headers":{"A":"${B}${env:A}"}},
		"long":{"url":"https://x","headers":{"A":"`+strings.Repeat("${NONE:-}", maxValue+1)+`${B}"}},
		"auth":{"url":"https://x","auth":{"clientId":"i","clientKey":"../k.pem","assertionFile":"a","callbackPort":1,"issuer":"${I}"}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]Uses{
		"plain":   {Variables: []string{}, Files: []string{}, Auth: []string{}, Headers: []string{"A"}},
		"address": {Variables: []string{"HOST"}, Files: []string{}, Auth: []string{}, Headers: []string{}},
		"header":  {Variables: []string{"A", "B"}, Files: []string{}, Auth: []string{}, Headers: []string{"A"}},
		"long":    {Variables: []string{"B", "NONE"}, Files: []string{}, Auth: []string{}, Headers: []string{"A"}},
		"auth":    {Variables: []string{"I"}, Files: []string{"../k.pem", "a"}, Auth: []string{"assertionFile", "callbackPort", "clientId", "clientKey", "issuer"}, Issuer: "${I}", Headers: []string{}},
	} {
		e := f.Servers[name]
		e.Path = "/p/.mcp.json"
		if got := e.Uses(); !reflect.DeepEqual(got, want) || got.Nothing() != (name == "plain") {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// Local programs do not count as servers of a project's file. If the file cannot be read, the user's own entries are returned with the error.
func TestProjectLimit(t *testing.T) {
	dir := t.TempDir()
	own, project := filepath.Join(dir, "own.json"), filepath.Join(dir, "project.json")
	write := func(path, entry string, n int) {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"s%d":%s,`, i, entry)
		}
		if err := os.WriteFile(path, []byte(`{"mcpServers":{`+b.String()+`"last":{"url":"https://x"}}}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(own, `{"url":"https://x"}`, 1)
	write(project, `{"command":"x"}`, 120)
	if f, err := Load(t.Context(), Places{Own: own, Project: project}); err != nil || len(f.Servers) != 121 {
		t.Errorf("with local programs: %v", err)
	}
	write(project, `{"url":"https://x"}`, 100)
	f, err := Load(t.Context(), Places{Own: own, Project: project})
	var e *Error
	if !errors.As(err, &e) || !strings.HasSuffix(err.Error(), ": 101 servers, but a project's file can have at most 100") || !slices.Equal(f.Names(), []string{"last", "s0"}) || f.Path != own {
		t.Errorf("with servers: %+v, %v", f, err)
	}
}

// Parsing takes linear time for 20,000 servers on one line and for 20,000 servers on separate lines.
func TestManyServers(t *testing.T) {
	for _, between := range []string{",", ",\n"} {
		var b strings.Builder
		b.WriteString(`{"mcpServers":{"last":{"url":"https://x"}`)
		for i := range 20_000 {
			fmt.Fprintf(&b, `%s"s%d":{"url":"https://x","headers":{"A":"${NONE}"}}`, between, i)
		}
		b.WriteString("}}")
		f, err := parse("f", []byte(b.String()))
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Entry("s19999", env(nil))
		var e *Error
		if !errors.As(err, &e) {
			t.Fatal(err)
		}
		before := b.String()[:strings.Index(b.String(), `"s19999"`)]
		if line, column := strings.Count(before, "\n")+1, len(before)-strings.LastIndex(before, "\n"); e.Line != line || e.Column != column {
			t.Errorf("got %d:%d, want %d:%d", e.Line, e.Column, line, column)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		text := []byte(`{"mcpServers":{"s":{"url":"https://x"}`)
		for i := range n {
			text = fmt.Appendf(text, `,"s%d":{"url":"https://x"}`, i)
		}
		text = append(text, "}}"...)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := parse("f", text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestDisabled(t *testing.T) {
	for block, want := range map[string]string{
		`"disabled":true`: "it is disabled", `"enabled":false`: "it is disabled", `"disabled":false,"enabled":true`: "", `"disabled":"yes"`: "disabled is not true or false",
	} {
		f, err := parse("f", []byte(`{"mcpServers":{"x":{"url":"https://x",`+block+`}}}`))
		if err == nil {
			_, err = f.Entry("x", env(nil))
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", block, err, want)
		}
	}
}

// If the file is a pipe without a writer, Load returns when ctx ends.
func TestLoadEnds(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer r.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Load(ctx, Places{Named: fmt.Sprintf("/dev/fd/%d", r.Fd())}); !errors.Is(err, context.Canceled) && runtime.GOOS != "windows" {
		t.Errorf("got %v", err)
	}
}

func TestFilesOfOtherClients(t *testing.T) {
	for name, text := range map[string]string{
		"Claude Code":           `{"mcpServers":{"x":{"type":"http","url":"https://x/mcp","headers":{"A":"b"}}}}`,
		"Cursor, with comments": "{ // mine\n\"mcpServers\": {\"x\": {\"url\": \"https://x/mcp\",}, /* more */},}",
		"VS Code":               `{"inputs":[{"id":"k"}],"servers":{"x":{"type":"http","url":"https://x/mcp"},"y":{"command":"npx"}}}`,
		"Gemini CLI":            `{"mcpServers":{"x":{"httpUrl":"https://x/mcp"}}}`,
		"Windsurf":              `{"mcpServers":{"x":{"serverUrl":"https://x/mcp"}}}`,
		"byte order mark":       "\ufeff" + `{"mcpServers":{"x":{"url":"https://x/mcp"}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			f, err := parse("f", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			e, err := f.Entry("x", env(nil))
			if err != nil || e.URL != "https://x/mcp" || !slices.Equal(f.Names(), []string{"x"}) {
				t.Errorf("got %+v, %v, names %q", e, err, f.Names())
			}
		})
	}
}

func TestLocalProgramsAreSkipped(t *testing.T) {
	f, err := parse("f", []byte(`{"mcpServers":{"x":{"command":"rm","args":["-rf"],"url":"https://x"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	var e *Error
	if _, err := f.Entry("x", env(nil)); !errors.As(err, &e) || !strings.Contains(err.Error(), "local program") {
		t.Errorf("got %v", err)
	}
}

// Entries whose name would be a flag, a URL or nothing on a command line are skipped. A hint with such a name could be dangerous: "mcpauth
// logout --all" logs out of all servers.
func TestNamesThatAreNoNames(t *testing.T) {
	for _, name := range []string{"--all", "-q", "", "https://mcp.example/mcp", "z\x00pending:x", "z\u200b", "z\u3164", "z\ufe0f", "z\u034f", "z\U000e0100", "z\u17b5", "z ", " z", "y  z", "z\U00013441", "z\u00a0", "\u202ez"} {
		text, err1 := json.Marshal(map[string]any{"mcpServers": map[string]any{name: map[string]string{"url": "https://x"}}})
		f, err2 := parse("f", text)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		if len(f.Names()) != 0 || !strings.Contains(f.Servers[name].Skipped, "its name") {
			t.Errorf("%q is used", name)
		}
	}
}

// Commands list the names and URLs of all entries. If a script passes them on without quotes, those of a project's file must not contain flags,
// files or wildcards. Those of the user's own file may.
func TestEntriesThatHideArguments(t *testing.T) {
	const good = "https://x/mcp"
	for _, tt := range []struct {
		name, url string
		used      bool
	}{
		{"a --config=evil.json", good, false}, {"a ?-config=evil.json", good, false}, {"a @(-)-config=evil.json", good, false}, {"a x=@.env", good, false},
		{`a "-q`, good, false}, {"*", good, false}, {"[a-]-q", good, false}, {"x", good + " --header=X-Key:@id_rsa", false}, {"x", "--all", false},
		{"x", good + "\u200b", false}, {"x", "*", false}, {"x", good + "?user=@me", true}, {"x", "${BASE}/mcp", true}, {"Linear (work)", good, true}, {"@scope/x", good, true},
	} {
		path := filepath.Join(t.TempDir(), ".mcp.json")
		text, err := json.Marshal(map[string]any{"mcpServers": map[string]any{tt.name: map[string]string{"url": tt.url}}})
		if err := errors.Join(err, os.WriteFile(path, text, 0o600)); err != nil {
			t.Fatal(err)
		}
		for _, p := range []Places{{Project: path}, {Own: path}} {
			f, err := Load(t.Context(), p)
			if err != nil || (len(f.Names()) == 1) != (tt.used || p.Own != "") {
				t.Errorf("%+v in %+v: %+v, %v", tt, p, f, err)
			}
		}
	}
}

func TestAuthBlock(t *testing.T) {
	f, err := parse("f", []byte(`{"mcpServers":{"x":{"url":"https://x","auth":{"clientId":"i","clientSecret":"${S}","scope":"a b","callbackPort":8080,
		"clientMetadataUrl":"u","issuer":"iss","grant":"g","clientKey":"k","assertionFile":"f","callbackHost":"localhost","dpop":"never"}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Entry("x", env(nil)); err != nil {
		t.Errorf("a variable of auth is needed by a call: %v", err)
	}
	e, err := f.Entry("x", env(nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.ExpandAuth(env(nil)); err == nil || !strings.Contains(err.Error(), "S is not set") {
		t.Errorf("got %v", err)
	}
	a, err := e.ExpandAuth(env(map[string]string{"S": "secret"}))
	if err != nil {
		t.Fatal(err)
	}
	want := Auth{ClientID: "i", ClientSecret: "secret", Scope: "a b", ClientMetadataURL: "u", Issuer: "iss", Grant: "g", ClientKey: "k",
		AssertionFile: "f", CallbackHost: "localhost", DPoP: "never", CallbackPort: 8080, Secrets: []string{"secret"}}
	if !reflect.DeepEqual(*a, want) {
		t.Error("the block reads otherwise")
	}
	if f.Servers["x"].Auth.ClientSecret != "${S}" {
		t.Error("expanding one entry changed the file")
	}
}

// A login spends time on each variable in a client secret, so that a variable counts once, and their number is limited.
func TestPartsOfAClientSecret(t *testing.T) {
	var different strings.Builder
	for i := range maxParts + 1 {
		fmt.Fprintf(&different, "${V%d:-x}", i)
	}
	for secret, want := range map[string]int{strings.Repeat("${S}", 5000): 1, different.String(): -1} {
		a, err := Entry{doc: &document{}, Auth: &Auth{ClientID: "c", ClientSecret: secret}}.ExpandAuth(env(map[string]string{"S": "secret"}))
		if (err != nil) != (want < 0) || err == nil && len(a.Secrets) != want {
			t.Errorf("%.20s: %v", secret, err)
		}
	}
}

// manyHeaders returns n members of headers.
func manyHeaders(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"X-%d":"v",`, i)
	}
	return strings.TrimSuffix(b.String(), ",")
}

// Every error contains file, line and column.
func TestFaults(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"broken JSON", "{\n \"mcpServers\": {,}\n}", "f:2:"},
		{"not an object", "[]", "f:1:1: not a JSON object"},
		{"servers of a wrong type", "{\"mcpServers\":\n []}", "f:2:2: mcpServers is not an object"},
		{"entry of a wrong type", `{"mcpServers":{"x":1}}`, `f:1:20: the server "x" is not an object`},
		{"url of a wrong type", `{"mcpServers":{"x":{"url":1}}}`, "f:1:27: url is not a string"},
		{"header of a wrong type", `{"mcpServers":{"x":{"url":"u","headers":{"A":1}}}}`, "headers.A is not a string"},
		{"name twice", `{"mcpServers":{"x":{},"x":{}}}`, `the server "x" appears twice`},
		{"member twice", `{"mcpServers":{"x":{"url":"a","url":"b"}}}`, `"url" appears twice`},
		{"secret without an id", `{"mcpServers":{"x":{"url":"u","auth":{"clientSecret":"canary"}}}}`, "f:1:54: auth.clientSecret needs auth.clientId"},
		{"misspelt member", `{"mcpServers":{"x":{"url":"u","auth":{"clientID":"c"}}}}`, `auth has no member "clientID"; it has clientId`},
		{"servers in other letters", `{"mcpservers":{}}`, `f:1:2: "mcpservers" is spelt "mcpServers"`},
		{"auth in other letters", `{"mcpServers":{"x":{"url":"u","Auth":{}}}}`, `"Auth" is spelt "auth"`},
		{"member of oauth in other letters", `{"mcpServers":{"x":{"url":"u","oauth":{"clientid":"c"}}}}`, `"clientid" is spelt "clientId"`},
		{"setting outside auth", `{"mcpServers":{"x":{"url":"u","clientSecret":"canary"}}}`, "clientSecret is a member of auth, not of the entry"},
		{"too many headers", `{"mcpServers":{"x":{"url":"u","headers":{` + manyHeaders(101) + `}}}}`, "headers has 101 members; an entry can have at most 100 headers"},
		{"port out of range", `{"mcpServers":{"x":{"url":"u","auth":{"callbackPort":70000}}}}`, "auth.callbackPort is not a port number"},
		{"port as text", `{"mcpServers":{"x":{"url":"u","auth":{"callbackPort":"1"}}}}`, "auth.callbackPort is not a port number"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse("f", []byte(tt.text))
			var e *Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// A syntax error says where and what is wrong. It quotes nothing, because the file may be a key that was named by mistake, or the target of a
// symbolic link.
func TestSyntaxErrors(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"", "f:1:1: unexpected end of the file"},
		{`{"a":1`, "f:1:7: unexpected end of the file"},
		{`{"a":"canary`, "f:1:13: unexpected end of the file"},
		{"{\n\"a\" 1}", `f:2:5: expected ":" after a name`},
		{`{"a":1 "b":2}`, `f:1:8: expected "," or "}"`},
		{"[1 2]", `f:1:4: expected "," or "]"`},
		{"{1:2}", "f:1:2: expected a name in quotes"},
		{`{"a":,}`, "f:1:6: expected a value"},
		{`{"a":1} canary`, "f:1:9: unexpected text after the JSON value"},
		{"// canary\u2028\n{}", "f:1:10: a comment contains an invalid character"},
		{"// \xff\n{}", "f:1:1: a comment contains an invalid character"},
		{"canary0canary1.canary2.canary3", "f:1:1: " + badLiteral},
		{"{\"a\":canary}", "f:1:6: " + badLiteral},
		{`{"a":"\canary"}`, "f:1:6: " + badLiteral},
		{"AGE-SECRET-KEY-1CANARY", "f:1:1: " + badLiteral},
		{"-----BEGIN PRIVATE KEY-----\ncanary", "f:1:1: " + badLiteral},
		{"CANARY_KEY=canary", "f:1:1: " + badLiteral},
		{"\xffcanary", "f:1:1: expected a value"},
	} {
		if _, err := parse("f", []byte(tt.text)); err == nil || err.Error() != tt.want {
			t.Errorf("%q: %v, want %s", tt.text, err, tt.want)
		}
	}
}

func TestExpand(t *testing.T) {
	vars := env(map[string]string{"A": "1", "B_2": "x${A}", "EMPTY": "", "LONG": strings.Repeat("x", 10_000)})
	for _, tt := range []struct{ in, want, fault string }{
		{in: "plain $A {A}", want: "plain $A {A}"},
		{in: "${A}-${B_2}", want: "1-x${A}"}, // the value of a variable is not expanded
		{in: "${env:A}", want: "1"},
		{in: "${NONE:-a:-b}", want: "a:-b"},
		{in: "${EMPTY:-d}", want: "d"},
		{in: "${NONE}", fault: "NONE is not set"},
		{in: "${A", fault: "without }"},
		{in: strings.Repeat("${LONG}", 10), fault: "larger than"},
		{in: "${input:key}", fault: "an input that VS Code asks for"},
		{in: "${}", fault: "not a variable"},
		{in: "${A B}", fault: "not a variable"},
		{in: "${A-B:-canary}", fault: "not a variable"},
		{in: "${input:canary}", fault: "an input that VS Code asks for"},
	} {
		got, err := expand(tt.in, vars)
		if got != tt.want || (err == nil) != (tt.fault == "") || err != nil && (!strings.Contains(err.Error(), tt.fault) || strings.Contains(err.Error(), "canary")) {
			t.Errorf("expand(%q) = %q, %v", tt.in, got, err)
		}
	}
}

// An unset variable is an error only for the entry that uses it.
func TestUnsetVariables(t *testing.T) {
	f, err := parse("f", []byte("{\"mcpServers\":{\n\"x\":{\"url\":\"https://x\",\"headers\":{\"K\":\"${NONE}\"}},\n\"y\":{\"url\":\"https://y\"}}}"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Entry("y", env(nil)); err != nil {
		t.Error(err)
	}
	if _, err := f.Entry("x", env(nil)); err == nil || err.Error() != `f:2:1: server "x": the variable NONE is not set` {
		t.Errorf("got %v", err)
	}
	if _, err := f.Entry("z", env(nil)); !errors.Is(err, ErrUnknown) {
		t.Errorf("got %v, want ErrUnknown", err)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, []byte(strings.Repeat(" ", maxSize+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	history := filepath.Join(dir, ".claude.json") // a configuration file of Claude Code, which contains other data as well
	if err := os.WriteFile(history, []byte(`{"projects":{"/p":{"history":["`+strings.Repeat("x", 8<<20)+`"]}},"mcpServers":{"x":{"url":"https://x"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if file, err := Load(t.Context(), Places{Named: history}); err != nil || file.Servers["x"].URL != "https://x" {
		t.Errorf("8 MiB: %v", err)
	}
	for _, path := range []string{big, dir, filepath.Join(dir, "none")} {
		var e *Error
		if _, err := Load(t.Context(), Places{Named: path}); !errors.As(err, &e) || e.Path != path {
			t.Errorf("%s: got %v", path, err)
		}
	}
}

// Entry accepts every name in Names, and every error is an *Error.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"mcpServers":{"x":{"url":"https://${H:-x}","auth":{"clientId":"c"}}}}`))
	f.Add([]byte("{// c\n\"servers\":{\"y\":{\"command\":\"z\"}}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := parse("f", data)
		var e *Error
		if err != nil {
			if !errors.As(err, &e) {
				t.Fatalf("error of another type: %v", err)
			}
			return
		}
		for _, name := range file.Names() {
			entry, err := file.Entry(name, env(nil))
			if err == nil {
				_, err = entry.ExpandAuth(env(nil))
			}
			if err != nil && (!errors.As(err, &e) || len(err.Error()) > 400) {
				t.Errorf("%q: %v", name, err)
			}
			for _, value := range []string{"", "x"} {
				listed := func(variable string) string {
					if !slices.Contains(file.Servers[name].Uses().Variables, variable) {
						t.Errorf("%q uses the variable %s, which is not listed", name, variable)
					}
					return value
				}
				if entry, err := file.Entry(name, listed); err == nil {
					_, _ = entry.ExpandAuth(listed)
				}
			}
		}
	})
}

// Deep nesting is an error, because the parser is recursive and a stack overflow would end the program.
func TestDeepFiles(t *testing.T) {
	deep := strings.Repeat("[", 1<<20-1)
	for name, tt := range map[string]struct {
		text string
		ok   bool
	}{
		"brackets":           {deep, false},
		"members":            {strings.Repeat(`{"a":`, 100_000), false},
		"hidden by strings":  {strings.Repeat(`["]",`, 100_000), false},
		"hidden by comments": {strings.Repeat("[/*]*/", 100_000), false},
		"lines of comment":   {strings.Repeat("[//]\n", 100_000), false},
		"an escaped quote":   {strings.Repeat(`["\"]",`, 100_000), false},
		"in a string":        {`{"mcpServers":{},"x":"` + deep[:1000] + `"}`, true},
		"in a comment":       {"{\"mcpServers\":{} /*" + deep[:1000] + "*/}", true},
	} {
		if _, err := parse("f", []byte(tt.text)); (err == nil) != tt.ok || err != nil && len(err.Error()) > 200 {
			t.Errorf("%s: %.300v", name, err)
		}
	}
}
