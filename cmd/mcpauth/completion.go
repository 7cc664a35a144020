package main

// Command completion. The shell scripts run a hidden command, mcpauth __complete WORD…, whose last word is the one under the cursor. The
// command prints one candidate per line, followed by a tab and an explanation if there is one. If it prints nothing, the shell completes
// file names. It reads only local state: it uses no network and no keychain. A server may have chosen the candidates. The shells quote
// them, except bash, for which completionbash.go quotes them.

import (
	"cmp"
	"context"
	_ "embed"
	"maps"
	"slices"
	"strings"

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

// candidate is a completion and its explanation.
type candidate struct{ word, meaning string }

// complete prints the candidates for the last word.
func (p *program) complete(ctx context.Context, words []string) error {
	var b strings.Builder
	for _, c := range p.matches(ctx, words) {
		b.WriteString(c.word)
		if c.meaning != "" {
			b.WriteString("\t" + oneLine(c.meaning))
		}
		b.WriteByte('\n')
	}
	return p.out.write([]byte(b.String()))
}

// matches returns the candidates that begin with the last word. It omits words with characters that a terminal does not show as they are.
func (p *program) matches(ctx context.Context, words []string) []candidate {
	if len(words) == 0 {
		words = []string{""}
	}
	last := words[len(words)-1]
	return slices.DeleteFunc(p.candidates(ctx, words[:len(words)-1], last), func(c candidate) bool {
		return c.word == "" || !strings.HasPrefix(c.word, last) || httpx.Text(c.word, 1000) != c.word
	})
}

// typed is an incomplete command line.
type typed struct {
	command string
	args    []string
	waiting cli.Flag // the flag whose value comes next, or nil
	ended   bool     // "--" was given, so no flags follow
}

func (p *program) candidates(ctx context.Context, before []string, last string) []candidate {
	app := p.app()
	t := read(app, before)
	switch {
	case t.waiting != nil:
		return values(t.waiting)
	case !t.ended && strings.HasPrefix(last, "-"):
		return flagCandidates(app, t.command, last)
	case t.command == "":
		var out []candidate
		for _, c := range app.Commands {
			out = append(out, candidate{c.Name, c.Usage})
		}
		return out
	case t.command == "completion":
		var out []candidate
		for _, name := range slices.Sorted(maps.Keys(shells())) {
			out = append(out, candidate{word: name})
		}
		return out
	}
	return slices.DeleteFunc(p.argumentsAt(ctx, t), func(c candidate) bool { return !t.ended && isFlag(c.word) }) // mcpauth would take it for a flag
}

// read parses an incomplete command line. It skips unknown flags.
func read(app *cli.App, words []string) typed {
	var t typed
	var own []cli.Flag
	for _, word := range words {
		switch {
		case t.waiting != nil:
			t.waiting = nil
		case !t.ended && word == "--":
			t.ended = true
		case !t.ended && isFlag(word):
			f, _, err := findFlag(word, t.command, app.Flags, own)
			if d, ok := f.(cli.DocGenerationFlag); err == nil && ok && d.TakesValue() && !strings.Contains(word, "=") {
				t.waiting = f
			}
		case t.command == "":
			t.command = word
			if c := app.Command(word); c != nil {
				own = c.Flags
			}
		default:
			t.args = append(t.args, word)
		}
	}
	return t
}

// flagCandidates returns the flags of a command. If the word contains =, it returns the values of that flag.
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
		out := values(f)
		for i := range out {
			out[i].word = name + "=" + out[i].word
		}
		return out
	}
	out := []candidate{{"--help", "explain the command"}}
	for _, f := range slices.Concat(own, app.Flags) {
		_, text := describeFlag(f)
		out = append(out, candidate{dashed(f.Names()[0]), text})
	}
	return out
}

// values returns the allowed values of a flag.
func values(f cli.Flag) []candidate {
	few := map[string][]string{"keystore": keystores(), "output": {"text", "json", "raw"}, "dpop": {"auto", "always", "never"},
		"reauth": plain([]flow.Reauth{flow.ReauthBrowser, flow.ReauthRefresh, flow.ReauthNever}), "elicit": {"decline", "defaults"},
		"callback-host": {"127.0.0.1", "localhost"}, "grant": plain(flow.Grants())}
	var out []candidate
	for _, v := range few[f.Names()[0]] {
		out = append(out, candidate{word: v})
	}
	return out
}

