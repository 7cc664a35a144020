package main

// The completion scripts run the hidden command mcpauth __complete WORD…. The last WORD is the word under the cursor. __complete prints one
// candidate per line. A tab separates a candidate from its explanation. If __complete prints nothing, the shell completes file names.
// Completion uses no network and no keychain. A candidate from a server may contain any character, so it must be quoted. completionbash.go
// quotes the candidates for bash; other shells quote them themselves.

import (
	"cmp"
	"context"
	_ "embed"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"mcpauth/internal/httpx"
	"mcpauth/internal/toolargs"
	"mcpauth/pkg/flow"
	"mcpauth/pkg/mcpclient"
)

var (
	//go:embed completion/mcpauth.bash
	bashCompletion string
	//go:embed completion/mcpauth.zsh
	zshCompletion string
	//go:embed completion/mcpauth.fish
	fishCompletion string
	//go:embed completion/mcpauth.ps1
	powershellCompletion string
)

// The completion scripts run these commands.
const (
	hiddenComplete     = "__complete"
	hiddenCompleteBash = "__complete_bash"
)

// completionLimit limits the time of a completion, because the shell waits for the candidates. After this time, the process ends without candidates.
const completionLimit = 2 * time.Second

func shells() map[string]string {
	return map[string]string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion, "powershell": powershellCompletion}
}

func completionCommand(p *program) *cli.Command {
	return &cli.Command{
		Name: "completion", ArgsUsage: "bash|zsh|fish|powershell",
		Usage: "print the completion script of a shell",
		UsageText: "eval \"$(mcpauth completion bash)\"\n" +
			"mcpauth completion zsh >~/.zfunc/_mcpauth\n" +
			"mcpauth completion fish >~/.config/fish/completions/mcpauth.fish",
		Action: func(cx *cli.Context) error {
			if cx.Args().Len() != 1 {
				return usage("give one shell: bash, zsh, fish or powershell")
			}
			script, ok := shells()[cx.Args().First()]
			if !ok {
				return usage("the shell is bash, zsh, fish or powershell; not " + quote(cx.Args().First()))
			}
			return p.out.write([]byte(script))
		},
	}
}

// A candidate is a possible completion of a word, with an explanation.
type candidate struct{ word, meaning string }

// printCandidates prints the candidates for the last word. Two quotation marks are an empty word, because PowerShell may drop an empty one.
func (p *program) printCandidates(ctx context.Context, words []string) error {
	if last := len(words) - 1; last >= 0 && words[last] == `""` {
		words[last] = ""
	}
	var b strings.Builder
	for _, c := range p.matchingCandidates(ctx, words) {
		b.WriteString(c.word)
		if c.meaning != "" {
			b.WriteString("\t" + oneLine(c.meaning))
		}
		b.WriteByte('\n')
	}
	return p.out.write([]byte(b.String()))
}

// matchingCandidates returns the candidates that begin with the last word. Candidates with control characters are omitted.
func (p *program) matchingCandidates(ctx context.Context, words []string) []candidate {
	if len(words) == 0 {
		words = []string{""}
	}
	last := words[len(words)-1]
	return slices.DeleteFunc(p.candidates(ctx, words[:len(words)-1], last), func(c candidate) bool {
		return c.word == "" || !strings.HasPrefix(c.word, last) || httpx.Text(c.word, 1000) != c.word
	})
}

// candidates returns the candidates for the word under the cursor. before is the command line before this word, and last is the text of the
// word. If before is not valid, for example because it contains an unknown command or flag, there are no candidates.
func (p *program) candidates(ctx context.Context, before []string, last string) []candidate {
	app := p.newApp()
	line, err := splitArgs(before, app.Flags, app.Commands)
	switch {
	case line.pendingFlag != nil:
		return valueCandidates(line.pendingFlag)
	case err != nil:
		return nil
	case !line.flagsEnded && strings.HasPrefix(last, "-"):
		return flagCandidates(app, line.command, last)
	case line.command == "":
		return convert(app.Commands, func(c *cli.Command) candidate { return candidate{c.Name, c.Usage} })
	case line.command == "completion":
		return wordCandidates(slices.Sorted(maps.Keys(shells())))
	}
	return slices.DeleteFunc(p.argumentCandidates(ctx, line), func(c candidate) bool { return !line.flagsEnded && isFlag(c.word) }) // mcpauth would parse a candidate that begins with - as a flag
}

// flagCandidates returns the flags of a command. If word contains =, as in --output=, flagCandidates returns values of the flag.
func flagCandidates(app *cli.App, command, word string) []candidate {
	var own []cli.Flag
	if c := app.Command(command); c != nil {
		own = c.Flags
	}
	if name, _, ok := strings.Cut(word, "="); ok {
		f, _, err := findFlag(word, command, app.Flags, own)
		if err != nil {
			return nil
		}
		out := valueCandidates(f)
		for i := range out {
			out[i].word = name + "=" + out[i].word
		}
		return out
	}
	out := []candidate{{"--help", "explain the command"}}
	for _, f := range slices.Concat(own, app.Flags) {
		_, text := describeFlag(f)
		out = append(out, candidate{withDashes(f.Names()[0]), text})
	}
	return out
}

