package mcpclient

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"

	"mcpauth/internal/httpx"
	"mcpauth/internal/jsonscan"
)

// Prompt is a prompt of a server. The texts of a Prompt come from the server and are not safe to print.
type Prompt struct {
	Name, Title, Description string
	Arguments                []PromptArgument
	Raw                      json.RawMessage // the whole definition as sent
}

// PromptArgument describes an argument of a prompt. The value of a prompt argument is always a string.
type PromptArgument struct {
	Name, Description string
	Required          bool
}

// PromptList contains all prompts of a server.
type PromptList struct {
	Raw     json.RawMessage // {"prompts":[…]} with the prompts as sent, all pages
	Prompts []Prompt
}

// Prompts returns the prompts of the server. The list is empty if the server does not support prompts. A prompt whose name looks like a flag is
// omitted, unless the name is the parameter named, because the user typed it.
func (c *Client) Prompts(ctx context.Context, named ...string) (PromptList, error) {
	raw, err := c.fetchLists(ctx, ".prompts", promptLists, named...)
	prompts, whole := parsePrompts(raw)
	if err == nil && !whole {
		return PromptList{}, c.tooMany("prompt arguments")
	}
	return PromptList{Raw: raw, Prompts: prompts}, err
}

var promptLists = []listSpec{{"prompts/list", "prompts", "name", "prompt"}}

// KnownPrompts returns the cached prompts of this login. No request is sent, and no credential is read.
func (c *Client) KnownPrompts() []Prompt {
	prompts, _ := parsePrompts(c.keptList(".prompts"))
	return slices.DeleteFunc(prompts, func(p Prompt) bool { return httpx.HidesArgument(p.Name) })
}

// parsePrompts parses a list of prompts. If the prompts together have more than maxListed arguments, the rest of the list is not parsed,
// and whole is false.
func parsePrompts(raw json.RawMessage) (prompts []Prompt, whole bool) {
	arguments := 0
	for e := range jsonscan.Elements(jsonscan.Member(raw, "prompts")) {
		for range jsonscan.Elements(jsonscan.Member(e, "arguments")) {
			if arguments++; arguments > maxListed {
				return prompts, false
			}
		}
		prompts = append(prompts, parsePrompt(e))
	}
	return prompts, true
}

func parsePrompt(raw json.RawMessage) Prompt {
	text := func(v json.RawMessage, name string) string { return jsonscan.Unquote(jsonscan.Member(v, name)) }
	p := Prompt{Name: text(raw, "name"), Title: text(raw, "title"), Description: text(raw, "description"), Raw: raw}
	for a := range jsonscan.Elements(jsonscan.Member(raw, "arguments")) {
		p.Arguments = append(p.Arguments, PromptArgument{Name: text(a, "name"), Description: text(a, "description"),
			Required: string(jsonscan.Member(a, "required")) == "true"})
	}
	return p
}

// Messages is the result of a prompt.
type Messages struct {
	Raw      json.RawMessage // the GetPromptResult, byte for byte
	Messages []Message
}

// Message is one message of a prompt.
type Message struct {
	Role  string // user or assistant
	Block Block
}

// Prompt returns the messages of a prompt.
func (c *Client) Prompt(ctx context.Context, name string, args map[string]string) (Messages, error) {
	if err := c.prepare(ctx); err != nil {
		return Messages{}, err
	}
	own := append([]byte(`"name":`), jsonscan.Quote(name)...)
	if len(args) > 0 {
		object := bytes.NewBufferString("{")
		for _, name := range slices.Sorted(maps.Keys(args)) {
			addMember(object, name, jsonscan.Quote(args[name]))
		}
		own = append(append(append(own, `,"arguments":`...), object.Bytes()...), '}')
	}
	raw, err := c.requestResult(ctx, "prompt", name, requestSpec{method: "prompts/get", members: own, idempotent: true})
	if err != nil {
		return Messages{}, c.asUnknownError(ctx, "prompt", name, err)
	}
	m := Messages{Raw: raw}
	for e := range jsonscan.Elements(jsonscan.Member(raw, "messages")) {
		if len(m.Messages) == maxListed {
			return Messages{}, c.tooMany("messages")
		}
		m.Messages = append(m.Messages, Message{Role: jsonscan.Unquote(jsonscan.Member(e, "role")), Block: decodeBlock(jsonscan.Member(e, "content"))})
	}
	return m, nil
}