// argumentsAt returns the candidates for the next argument: for call, these are servers, then tools, then the tool's arguments.
func (p *program) argumentsAt(ctx context.Context, t typed) []candidate {
	hasTool := t.command == "call" || t.command == "tools"
	hasPrompt := t.command == "prompt" || t.command == "prompts"
	switch n := len(t.args); {
	case t.command == "trust": // its argument is a file
		return nil
	case n == 0 || slices.Contains([]string{"status", "refresh", "logout"}, t.command) || t.command == "exec" && !t.ended:
		return p.serverCandidates(ctx)
	case n == 1 && hasTool:
		var out []candidate
		for _, tool := range p.known(ctx, t.args[0]).KnownTools() {
			out = append(out, candidate{tool.Name, httpx.Text(tool.Description, 60)})
		}
		return out
	case n == 1 && hasPrompt:
		var out []candidate
		for _, c := range p.known(ctx, t.args[0]).KnownPrompts() {
			out = append(out, candidate{c.Name, httpx.Text(c.Description, 60)})
		}
		return out
	case n == 1 && t.command == "read":
		return p.resourceCandidates(ctx, t.args[0])
	case n == 1 && t.command == "task":
		var out []candidate
		for _, task := range p.known(ctx, t.args[0]).KnownTasks() {
			out = append(out, candidate{task.ID, httpx.Text(task.Tool, 60)})
		}
		return out
	case t.command == "prompt":
		var out []candidate
		for _, c := range p.known(ctx, t.args[0]).KnownPrompts() {
			for _, a := range c.Arguments {
				if c.Name == t.args[1] && plainName(a.Name) {
					out = append(out, candidate{a.Name + "=", httpx.Text(a.Description, 60)})
				}
			}
		}
		return out
	case t.command == "call":
		for _, tool := range p.known(ctx, t.args[0]).KnownTools() {
			if tool.Name == t.args[1] {
				return argumentCandidates(tool)
			}
		}
	}
	return nil
}

// serverCandidates returns the stored logins and the entries of the configuration files.
func (p *program) serverCandidates(ctx context.Context) []candidate {
	var out []candidate
	list, _ := p.all(ctx) // a login that cannot be read is not offered
	for _, s := range list {
		out = append(out, candidate{stored(s), s.URL})
	}
	if file, err := p.configuration(ctx); err == nil {
		for _, name := range file.Names() {
			out = append(out, candidate{name, file.Servers[name].URL})
		}
	}
	slices.SortStableFunc(out, func(a, b candidate) int { return strings.Compare(a.word, b.word) })
	return slices.CompactFunc(out, func(a, b candidate) bool { return a.word == b.word })
}

// resourceCandidates returns the URIs of resources, and the part of each template before its first variable.
func (p *program) resourceCandidates(ctx context.Context, server string) []candidate {
	var out []candidate
	for _, r := range p.known(ctx, server).KnownResources() {
		word := r.URI
		if r.Template {
			word, _, _ = strings.Cut(word, "{")
		}
		out = append(out, candidate{word, httpx.Text(cmp.Or(r.Description, r.Title, r.Name), 60)})
	}
	return out
}

// known returns a client for reading what earlier commands cached. It sends nothing.
func (p *program) known(ctx context.Context, server string) *mcpclient.Client {
	nothing := &mcpclient.Client{}
	s, err := p.resolve(ctx, server, needStored)
	if err != nil {
		return nothing
	}
	m, err := p.mcp(ctx, s.target, nil)
	if err != nil {
		return nothing
	}
	return m
}

// argumentCandidates returns the tool's arguments, with := for those that are JSON.
func argumentCandidates(tool mcpclient.Tool) []candidate {
	var out []candidate
	for _, a := range toolargs.Parse(tool.InputSchema).Properties() {
		if !plainName(a.Name) {
			continue
		}
		sign := "="
		if a.JSON {
			sign = ":="
		}
		out = append(out, candidate{a.Name + sign, httpx.Text(a.Description, 60)})
	}
	return out
}
