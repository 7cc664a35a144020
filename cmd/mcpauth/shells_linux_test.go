//go:build shells

// Completion in real shells on a terminal. The tests type a line with the Tab key, press Enter, and check the arguments of mcpauth.

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Names that a server may choose for tools, prompts and resources. Their first letters differ.
var oddNames = []string{"a b", `b'"c`, "c$(touch pwned)", "d`touch pwned`", "e:f:g", "f; touch pwned", `g\h\`, "h!1!!", "~i*?[x]{y,z}", "#j", "k\ntouch pwned",
	"l=m:n", "m\tn", "né", "p&q|r<s>t", "=ls", "$HOME", "%u", "^v", "-w", "\x1b[31mx", "y\u202ez"}

// notOffered are names that a terminal could show as another word, or that mcpauth would read as a flag.
var notOffered = []string{"k\ntouch pwned", "m\tn", "\x1b[31mx", "y\u202ez", "-w"}

// oddServer returns a server with tools, prompts and resources that have odd names, and with ordinary prompts and resources.
func oddServer(t *testing.T) string {
	t.Helper()
	var tools, prompts, arguments, resources []string
	for _, name := range oddNames {
		quoted, err := json.Marshal(name)
		if err != nil {
			t.Fatal(err)
		}
		tools = append(tools, fmt.Sprintf(`{"name":%s,"description":%[1]s,"inputSchema":{"type":"object","properties":{%[1]s:{"type":"string"},"0":{"type":"array"}}}}`, quoted))
		prompts = append(prompts, fmt.Sprintf(`{"name":%s,"description":%[1]s,"arguments":[ARGUMENTS]}`, quoted))
		arguments = append(arguments, fmt.Sprintf(`{"name":%s,"description":%[1]s}`, quoted))
		resources = append(resources, fmt.Sprintf(`{"uri":%s,"name":%[1]s}`, quoted))
	}
	lists := map[string]string{"tools/list": `"tools":[` + strings.Join(tools, ",") + `]`, "prompts/list": `"prompts":[` + strings.ReplaceAll(strings.Join(prompts, ","), "ARGUMENTS", strings.Join(arguments, ",")) + `]`,
		"resources/list":           `"resources":[{"uri":"xy://one","name":"one"},` + strings.Join(resources, ",") + `]`,
		"resources/templates/list": `"resourceTemplates":[{"uriTemplate":"xy://two/{name}","name":"two"}]`}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, id, _ := strings.Cut(string(body), `"id":`)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","ttlMs":600000,%s}}`, id[:strings.IndexAny(id, ",}")], lists[r.Header.Get("Mcp-Method")])
	}))
	t.Cleanup(s.Close)
	return s.URL + "/mcp"
}

const bashRC = "PS1= PS2=; bind 'set bell-style none'\n" + `eval "$(mcpauth completion bash)"` + "\n"

// shellStarts starts each shell as the installation instructions in its completion script describe.
var shellStarts = map[string]struct {
	args  []string
	files map[string]string // below the home folder
}{
	"bash": {[]string{"--rcfile", ".rc", "-i"}, map[string]string{".rc": bashRC}},
	// disables builtins that bash 3.2 of macOS does not have; TestBashScript checks the script for other features of later versions
	"bash without builtins of 4": {[]string{"--rcfile", ".rc", "-i"}, map[string]string{".rc": bashRC + "enable -n compopt mapfile readarray\n"}},
	"zsh": {[]string{"-i"}, map[string]string{".zshrc": "PS1= PS2= RPS1=; unsetopt beep; setopt extendedglob; fpath=(~/.zfunc $fpath)\n" +
		"[ -e ~/.zfunc ] || { mkdir ~/.zfunc; mcpauth completion zsh >~/.zfunc/_mcpauth; }\nautoload -Uz compinit && compinit -u\n"}},
	// without this folder, fish would generate completions into it in the background
	"fish": {[]string{"-i", "-C", "function fish_prompt; end; function fish_greeting; end"}, map[string]string{".local/share/fish/generated_completions/none": "",
		".config/fish/config.fish": "mkdir -p ~/.config/fish/completions; mcpauth completion fish >~/.config/fish/completions/mcpauth.fish\n"}},
}

// stub replaces mcpauth on the PATH of the shells. It completes like mcpauth. For any other command it records the arguments.
const stub = `#!/bin/sh
case $1 in __complete*|completion) exec "$MCPAUTH" "$@" ;; esac
printf '%s\0' "$#" "$@" >"$TYPED"
`

// terminalShell is a shell on a terminal.
type terminalShell struct {
	terminal *os.File
	typed    *os.File
	words    *bufio.Reader
	screen   string // a file with the output of the terminal
}