// valueCandidates returns the allowed values of a flag, or nil if the flag allows any value.
func valueCandidates(f cli.Flag) []candidate {
	few := map[string][]string{"keystore": keystoreKinds(), "output": {"text", "json", "raw"}, "dpop": {"auto", "always", "never"},
		"reauth": toStrings([]flow.Reauth{flow.ReauthBrowser, flow.ReauthRefresh, flow.ReauthNever}), "elicit": {"decline", "defaults"},
		"callback-host": {"127.0.0.1", "localhost"}, "grant": toStrings(flow.Grants())}
	return wordCandidates(few[f.Names()[0]])
}

func wordCandidates(list []string) []candidate {
	return convert(list, func(s string) candidate { return candidate{word: s} })
}

// argumentCandidates returns the candidates for the next argument. For example, the candidates after "call SERVER" are tools.
func (p *program) argumentCandidates(ctx context.Context, line orderedArgs) []candidate {
	if line.command == "trust" { // the shell completes the argument of trust, which is a file
		return nil
	}
	if len(line.args) == 0 || slices.Contains([]string{"status", "refresh", "logout"}, line.command) || line.command == "exec" && !line.flagsEnded {
		return p.serverCandidates(ctx)
	}
	m := p.cachedData(ctx, line.args[0])
	if len(line.args) == 1 {
		return nameCandidates(m, line.command)
	}
	switch line.command {
	case "prompt":
		return promptArgumentCandidates(m.KnownPrompts(), line.args[1])
	case "call":
		return toolArgumentCandidates(m.KnownTools(), line.args[1])
	}
	return nil
}

// nameCandidates returns the candidates for the argument after SERVER, such as the names of tools.
func nameCandidates(m *mcpclient.Client, command string) []candidate {
	switch command {
	case "call", "tools":
		return convert(m.KnownTools(), func(t mcpclient.Tool) candidate { return candidate{t.Name, httpx.Text(t.Description, 60)} })
	case "prompt", "prompts":
		return convert(m.KnownPrompts(), func(c mcpclient.Prompt) candidate { return candidate{c.Name, httpx.Text(c.Description, 60)} })
	case "read":
		return convert(m.KnownResources(), resourceCandidate)
	case "task":
		return convert(m.KnownTasks(), func(t mcpclient.Task) candidate { return candidate{t.ID, httpx.Text(t.Tool, 60)} })
	}
	return nil
}

// serverCandidates returns the SERVER arguments that select stored logins and entries of the configuration files.
func (p *program) serverCandidates(ctx context.Context) []candidate {
	list, _ := p.allLogins(ctx) // the error is ignored, because logins that cannot be read are not candidates
	out := convert(slices.DeleteFunc(list, flow.Status.IsUnfinished), func(s flow.Status) candidate { return candidate{nameOrURL(s), s.URL} })
	if file, err := p.loadConfig(ctx); err == nil {
		for _, name := range file.Names() {
			out = append(out, candidate{name, file.Servers[name].URL})
		}
	}
	slices.SortStableFunc(out, func(a, b candidate) int { return strings.Compare(a.word, b.word) })
	return slices.CompactFunc(out, func(a, b candidate) bool { return a.word == b.word })
}

// resourceCandidate returns the URI of a resource. For a template, it returns the part before the first variable.
func resourceCandidate(r mcpclient.Resource) candidate {
	word := r.URI
	if r.Template {
		word, _, _ = strings.Cut(word, "{")
	}
	return candidate{word, httpx.Text(cmp.Or(r.Description, r.Title, r.Name), 60)}
}

// cachedData returns a client that reads the data that earlier commands cached. The client sends no requests.
func (p *program) cachedData(ctx context.Context, server string) *mcpclient.Client {
	if s, err := p.resolveServer(ctx, server, needStored); err == nil {
		if m, err := p.mcpClient(ctx, s.target, nil); err == nil {
			return m
		}
	}
	return &mcpclient.Client{}
}

// toolArgumentCandidates returns the arguments of the named tool, with = after an argument that is text, and := after one that is JSON.
func toolArgumentCandidates(tools []mcpclient.Tool, name string) []candidate {
	var out []candidate
	for _, tool := range tools {
		if tool.Name != name {
			continue
		}
		for _, a := range toolargs.Parse(tool.InputSchema).Properties() {
			sign := map[bool]string{true: ":=", false: "="}[a.JSON]
			if plainName(a.Name) {
				out = append(out, candidate{a.Name + sign, httpx.Text(a.Description, 60)})
			}
		}
	}
	return out
}

func promptArgumentCandidates(prompts []mcpclient.Prompt, name string) []candidate {
	var out []candidate
	for _, c := range prompts {
		for _, a := range c.Arguments {
			if c.Name == name && plainName(a.Name) {
				out = append(out, candidate{a.Name + "=", httpx.Text(a.Description, 60)})
			}
		}
	}
	return out
}
