package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func env(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func TestFindNearest(t *testing.T) {
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
	expect := func(step, want string, vars map[string]string) {
		t.Helper()
		if got, err := Find(deep, home, env(vars)); err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", step, got, err, want)
		}
	}
	expect("nothing there; a folder of the name is no file", "", nil)
	expect("the user's file", write(filepath.Join(home, ".config", "mcpauth", "config.json")), nil)
	xdg := write(filepath.Join(root, "xdg", "mcpauth", "config.json"))
	expect("XDG_CONFIG_HOME", xdg, map[string]string{"XDG_CONFIG_HOME": filepath.Join(root, "xdg")})
	expect("a relative XDG_CONFIG_HOME is ignored", filepath.Join(home, ".config", "mcpauth", "config.json"), map[string]string{"XDG_CONFIG_HOME": "xdg"})
	expect("upward", write(filepath.Join(root, ".mcp.json")), nil)
	expect("the nearest", write(filepath.Join(root, "a", ".mcp.json")), nil)
	expect("MCPAUTH_CONFIG before all", xdg, map[string]string{"MCPAUTH_CONFIG": xdg})
	var e *Error
	if _, err := Find(deep, home, env(map[string]string{"MCPAUTH_CONFIG": filepath.Join(root, "none")})); !errors.As(err, &e) {
		t.Errorf("a missing MCPAUTH_CONFIG: %v", err)
	}
}

func TestFilesOfOtherClients(t *testing.T) {
	for name, text := range map[string]string{
		"Claude Code":           `{"mcpServers":{"x":{"type":"http","url":"https://x/mcp","headers":{"A":"b"}}}}`,
		"Cursor, with comments": "{ // mine\n\"mcpServers\": {\"x\": {\"url\": \"https://x/mcp\",}, /* more */},}",
		"VS Code":               `{"inputs":[{"id":"k"}],"servers":{"x":{"type":"http","url":"https://x/mcp"},"y":{"command":"npx"}}}`,
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

func TestAuthBlock(t *testing.T) {
	f, err := parse("f", []byte(`{"mcpServers":{"x":{"url":"https://x","auth":{"clientId":"i","clientSecret":"${S}","scope":"a b","callbackPort":8080,
		"clientMetadataUrl":"u","issuer":"iss","grant":"g","clientKey":"k","assertionFile":"f","callbackHost":"localhost","dpop":"never"}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	e, err := f.Entry("x", env(map[string]string{"S": "secret"}))
	if err != nil {
		t.Fatal(err)
	}
	want := Auth{ClientID: "i", ClientSecret: "secret", Scope: "a b", ClientMetadataURL: "u", Issuer: "iss", Grant: "g", ClientKey: "k",
		AssertionFile: "f", CallbackHost: "localhost", DPoP: "never", CallbackPort: 8080}
	if *e.Auth != want {
		t.Error("the block reads otherwise")
	}
	if f.Servers["x"].Auth.ClientSecret != "${S}" {
		t.Error("expanding one entry changed the file")
	}
}

// Every fault names file, line and column.
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

func TestExpand(t *testing.T) {
	vars := env(map[string]string{"A": "1", "B_2": "x${A}", "EMPTY": ""})
	for _, tt := range []struct{ in, want, fault string }{
		{in: "plain $A {A}", want: "plain $A {A}"},
		{in: "${A}-${B_2}", want: "1-x${A}"}, // values are not expanded again
		{in: "${env:A}", want: "1"},
		{in: "${NONE:-a:-b}", want: "a:-b"},
		{in: "${EMPTY:-d}", want: "d"},
		{in: "${NONE}", fault: "NONE is not set"},
		{in: "${A", fault: "without its }"},
		{in: "${input:key}", fault: "a question that VS Code asks"},
		{in: "${}", fault: "no variable"},
		{in: "${A B}", fault: "no variable"},
	} {
		got, err := expand(tt.in, vars)
		if got != tt.want || (err == nil) != (tt.fault == "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
			t.Errorf("expand(%q) = %q, %v", tt.in, got, err)
		}
	}
}

// An unset variable matters to the entry that names it, and to no other.
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
	history := filepath.Join(dir, ".claude.json") // the file in which Claude Code also keeps all else
	if err := os.WriteFile(history, []byte(`{"projects":{"/p":{"history":["`+strings.Repeat("x", 8<<20)+`"]}},"mcpServers":{"x":{"url":"https://x"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if file, err := Load(history); err != nil || file.Servers["x"].URL != "https://x" {
		t.Errorf("8 MiB: %v", err)
	}
	for _, path := range []string{big, dir, filepath.Join(dir, "none")} {
		var e *Error
		if _, err := Load(path); !errors.As(err, &e) || e.Path != path {
			t.Errorf("%s: got %v", path, err)
		}
	}
}

// Every name that is read can be asked for, and every fault is an *Error.
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
			if _, err := file.Entry(name, env(nil)); err != nil && !errors.As(err, &e) {
				t.Errorf("%q: %v", name, err)
			}
		}
	})
}

// The parser recurses: a file of brackets alone would end the program with a stack of a gigabyte.
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