func startShell(t *testing.T, m *machine, program, name string) *terminalShell {
	t.Helper()
	mcpauth, err := built()
	if err != nil {
		t.Fatal(err)
	}
	bin, fifo := filepath.Join(m.home, "bin"), filepath.Join(m.home, "typed")
	files := map[string]string{"bin/mcpauth": stub}
	for name, text := range shellStarts[name].files {
		files[name] = text
	}
	for name, text := range files {
		path := filepath.Join(m.home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	s := &terminalShell{screen: filepath.Join(m.home, "screen")}
	screen, err := os.Create(s.screen)
	if err != nil {
		t.Fatal(err)
	}
	if s.typed, err = os.OpenFile(fifo, os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	s.words = bufio.NewReader(s.typed)
	outer, inner := terminalPair(t)
	s.terminal = outer
	cmd := exec.Command(program, shellStarts[name].args...)
	cmd.Env = append(slices.Clone(m.env), "TERM=xterm", "LC_ALL=C.UTF-8", "MCPAUTH="+mcpauth, "TYPED="+fifo, "HISTFILE=", "PATH="+bin+":"+os.Getenv("PATH"))
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = m.home, inner, inner, inner
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	inner.Close()
	go io.Copy(screen, outer)
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait(); s.typed.Close(); screen.Close() })
	return s
}

// enter types a line, in which \t is the Tab key, and returns the arguments of mcpauth.
func (s *terminalShell) enter(t *testing.T, line string) []string {
	t.Helper()
	if _, err := io.WriteString(s.terminal, line+"\r"); err != nil {
		t.Fatal(err)
	}
	if err := s.typed.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	next := func() string {
		word, err := s.words.ReadString(0)
		if err != nil {
			screen, _ := os.ReadFile(s.screen)
			t.Fatalf("%q came to nothing: %v; the terminal:\n%q", line, err, screen[max(0, len(screen)-2000):])
		}
		return strings.TrimSuffix(word, "\x00")
	}
	n, err := strconv.Atoi(next())
	if err != nil {
		t.Fatal(err)
	}
	words := make([]string, n)
	for i := range words {
		words[i] = next()
	}
	return words
}

// Each shell reads a word that mcpauth has quoted for pasting as one word, and runs nothing.
func TestShellsPaste(t *testing.T) {
	words := append(slices.Clone(oddNames), `\'; touch pwned; #`, `a\\'; touch pwned; #`, `'\''; touch pwned; #`, `"\"; touch pwned; #`, `(touch pwned)`, "%self", "", `\`, `\n`, "a'b", `CORP\alice`, `C:\Users\x y`, `\d+`, `\\host\share`, `a\\\`)
	line := "printf '%s\\0'"
	for _, word := range words {
		line += " " + posixQuoting.word(word)
	}
	t.Setenv("PSModulePath", "")
	for _, word := range words[:len(words):len(words)] {
		if name := foreignName(word); foldLine(word) == word && !strings.Contains(name, "<U+") {
			words, line = append(words, word), line+" "+name
		}
	}
	for _, word := range []string{`a\'b; touch pwned; #`, `\\'\; touch pwned; #`} { // names that are cut
		for cells := 2; cells < len(foreignName(word)); cells++ {
			line += "; printf '%s' " + cutName(foreignName(word), cells) + " " + cutName(foreignName("; touch pwned; "), cells) + " >/dev/null"
		}
	}
	for _, shell := range []string{"sh", "bash", "zsh", "fish"} {
		cmd := exec.Command(shell, "-c", line)
		cmd.Dir = t.TempDir()
		cmd.Env = append(os.Environ(), "HOME="+cmd.Dir, "LC_ALL=C.UTF-8")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", shell, err)
		}
		if got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00"); !slices.Equal(got, words) {
			t.Errorf("%s:\n got %q\nwant %q", shell, got, words)
		}
		if _, err := os.Stat(filepath.Join(cmd.Dir, "pwned")); err == nil {
			t.Errorf("%s: a word of the server was carried out", shell)
		}
	}
}

// fish expands a leading ~ in a word that the completion inserts without quotes, so the script offers such a name only inside quotes.
func TestFishOffersNoTilde(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mcpauth"), []byte("#!/bin/sh\nprintf '~root\\ta tool\\nplain\\ta tool\\n'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{"mcpauth call odd ": "plain\ta tool\n", "mcpauth call odd '~r": "~root\ta tool\n"} {
		cmd := exec.Command("fish", "--no-config", "-c", fishCompletion+"\ncomplete -C "+posixQuoting.word(line))
		cmd.Env = append(os.Environ(), "HOME="+dir, "LC_ALL=C.UTF-8", "PATH="+dir+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != want {
			t.Errorf("%q: got %q, want %q, %v", line, out, want, err)
		}
	}
}

