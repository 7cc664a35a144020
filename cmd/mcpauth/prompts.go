package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"mcpauth/internal/toolargs"
	"mcpauth/pkg/flow"
	"mcpauth/pkg/mcpclient"
)

func promptsCommand(p *program) *cli.Command {
	return &cli.Command{
		Name: "prompts", ArgsUsage: "SERVER [PROMPT]",
		Usage: "list the prompts of a server, or the arguments of one prompt",
		UsageText: "mcpauth prompts example\n" +
			"mcpauth prompts example review\n" +
			"mcpauth prompts example --json | jq -r '.prompts[].name'",
		Action: serverAndName(func(ctx context.Context, word, prompt string) error {
			return p.withServer(ctx, word, flow.HandlerOptions{}, func(m *mcpclient.Client, s server) error {
				list, err := m.Prompts(ctx, prompt)
				if err != nil {
					return err
				}
				return p.printPrompts(m, list, prompt, s)
			})
		}),
	}
}

// printPrompts prints the prompt with this name. If name is empty, printPrompts prints all prompts.
func (p *program) printPrompts(m *mcpclient.Client, list mcpclient.PromptList, name string, s server) error {
	if name != "" {
		return p.printPrompt(m, list.Prompts, name, s)
	}
	rows := convert(list.Prompts, func(c mcpclient.Prompt) []string {
		return []string{c.Name, firstLine(c.Description, c.Title)}
	})
	return p.out.writeList(list.Raw, "prompts", []string{"NAME", "DESCRIPTION"}, rows)
}

func (p *program) printPrompt(m *mcpclient.Client, prompts []mcpclient.Prompt, name string, s server) error {
	i := slices.IndexFunc(prompts, func(c mcpclient.Prompt) bool { return c.Name == name })
	if i < 0 {
		names := convert(prompts, func(c mcpclient.Prompt) string { return c.Name })
		return &mcpclient.UnknownError{Kind: "prompt", Name: name, Nearest: m.Clean(toolargs.NearestOne(name, names))}
	}
	if p.out.json {
		return p.out.writeRaw(prompts[i].Raw)
	}
	return p.out.writeText(promptText(prompts[i], s.shellArgument()+p.hintAbout("").globalFlags()))
}

// promptText describes the arguments of a prompt and gives an example command, in which text from the server is quoted.
func promptText(c mcpclient.Prompt, server string) string {
	var b strings.Builder
	if line := firstLine(c.Description, c.Title); line != "" {
		fmt.Fprintf(&b, "Description: %s\n\n", line)
	}
	example := []string{"mcpauth prompt", server, dataWord(c.Name)}
	if len(c.Arguments) > 0 {
		b.WriteString("Arguments:\n")
	}
	for _, a := range c.Arguments {
		required := "optional"
		if a.Required {
			required = "required"
		}
		if a.Required && a.Name != "" && isShowable(a.Name) && len(example) < maxExampleWords && !strings.HasPrefix(a.Name, "-") && !strings.Contains(a.Name, "=") && !strings.HasSuffix(a.Name, ":") {
			example = append(example, shellWord(a.Name+"=..."))
		}
		// a shell refuses the parentheses, so that the line cannot be pasted as a command
		fmt.Fprintf(&b, "  %s (%s)  %s\n", shortName(a.Name, 100), required, firstLine(a.Description))
	}
	if len(c.Arguments) > 0 {
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "Example:\n  %s\n", strings.Join(example, " "))
	return b.String()
}

func promptCommand(p *program) *cli.Command {
	return &cli.Command{
		Name: "prompt", ArgsUsage: "SERVER PROMPT [NAME=VALUE...]",
		Usage: "print the messages of a prompt",
		UsageText: "mcpauth prompt example review text='a text to review'\n" +
			"mcpauth prompt example review text=@letter.txt tone=strict\n" +
			"mcpauth prompt example review text=@letter.txt --json",
		Description: "VALUE is text. NAME=@FILE reads the text from a file. prompt prints the messages\n" +
			"as text, with an empty line between two messages. --json also prints the roles.",
		Action: func(cx *cli.Context) error {
			words := cx.Args().Slice()
			if len(words) < 2 {
				return usage("prompt takes a SERVER and the name of a PROMPT")
			}
			return runPrompt(cx.Context, p, words[0], words[1], words[2:])
		},
	}
}

func runPrompt(ctx context.Context, p *program, word, name string, words []string) error {
	args, err := p.promptArguments(words)
	if err != nil {
		return err
	}
	return p.withServer(ctx, word, flow.HandlerOptions{}, func(m *mcpclient.Client, _ server) error {
		answer, err := m.Prompt(ctx, name, args)
		switch {
		case err != nil:
			return err
		case p.out.json:
			return p.out.writeRaw(answer.Raw)
		}
		return p.printMessages(m, answer.Messages)
	})
}

// promptArguments parses words of the form NAME=VALUE. All arguments of prompts are strings.
func (p *program) promptArguments(words []string) (map[string]string, error) {
	args := map[string]string{}
	for _, word := range words {
		name, value, ok := strings.Cut(word, "=")
		if !ok || name == "" {
			return nil, usage(quote(word) + " is not NAME=VALUE")
		}
		if _, twice := args[name]; twice {
			return nil, usage("the argument " + quote(name) + " is given twice")
		}
		if file, ok := strings.CutPrefix(value, "@"); ok {
			text, err := readText(name, file)
			if err != nil {
				return nil, err
			}
			value = string(text)
		}
		args[name] = value
	}
	return args, nil
}

// printMessages prints text messages on stdout. For each other message, it prints a note on stderr.
func (p *program) printMessages(client *mcpclient.Client, messages []mcpclient.Message) error {
	printed := 0
	for _, m := range messages {
		if m.Block.Text == "" && m.Block.Type != "text" {
			p.out.printLimited("messages", "a message contains %s; --json shows it", describeBlock(m.Block, client.Clean))
			continue
		}
		text := m.Block.Text
		if printed++; printed > 1 {
			text = "\n" + text
		}
		if err := p.out.writeText(text); err != nil {
			return err
		}
	}
	return nil
}