func TestShellsComplete(t *testing.T) {
	for _, shell := range slices.Sorted(maps.Keys(shellStarts)) {
		t.Run(shell, func(t *testing.T) {
			program, _, _ := strings.Cut(shell, " ")
			if other := os.Getenv("MCPAUTH_TEST_BASH"); program == "bash" && other != "" { // for example on macOS
				program = other
			}
			if _, err := exec.LookPath(program); err != nil {
				t.Fatal("not installed; scripts/shells installs it")
			}
			testShell(t, program, shell)
		})
	}
}

func testShell(t *testing.T, program, shell string) {
	m := newMachine(t)
	config := filepath.Join(m.home, "config.json")
	m.env = append(m.env, "MCPAUTH_CONFIG="+config)
	if err := os.WriteFile(config, []byte(`{"mcpServers":{"odd":{"url":"`+oddServer(t)+`"},"it's \"odd\"; touch pwned":{"url":"https://example.com/mcp"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"login", "SERVER"}, {"tools", "SERVER"}, {"call", "SERVER", "report", "pages=1000", "--detach"}, {"tools", "odd"}, {"prompts", "odd"},
		{"resources", "odd"}} {
		m.does(t, exitDone, args...)
	}
	tasks := m.does(t, exitDone, "task", "SERVER", "--json")
	id := regexp.MustCompile(`"id": "(.*)"`).FindStringSubmatch(tasks.stdout.String())[1]
	type row struct {
		typed string
		want  []string
	}
	half := m.URL()[:len(m.URL())-6]
	rows := []row{
		{"mcpauth logo\t", []string{"logout"}},
		{"mcpauth status od\t", []string{"status", "odd"}},
		{"mcpauth status it\t", []string{"status", `it's "odd"; touch pwned`}},
		{"mcpauth tools " + half + "\t", []string{"tools", m.URL()}},
		{"mcpauth call " + m.URL() + " who\t", []string{"call", m.URL(), "whoami"}},
		{"mcpauth call " + m.URL() + " echo te\thello", []string{"call", m.URL(), "echo", "text=hello"}},
		{"mcpauth call '" + m.URL() + "' 'echo' te\thello", []string{"call", m.URL(), "echo", "text=hello"}},
		{"mcpauth call --output=j\todd", []string{"call", "--output=json", "odd"}},
		{"mcpauth call odd --output r\tx", []string{"call", "odd", "--output", "raw", "x"}},
		{"mcpauth task " + m.URL() + " " + id[:8] + "\t", []string{"task", m.URL(), id}},
		{"mcpauth read odd xy://o\t", []string{"read", "odd", "xy://one"}},
		{"mcpauth read odd xy:\to\t", []string{"read", "odd", "xy://one"}},
		{"mcpauth read odd xy://t\tada", []string{"read", "odd", "xy://two/ada"}},
		{"mcpauth read odd 'xy://o\t", []string{"read", "odd", "xy://one"}},
		{`mcpauth read odd "xy://o` + "\t", []string{"read", "odd", "xy://one"}},
		{"mcpauth call odd 'a b' 0\t1", []string{"call", "odd", "a b", "0:=1"}},
		{"mcpauth prompt odd né n\tx", []string{"prompt", "odd", "né", "né=x"}},
		{"mcpauth login --config conf\t", []string{"login", "--config", "config.json"}},
		{"true; mcpauth call odd a\t", []string{"call", "odd", "a b"}},
		{"mcpauth call odd k\tx", []string{"call", "odd", "kx"}},
	}
	for _, name := range oddNames {
		if slices.Contains(notOffered, name) {
			continue
		}
		first := string([]rune(name)[0])
		rows = append(rows, row{"mcpauth call odd '" + first + "\t", []string{"call", "odd", name}})
		if !strings.ContainsAny(first, "$`\\\"~=#%^") { // if a word begins with one of these characters, the shell itself completes the word
			rows = append(rows, row{"mcpauth read odd " + first + "\t", []string{"read", "odd", name}}, row{`mcpauth prompt odd "` + first + "\t", []string{"prompt", "odd", name}})
		}
	}
	// The completion does not offer an argument whose name mcpauth would parse in another way. For example, mcpauth would read "l=@file" as
	// a file to send.
	if got := m.does(t, exitDone, "__complete", "prompt", "odd", "a b", "").stdout.String(); !strings.HasPrefix(got, "né=\t") || strings.Count(got, "\n") != 1 {
		t.Errorf("arguments offered: %q", got)
	}
	s := startShell(t, m, program, shell)
	for _, r := range rows {
		if got := s.enter(t, r.typed); !slices.Equal(got, r.want) {
			t.Errorf("%q\n got %q\nwant %q", r.typed, got, r.want)
		}
	}
	if _, err := os.Stat(filepath.Join(m.home, "pwned")); err == nil {
		t.Error("a word of the server was carried out")
	}
}
